"""How many market records a second become (Market, Quote), from bytes, on one core; beside the bare JSON decode.

`python -m tests.bench.bench_parse` prints one JSON object. The pages are those the local exchange serves: made of the
recordings where they lie beside the project, else of the made world.
"""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from agent.venues import kalshi, polymarket
from tests.factories import NOON
from tests.fakes.exchange import world_frames
from tests.fakes.exchange_recordings import recorded_frames
from tests.fakes.world import World

RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "recordings"
PAGE_EVENTS = {"polymarket": polymarket.PAGE_EVENTS, "kalshi": kalshi.PAGE_EVENTS}
GOAL_RECORDS_PER_S = 150_000
BUDGET_S = 2.0  # per measured function
READERS: dict[str, tuple[Callable[..., Any], Callable[[bytes], Any]]] = {
    "polymarket": (polymarket.parse_page, polymarket._PAGE.decode),
    "kalshi": (kalshi.parse_page, kalshi._PAGE.decode),
}


async def measure() -> dict[str, Any]:
    """Median and best of many passes over every page, for both venues."""
    recorded = RECORDINGS.is_dir()
    frames = recorded_frames(RECORDINGS) if recorded else world_frames(World())
    result: dict[str, Any] = {"source": "recordings" if recorded else "world"}
    for venue, (parse, decode) in READERS.items():
        listings = [getattr(frame, "gamma_events" if venue == "polymarket" else "kalshi_events") for frame in frames]
        pages = [page for listing in listings for page in _pages(listing, PAGE_EVENTS[venue])]
        n_records = sum(parse(page, NOON).n_records for page in pages)
        n_bytes = sum(map(len, pages))
        parse_s, parse_best_s = _seconds(lambda pages=pages, parse=parse: [parse(page, NOON) for page in pages])
        decode_s, _ = _seconds(lambda pages=pages, decode=decode: [decode(page) for page in pages])
        result[venue] = {
            "records": n_records,
            "bytes": n_bytes,
            "goal_records_per_s": GOAL_RECORDS_PER_S,
            "records_per_s_median": round(n_records / parse_s),
            "records_per_s_best": round(n_records / parse_best_s),
            "bytes_per_s_median": round(n_bytes / parse_s),
            "bare_decode_records_per_s_median": round(n_records / decode_s),
            "ratio": round(parse_s / decode_s, 2),
            "goal_met": n_records / parse_s >= GOAL_RECORDS_PER_S,
        }
    return result


def _pages(events: list[dict[str, Any]], size: int) -> list[bytes]:
    return [
        json.dumps({"events": events[start : start + size]}, ensure_ascii=False, separators=(",", ":")).encode()
        for start in range(0, len(events), size)
    ]


def _seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Median and best processor time of as many runs as fit the budget: "per core" must not count the neighbours."""
    times, ends_at = list[float](), time.perf_counter() + BUDGET_S
    while time.perf_counter() < ends_at:
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return median(times), min(times)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure())))
