"""Replays a series look by look, as `collect` would have seen it, and makes its nulls.

Two nulls, both seeded. Shuffled: the steps of a market in another order, all legs of an event in the same other
order, since their sum ties them together; it keeps how far a market moves and takes away when. Noise: normal steps of
the same robust size, each market for itself; it takes away the wild steps too, and with them the legs' sum, so it is
the null of detectors that look at one market.
"""

import random
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import accumulate, pairwise

import msgspec

from agent.core.market import mid, side
from agent.core.patterns.base import Board, Detector, Guard, History
from agent.core.patterns.registry import findings, news
from agent.core.robust import habit
from agent.replay.series import Series
from sync.records import Quote

Rearranged = Callable[[Sequence[float]], list[float]]


def replay(series: Series, detectors: Sequence[Detector]) -> tuple[Counter[str], int]:
    """Patterns said, by detector, and how often a market was looked at."""
    times = [[quote.fetched_at for quote in history.quotes] for history in series.histories]
    said, counts, n_seen = dict[tuple[str, str], tuple[datetime, int]](), Counter[str](), 0
    guard = Guard(max_age_min=series.max_age / timedelta(minutes=1))
    for now in series.looks:
        board = [
            History(history.market, history.quotes[bisect_left(at, now - series.look_back) : end])
            for history, at in zip(series.histories, times, strict=True)
            if (end := bisect_right(at, now)) and at[end - 1] > now - series.look_back
        ]
        n_seen += sum(history.latest.fetched_at == now for history in board)
        quiet = {key: score for key, (when, score) in said.items() if now - when < series.quiet}
        for finding in news(findings(Board(board, now, guard=guard), detectors), quiet):
            said[finding.market_key, finding.detector] = (now, finding.score)
            counts[finding.detector] += 1
    return counts, n_seen


def shuffled(series: Series, seed: int) -> Series:
    """The same steps in another order, one order for all legs of an event."""
    groups = defaultdict[str, list[History]](list)
    for history in series.histories:
        groups[history.market.event_id or history.market.market_key].append(history)
    histories = list[History]()
    for name, legs in groups.items():
        looks = sorted({quote.fetched_at for leg in legs for quote in leg.quotes})
        order = random.Random(f"{seed}:{name}").sample(range(len(looks) - 1), len(looks) - 1)
        histories += [History(leg.market, _walked(leg.quotes, looks, partial(_in_order, order))) for leg in legs]
    return replace(series, histories=histories)


def noise(series: Series, seed: int) -> Series:
    """Normal steps of the market's usual size, each market for itself."""
    histories = list[History]()
    for history in series.histories:
        rng = random.Random(f"{seed}:{history.market.market_key}")
        looks = [quote.fetched_at for quote in history.quotes]
        histories.append(History(history.market, _walked(history.quotes, looks, partial(_normal, rng))))
    return replace(series, histories=histories)


def _in_order(order: Sequence[int], steps: Sequence[float]) -> list[float]:
    return [steps[place] for place in order]


def _normal(rng: random.Random, steps: Sequence[float]) -> list[float]:
    centre, sigma = habit(steps) if steps else (0.0, 0.0)
    return [rng.gauss(centre, sigma) for _ in steps]


def _walked(quotes: Sequence[Quote], looks: Sequence[datetime], rearranged: Rearranged) -> list[Quote]:
    """The rows with a mid walk another way; a book without one stays as it was seen.

    A leg stands still at looks that have no row of it, so that the legs' sum is the same walk in another order too.
    """
    rows = {
        quote.fetched_at: (quote.mid, quote.ask - quote.bid, quote.volume_24h or 0.0)
        for quote in quotes
        if quote.mid is not None and quote.bid is not None and quote.ask is not None
    }
    if not rows:
        return list(quotes)
    filled, standing = list[tuple[float, float, float]](), next(iter(rows.values()))
    for look in looks:
        standing = rows.get(look, standing)
        filled.append(standing)
    paths = zip(*(_path(numbers, rearranged) for numbers in zip(*filled, strict=True)), strict=True)
    walked = dict(zip(looks, paths, strict=True))
    return [_row(quote, *walked[quote.fetched_at]) if quote.fetched_at in rows else quote for quote in quotes]


def _path(values: Sequence[float], rearranged: Rearranged) -> list[float]:
    steps = [after - before for before, after in pairwise(values)]
    return list(accumulate(rearranged(steps), initial=values[0]))


def _row(row: Quote, centre: float, spread: float, volume: float) -> Quote:
    half = max(spread, 0.001) / 2
    bid, ask = (side(round(min(max(price, 0.0), 1.0), 6)) for price in (centre - half, centre + half))
    return msgspec.structs.replace(
        row, bid=bid, ask=ask, mid=mid(bid, ask), volume_24h=None if row.volume_24h is None else max(volume, 0.0)
    )
