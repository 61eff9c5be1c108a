"""10,000 markets with a day of history through all detectors, on one core; beside a bare pass over every quote's mid.

Made markets, the same on every run: a third in exclusive events of eight legs, a third in ladders of six rungs, the
rest alone; each walks in whole cents, one in ten trends, jumps or trades in a burst, so that the dear branches are
taken too. A daemon's first pass reads the thresholds out of all titles, later ones remember them: both are measured,
and the goal is held against the first. `python -m tests.bench.bench_patterns` prints one JSON object.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from statistics import median

from agent.core import thresholds
from agent.core.patterns.base import Board, History, Pair
from agent.core.patterns.registry import BUILT_IN, findings
from sync.records import Market, MarketStatus, Quote, Venue
from tests.factories import NOON

N_MARKETS = 10_000
N_ROWS = 30
N_PASSES = 7
GOAL_MS = 500.0


async def measure() -> dict[str, object]:
    """Milliseconds of processor time of a whole pass, and of each detector on a board the others have warmed."""
    histories, pairs = _histories(), _pairs()
    first = [_ms(lambda: findings(_board(histories, pairs), BUILT_IN), cold=True) for _ in range(N_PASSES)]
    later = [_ms(lambda: findings(_board(histories, pairs), BUILT_IN)) for _ in range(N_PASSES)]
    warmed = _board(histories, pairs)
    found = Counter(finding.detector for finding in findings(warmed, BUILT_IN))
    each = {detector.name: round(_ms(lambda d=detector: list(d.find(warmed))), 2) for detector in BUILT_IN}
    bare = [_ms(lambda: _touch(histories)) for _ in range(N_PASSES)]
    return {
        "markets": N_MARKETS,
        "rows_per_market": N_ROWS,
        "detectors": len(BUILT_IN),
        "goal_ms": GOAL_MS,
        "first_pass_ms_median": round(median(first), 1),
        "first_pass_ms_best": round(min(first), 1),
        "later_pass_ms_median": round(median(later), 1),
        "bare_mids_ms_median": round(median(bare), 1),
        "ratio": round(median(later) / median(bare), 2),
        "found": dict(found),
        "ms_on_a_warm_board": each,
        "goal_met": median(first) < GOAL_MS,
    }


def _ms(run: Callable[[], object], *, cold: bool = False) -> float:
    if cold:
        thresholds._rungs.cache_clear()
    began = time.process_time()
    run()
    return 1000 * (time.process_time() - began)


def _touch(histories: list[History]) -> float:
    """What no detector can do without: one look at every mid."""
    return sum(quote.mid or 0.0 for history in histories for quote in history.quotes)


def _board(histories: list[History], pairs: list[Pair]) -> Board:
    """A new board over new histories: nothing computed by the pass before is left on it."""
    return Board([History(history.market, history.quotes) for history in histories], NOON, pairs)


def _histories() -> list[History]:
    rng = random.Random(7)
    return [History(_market(number), _quotes(f"polymarket:0x{number:04x}", rng)) for number in range(N_MARKETS)]


def _pairs() -> list[Pair]:
    return [Pair(f"polymarket:0x{n:04x}", f"polymarket:0x{n + 1:04x}") for n in range(0, N_MARKETS, 10)]


def _market(number: int) -> Market:
    kind = number % 3
    event = f"e{kind}-{number // (24 if kind == 0 else 18)}" if kind < 2 else None
    rung = 100 + 10 * (number // 3 % 6)
    title = f"Will Brand {number // 18} close above ${rung} in December?" if kind == 1 else f"Question {number}?"
    return Market(
        f"polymarket:0x{number:04x}", Venue.POLYMARKET, f"0x{number:04x}", title, MarketStatus.OPEN, NOON, event,
        proposition=f"${rung}" if kind == 1 else None, mutually_exclusive=kind == 0,
        close_time=NOON + timedelta(hours=number % 500),
    )  # fmt: skip


def _quotes(key: str, rng: random.Random) -> list[Quote]:
    mood, price, volume = rng.randrange(30), rng.uniform(0.1, 0.9), rng.uniform(200, 50_000)
    quotes = list[Quote]()
    for row in range(N_ROWS):
        drift = {0: 0.01, 1: 0.3 if row == N_ROWS - 1 else 0.0}.get(mood, 0.0)
        price = min(max(price + drift + rng.choice((-0.01, 0.0, 0.0, 0.01)), 0.02), 0.98)
        volume *= 3.0 if mood == 2 and row == N_ROWS - 1 else rng.uniform(0.99, 1.02)
        bid, ask = round(price - 0.01, 3), round(price + 0.01, 3)
        at = NOON - timedelta(minutes=48 * (N_ROWS - 1 - row))
        quotes.append(
            Quote(market_key=key, fetched_at=at, bid=bid, ask=ask, mid=round(price, 4), volume_24h=round(volume, 2))
        )
    return quotes


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure())))
