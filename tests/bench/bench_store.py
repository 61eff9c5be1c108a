"""Durable storing: 1,000 snapshots in one cycle, beside a bare executemany of the same rows on the same disk."""

import sqlite3
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import msgspec

from agent.store.db import Store
from agent.store.markets import save_markets
from agent.store.quotes import save_quotes
from sync.records import Market, Quote
from tests.factories import NOON, make_market, make_quote

N_ROWS = 1_000
N_CYCLES = 15
GOAL_MS = 20.0


async def measure() -> dict[str, object]:
    """Milliseconds per cycle of N_ROWS changed quotes, synchronous=FULL, sealed for travel."""
    with tempfile.TemporaryDirectory() as folder:
        ours = await _ours(Path(folder) / "ours.db")
        bare = _bare(Path(folder) / "bare.db")
    return {
        "rows": N_ROWS,
        "goal_ms": GOAL_MS,
        "ours_ms_median": round(median(ours), 2),
        "ours_ms_max": round(max(ours), 2),
        "bare_executemany_ms_median": round(median(bare), 2),
        "ratio": round(median(ours) / median(bare), 2),
        "goal_met": median(ours) < GOAL_MS,
    }


def _cycle(number: int) -> tuple[list[Market], list[Quote]]:
    at = NOON + number * timedelta(minutes=15)
    keys = [f"polymarket:0x{i:064x}" for i in range(N_ROWS)]
    markets = [make_market(market_key=key) for key in keys]
    bid = round(0.30 + number * 0.001, 3)
    quotes = [make_quote(market_key=key, fetched_at=at, bid=bid, ask=round(bid + 0.02, 3)) for key in keys]
    return [msgspec.structs.replace(market, fetched_at=at) for market in markets], quotes


async def _ours(path: Path) -> list[float]:
    times = list[float]()
    async with await Store.open(path, clock=lambda: datetime.now(UTC)) as store:
        for number in range(N_CYCLES + 1):
            markets, quotes = _cycle(number)
            async with store.write() as tx:
                saved = await save_markets(tx, markets)
            began = time.perf_counter()
            async with store.write() as tx:
                await save_quotes(tx, quotes, saved.ids)
            times.append((time.perf_counter() - began) * 1000)
    return times[1:]


def _bare(path: Path) -> list[float]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE q (m TEXT, at INTEGER, bid REAL, ask REAL, last REAL, mid REAL, v REAL, l REAL,"
        " PRIMARY KEY (m, at)) WITHOUT ROWID;"
    )
    times = list[float]()
    for number in range(N_CYCLES + 1):
        _, quotes = _cycle(number)
        rows = [
            (q.market_key, number, q.bid, q.ask, q.last_price, q.mid, q.volume_24h, q.liquidity_usd) for q in quotes
        ]
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO q VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        times.append((time.perf_counter() - began) * 1000)
    connection.close()
    return times[1:]
