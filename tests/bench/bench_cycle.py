"""A whole cycle of 50,000 markets: read from bytes, watched for drift, stored, sealed, detected; time and memory.

Each venue's made world is repeated with other numbers until it is large enough. The cycle runs in a child process, so
that its peak memory is its own; the pages come from files. Beside it: a bare executemany of the same rows.
"""

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agent.core.drift import Profile
from agent.core.patterns.registry import BUILT_IN
from agent.jobs.collect import detect, walk
from agent.store.db import Store
from agent.venues import drift, kalshi, polymarket
from agent.venues.base import Page
from sync.records import Venue
from tests.factories import NOON
from tests.fakes.exchange_shapes import gamma_event, kalshi_event
from tests.fakes.world import Happening, World

N_MARKETS = 50_000
GOAL_S, GOAL_RSS_MB = 3.0, 250.0
N_MARKETS_DAY = 10_000
CYCLES_MEASURED, CYCLES_A_DAY = 8, 96
# One world in six tells news in a usual cycle: 16 of 100 rows change within a quarter hour, as collectors measured.
CHANGING = 6
TICK = timedelta(minutes=15)
PAGE_EVENTS = {Venue.POLYMARKET: polymarket.PAGE_EVENTS, Venue.KALSHI: kalshi.PAGE_EVENTS}
PARSE: dict[Venue, Callable[[bytes, datetime], Page]] = {
    Venue.POLYMARKET: polymarket.parse_page,
    Venue.KALSHI: kalshi.parse_page,
}


async def measure() -> dict[str, Any]:
    """Seconds and peak memory of three cycles, their cost apart from storing, and the growth of a day."""
    with tempfile.TemporaryDirectory(prefix="oddsd-") as name:
        folder = Path(name)
        large, usual = folder / "large", folder / "usual"
        write_world(large, N_MARKETS)
        write_world(usual, N_MARKETS_DAY)
        cycles = await _child("cycles", large, folder / "cycles.db")
        growth = await _child("growth", usual, folder / "growth.db")
        bare_s = _bare(folder / "cycles.db", folder / "bare.db")
    return {
        "markets": N_MARKETS,
        "goal_s": GOAL_S,
        "goal_rss_mb": GOAL_RSS_MB,
        **cycles,
        "bare_executemany_s": bare_s,
        "ratio": round(cycles["first_cycle_s"] / bare_s, 2),
        "goal_met": {
            "usual_cycle": cycles["usual_cycle_s"] < GOAL_S,
            "all_changed": cycles["all_changed_s"] < GOAL_S,
            "first_cycle": cycles["first_cycle_s"] < GOAL_S,  # once in the life of a store
            "rss": cycles["rss_with_detection_mb"] < GOAL_RSS_MB,
        },
        "growth": growth,
    }


