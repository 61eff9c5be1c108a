"""Draining a backlog to a real Postgres at 0, 40 and 100 ms round trip, beside a bare `unnest` insert of the same rows on
the same link; how soon a fresh tick is there meanwhile; memory while it lasts; bytes on both disks.

Bounded by default; SYNC_BENCH_TICKS=672 is the week offline (3.36 million rows).
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil

from agent.store.db import Store
from agent.store.sending import StoreOutbox
from sync.records import Quote
from sync.sender import Sender
from sync.transports.postgres import PostgresTransport
from tests.factories import make_quote
from tests.fakes.postgres import EmbeddedPostgres

TICKS = int(os.environ.get("SYNC_BENCH_TICKS", "12"))
ROWS = 5_000
ROUND_TRIPS_MS = (0, 40, 100)
GOAL_RATIO, GOAL_FRESH_S, GOAL_RSS_MB = 0.7, 5.0, 150.0
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=7)

_BARE = """
insert into bare select * from unnest($1::text[], $2::timestamptz[], $3::float8[], $4::float8[], $5::float8[])
on conflict do nothing
"""
_BARE_TABLE = "create table bare (m text, at timestamptz, bid float8, ask float8, mid float8, primary key (m, at))"


async def measure() -> dict[str, object]:
    """Rows a second by round trip, ours and bare."""
    server = await asyncio.to_thread(EmbeddedPostgres().start)
    try:
        lines = {f"{ms}_ms": await _line(server, ms) for ms in ROUND_TRIPS_MS}
    finally:
        await asyncio.to_thread(server.stop)
    return {"ticks": TICKS, "rows_per_tick": ROWS, "goal_ratio": GOAL_RATIO, "goal_fresh_s": GOAL_FRESH_S, **lines}


async def _line(server: EmbeddedPostgres, round_trip_ms: int) -> dict[str, object]:
    owner_dsn, edge_dsn = await asyncio.to_thread(server.create_database)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "oddsd.db"
        async with (
            await Store.open(path, clock=lambda: datetime.now(UTC)) as store,
            _slow(owner_dsn, round_trip_ms) as port,
        ):
            for number in range(TICKS):
                async with store.write() as tx:
                    tx.emit(*_tick(number))
            await store.checkpoint()
            edge_bytes = path.stat().st_size
            owner = await asyncpg.connect(owner_dsn)
            bare_s = await _bare(owner, _through(owner_dsn, port))
            process = psutil.Process()
            before = process.memory_info().rss
            ours_s, fresh_s, rss = await _drain(store, _through(edge_dsn, port), owner, process)
            table = await owner.fetchval(
                "select sum(pg_total_relation_size(inhrelid)) from pg_inherits"
                " where inhparent = 'price_snapshot'::regclass"
            )
            await owner.close()
    n_rows = TICKS * ROWS
    return {
        "ours_rows_per_s": round(n_rows / ours_s),
        "bare_unnest_rows_per_s": round(n_rows / bare_s),
        "ratio": round(bare_s / ours_s, 2),
        "goal_met": bare_s / ours_s >= GOAL_RATIO,
        "fresh_tick_visible_s": round(fresh_s, 2),
        "rss_mb": round(rss / 1e6, 1),
        "rss_grew_mb": round((rss - before) / 1e6, 1),
        "edge_bytes_per_row": round(edge_bytes / n_rows),
        "cloud_bytes_per_row": round(table / n_rows),
    }


def _tick(number: int) -> list[Quote]:
    at = BEGAN + number * timedelta(minutes=15)
    bid = 0.30 + (number % 300) * 0.001
    return [
        make_quote(market_key=f"polymarket:0x{i:064x}", fetched_at=at, bid=round(bid, 3), ask=round(bid + 0.02, 3))
        for i in range(ROWS)
    ]


async def _bare(owner: "asyncpg.Connection[asyncpg.Record]", dsn: str) -> float:
    """The same rows as columns of a table with a natural key, one statement a tick, one connection."""
    await owner.execute(_BARE_TABLE)
    connection = await asyncpg.connect(dsn.replace("edge_ingest", "postgres"))
    ticks = [_tick(number) for number in range(TICKS)]
    columns = [
        (
            [q.market_key for q in t],
            [q.fetched_at for q in t],
            [q.bid for q in t],
            [q.ask for q in t],
            [q.mid for q in t],
        )
        for t in ticks
    ]
    began = time.perf_counter()
    for values in columns:
        await connection.execute(_BARE, *values)
    took = time.perf_counter() - began
    await connection.close()
    await owner.execute("drop table bare")
    return took


async def _drain(
    store: Store, dsn: str, owner: "asyncpg.Connection[asyncpg.Record]", process: psutil.Process
) -> tuple[float, float, int]:
    """Seconds for everything, seconds until a tick sealed in the middle was there, and the highest memory seen."""
    sender = Sender(
        StoreOutbox(store), PostgresTransport(dsn, host_id="bench"), host_id="bench", boot_id="b", agent_version="0",
        clock=store.clock,
    )  # fmt: skip
    began, rss = time.perf_counter(), 0
    draining = asyncio.create_task(sender.drain())
    fresh_at = fresh_s = 0.0
    half = "select coalesce(sum(hi - lo + 1), 0) from edge_batch"
    while not draining.done():
        rss = max(rss, process.memory_info().rss)
        landed = await owner.fetchval(half)
        if not fresh_at and landed >= TICKS * ROWS // 2:
            async with store.write() as tx:
                tx.emit(make_quote(market_key="kalshi:FRESH", fetched_at=datetime.now(UTC)))
            fresh_at = time.perf_counter()
        elif (
            fresh_at
            and not fresh_s
            and await owner.fetchval("select true from market where market_key = 'kalshi:FRESH'")
        ):
            fresh_s = time.perf_counter() - fresh_at
        await asyncio.sleep(0.02)
    await draining
    return time.perf_counter() - began, fresh_s or time.perf_counter() - fresh_at, rss


def _through(dsn: str, port: int) -> str:
    """The same database by way of the slow link."""
    parts = urlsplit(dsn)
    return f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable"


@asynccontextmanager
async def _slow(dsn: str, round_trip_ms: int) -> AsyncIterator[int]:
    """A TCP port in front of the server's socket that holds each piece back for half the round trip, both ways."""
    query = parse_qs(urlsplit(dsn).query)
    socket_path = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
    half_s, tasks = round_trip_ms / 2000, set[asyncio.Task[None]]()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces = asyncio.Queue[tuple[float, bytes]](maxsize=256)

        async def take() -> None:
            while piece := await reader.read(1 << 16):
                await pieces.put((time.perf_counter() + half_s, piece))
            await pieces.put((time.perf_counter() + half_s, b""))

        taking = asyncio.create_task(take())
        try:
            while True:
                due, piece = await pieces.get()
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                if not piece:
                    break
                writer.write(piece)
                await writer.drain()
        finally:
            taking.cancel()
            with suppress(OSError):
                writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up, down = await asyncio.open_unix_connection(socket_path)
        for one in (carry(reader, down), carry(up, writer)):
            task = asyncio.create_task(one)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