def write_world(folder: Path, n_markets: int) -> None:
    """Three listings of both venues as page files: the first, one with the usual share of news, one all news."""
    worlds = {venue: _worlds(venue, n_markets // len(Venue)) for venue in Venue}
    for number, tick_of in enumerate((lambda _: 0, lambda w: int(w % CHANGING == 0), lambda _: 2)):
        for venue, whole in worlds.items():
            shape = gamma_event if venue is Venue.POLYMARKET else kalshi_event
            events = [shape(happening, tick_of(world), NOON) for world, some in enumerate(whole) for happening in some]
            target = folder / str(number) / venue
            target.mkdir(parents=True)
            size = PAGE_EVENTS[venue]
            for page, start in enumerate(range(0, len(events), size)):
                body = json.dumps({"events": events[start : start + size]}, separators=(",", ":"))
                (target / f"{page:05}.json").write_text(body)


def _worlds(venue: Venue, n_markets: int) -> list[list[Happening]]:
    worlds, n = list[list[Happening]](), 0
    while n < n_markets:
        happenings = World(seed=len(worlds)).happenings[venue]
        for happening in happenings:
            happening.number += 10_000 * len(worlds)
            for leg in happening.legs:
                leg.number += 10_000 * len(worlds)
            n += sum(not leg.combo for leg in happening.legs)
        worlds.append(happenings)
    return worlds


class _Files:
    """A venue whose pages lie in files."""

    def __init__(self, venue: Venue, folder: Path, now: datetime) -> None:
        self.venue, self._folder, self._now = venue, folder / venue, now

    async def pages(self) -> AsyncIterator[Page]:
        """As the walk over a listing gives them."""
        for path in sorted(self._folder.iterdir()):
            body = path.read_bytes()
            page = PARSE[self.venue](body, self._now)
            page.body = body
            yield page


async def _cycle(store: Store, folder: Path, now: datetime) -> dict[str, Any]:
    return {
        name: n
        for unit in await asyncio.gather(*(walk(store, _Files(venue, folder, now)) for venue in Venue))
        for name, n in unit.value.items()
    }


async def cycles(folder: Path, database: Path) -> dict[str, Any]:
    """In the child: first sight of everything, a usual cycle, one in which everything changed, and its detection."""
    now, result = NOON, dict[str, Any]()
    async with await Store.open(database, clock=lambda: now) as store:
        for number, name in enumerate(("first_cycle", "usual_cycle", "all_changed")):
            began, burnt = time.perf_counter(), time.process_time()
            counts = await _cycle(store, folder / str(number), now)
            result[f"{name}_s"] = round(time.perf_counter() - began, 2)
            result[f"{name}_cpu_s"] = round(time.process_time() - burnt, 2)
            result[f"{name}_rows"] = sum(counts[f"{v}_{what}"] for v in Venue for what in ("new", "changed", "quotes"))
            result["rss_mb"] = _peak_mb()
            now += TICK
        began = time.perf_counter()
        found = await detect(store, BUILT_IN, now - TICK)
        result |= {"detect_s": round(time.perf_counter() - began, 2), "patterns": found.value}
        result["rss_with_detection_mb"] = _peak_mb()
    return result | _reading(folder / "0")


def _reading(folder: Path) -> dict[str, float]:
    """What of a cycle is reading, and what is the drift watch."""
    bodies = {venue: [path.read_bytes() for path in sorted((folder / venue).iterdir())] for venue in Venue}
    began = time.perf_counter()
    for venue, pages in bodies.items():
        for body in pages:
            PARSE[venue](body, NOON)
    parsed = time.perf_counter()
    profile = Profile()
    for pages in bodies.values():
        for body in pages:
            drift.sample(body, profile)
    watched = time.perf_counter()
    return {"of_it_parse_s": round(parsed - began, 2), "of_it_drift_watch_s": round(watched - parsed, 3)}


async def growth(folder: Path, database: Path) -> dict[str, Any]:
    """In the child: usual cycles over two hours, each market with its hourly heartbeat; a day is extrapolated.

    The made worlds differ in one of six between the two listings, which take turns.
    """
    now = NOON
    async with await Store.open(database, clock=lambda: now) as store:
        await _cycle(store, folder / "0", now)
        before = await _size(store)
        counts = dict[str, int]()
        for number in range(CYCLES_MEASURED):
            now += TICK
            for name, n in (await _cycle(store, folder / str(1 - number % 2), now)).items():
                counts[name] = counts.get(name, 0) + n
        grown = await _size(store) - before
        sealed = await store.reader.fetch_value("SELECT sum(length(body)) FROM batches")
    per_day = CYCLES_A_DAY / CYCLES_MEASURED
    return {
        "markets": N_MARKETS_DAY,
        "cycles_measured": CYCLES_MEASURED,
        "first_cycle_mb": round(before / 1e6, 1),
        "quotes_per_cycle": round(sum(counts[f"{v}_quotes"] for v in Venue) / CYCLES_MEASURED),
        "mb_per_day_extrapolated": round(grown * per_day / 1e6, 1),
        "batches_held_mb": round(sealed / 1e6, 1),
    }


async def _size(store: Store) -> int:
    size: int = await store.reader.fetch_value("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    return size


def _peak_mb() -> float:
    """Of this process alone: getrusage would give the parent's peak, which a fork inherits."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024, 1)


def _bare(source: Path, target: Path) -> float:
    """The rows of the first cycle into bare tables of the same columns, one transaction, same durability."""
    rows = sqlite3.connect(source)
    markets = rows.execute(
        "SELECT market_key, venue, status, event_id, end_time, digest, changed_at, body FROM markets"
    )
    quotes = rows.execute("SELECT * FROM quotes WHERE fetched_at = (SELECT min(fetched_at) FROM quotes)").fetchall()
    described = markets.fetchall()
    rows.close()
    bare = sqlite3.connect(target, isolation_level=None)
    bare.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE m (k TEXT UNIQUE, v TEXT, s TEXT, e TEXT, t INTEGER, d BLOB, c INTEGER, body BLOB);"
        "CREATE TABLE q (m INTEGER, at INTEGER, bid REAL, ask REAL, last REAL, mid REAL, v REAL, o REAL, l REAL,"
        " age REAL, PRIMARY KEY (m, at)) WITHOUT ROWID;"
    )
    began = time.perf_counter()
    bare.execute("BEGIN IMMEDIATE")
    bare.executemany(f"INSERT INTO m VALUES ({', '.join('?' * 8)})", described)
    bare.executemany(f"INSERT INTO q VALUES ({', '.join('?' * 10)})", quotes)
    bare.execute("COMMIT")
    took = time.perf_counter() - began
    bare.close()
    return round(took, 2)


async def _child(what: str, folder: Path, database: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.bench_cycle", what, folder, database, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the child that measures {what} ended with {process.returncode}")
    result: dict[str, Any] = json.loads(out)
    return result


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run = {"cycles": cycles, "growth": growth}[sys.argv[1]]
        print(json.dumps(asyncio.run(run(Path(sys.argv[2]), Path(sys.argv[3])))))
    else:
        print(json.dumps(asyncio.run(measure()), indent=2))
