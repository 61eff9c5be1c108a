"""Draining a backlog to a real Postgres at 0, 40 and 100 ms round trip, beside a bare `unnest` insert of the same rows on
the same link; how soon a fresh tick is there meanwhile; memory while it lasts; bytes on both disks.

The bare side has the rows as typed columns in memory and lands every column of them under their natural key, a statement
and a commit a tick, one after the other. It keeps no ledger, no newest price, no numbers of markets, and knows no
duplicate. Both sides sync their commits. Where others work on the machine, look at the server's CPU, not at the clock.

Bounded by default; SYNC_BENCH_TICKS=672 is the week offline (3.36 million rows).
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg
import msgspec
import psutil

from agent.store.db import Store
from agent.store.sending import StoreOutbox
from sync.protocol import Transport
from sync.records import Quote
from sync.sender import Sender
from sync.transports.https import HttpsTransport
from sync.transports.postgres import PostgresTransport
from tests.factories import make_quote
from tests.fakes.postgres import EmbeddedPostgres

TICKS = int(os.environ.get("SYNC_BENCH_TICKS", "12"))
ROWS = 5_000
ROUND_TRIPS_MS = (0, 40, 100)
HTTPS_MS = 40  # by way of the service
GOAL_RATIO, GOAL_FRESH_S, GOAL_RSS_MB = 0.7, 5.0, 150.0
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(days=7)

Connect: TypeAlias = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

_COLUMNS = (
    "market_key", "fetched_at", "bid", "ask", "last_price", "mid", "volume_24h", "open_interest", "liquidity_usd",
)  # fmt: skip
_BARE = f"""
insert into bare select * from unnest($1::text[], $2::timestamptz[], {", ".join(f"${n}::float8[]" for n in range(3, 10))})
on conflict do nothing
"""
_BARE_TABLE = f"""
create table bare (
    market_key text, fetched_at timestamptz, {", ".join(f"{name} float8" for name in _COLUMNS[2:])},
    primary key (market_key, fetched_at)
)
"""
_BACKENDS = "select pid from pg_stat_activity where application_name = $1"
_FRESH = "select true from price_latest join market using (market_id) where market_key = 'kalshi:FRESH'"


class Drained(msgspec.Struct):
    """What draining took."""

    took_s: float = 0.0
    fresh_s: float = 0.0  # until a tick sealed in the middle was there
    highest_rss: list[int] = msgspec.field(default_factory=lambda: [0] * 4)  # of each quarter of the rows
    server_cpu_s: float = 0.0


async def measure() -> dict[str, object]:
    """Rows a second by round trip, ours and bare."""
    server = await asyncio.to_thread(EmbeddedPostgres().start)
    for setting in ("fsync", "full_page_writes"):  # the tests do without
        await asyncio.to_thread(server.server.set_option, setting, "on")
    try:
        with tempfile.TemporaryDirectory() as folder:
            backlog = Path(folder) / "backlog.db"
            await _seal_backlog(backlog)
            lines = {f"{ms}_ms": await _line(server, backlog, ms) for ms in ROUND_TRIPS_MS}
            lines[f"https_{HTTPS_MS}_ms"] = await _line(server, backlog, HTTPS_MS, over_https=True)
    finally:
        await asyncio.to_thread(server.stop)
    goals = {"goal_ratio": GOAL_RATIO, "goal_fresh_s": GOAL_FRESH_S, "goal_rss_mb": GOAL_RSS_MB}
    return {"ticks": TICKS, "rows_per_tick": ROWS, **goals, **lines}


async def _seal_backlog(path: Path) -> None:
    async with await Store.open(path, clock=lambda: datetime.now(UTC)) as store:
        for number in range(TICKS):
            async with store.write() as tx:
                tx.emit(*_tick(number))
        await store.checkpoint()


async def _line(
    server: EmbeddedPostgres, backlog: Path, round_trip_ms: int, *, over_https: bool = False
) -> dict[str, object]:
    owner_dsn, edge_dsn = await asyncio.to_thread(server.create_database)
    edge_bytes = backlog.stat().st_size
    path = Path(shutil.copy(backlog, backlog.with_name(f"{round_trip_ms}.db")))
    owner = await asyncpg.connect(owner_dsn)
    async with (
        await Store.open(path, clock=lambda: datetime.now(UTC)) as store,
        _slow(_of_server(owner_dsn), round_trip_ms) as port,
        _road(owner_dsn, _through(edge_dsn, port), round_trip_ms, over_https=over_https) as (road, name),
    ):
        bare_s, bare_cpu_s = await _bare(owner, _through(owner_dsn, port))
        process = psutil.Process()
        before = process.memory_info().rss
        ours = await _drain(store, road, owner, process, name)
    table = await owner.fetchval(
        "select sum(pg_total_relation_size(inhrelid)) from pg_inherits where inhparent = 'price_snapshot'::regclass"
    )
    await owner.close()
    path.unlink()
    n_rows, n_ours = TICKS * ROWS, (TICKS + 1) * ROWS  # ours has one tick more, sealed in the middle
    ratio = (n_ours / ours.took_s) / (n_rows / bare_s)
    return {
        "ours_rows_per_s": round(n_ours / ours.took_s),
        "bare_unnest_rows_per_s": round(n_rows / bare_s),
        "ratio": round(ratio, 2),
        "goal_met": ratio >= GOAL_RATIO,
        "server_cpu_ratio": round(bare_cpu_s / TICKS * (TICKS + 1) / ours.server_cpu_s, 2),
        "server_cpu_ms_per_tick": round(ours.server_cpu_s / (TICKS + 1) * 1000, 1),
        "bare_server_cpu_ms_per_tick": round(bare_cpu_s / TICKS * 1000, 1),
        "fresh_tick_visible_s": round(ours.fresh_s, 2),
        "rss_mb": {"before": _mb(before), "highest_by_quarter": [_mb(highest) for highest in ours.highest_rss]},
        "edge_bytes_per_row": round(edge_bytes / n_rows),
        "cloud_bytes_per_row": round(table / n_ours),
    }


def _tick(number: int, n_rows: int = ROWS) -> list[Quote]:
    """Every market with a price of its own that moves: what is all alike would pack too well."""
    at = BEGAN + number * timedelta(minutes=15)
    return [_quote(i, at, bid=0.05 + (i * 37 + number * 7) % 900 / 1000, n=number) for i in range(n_rows)]


def _quote(i: int, at: datetime, *, bid: float, n: int) -> Quote:
    return make_quote(
        market_key=f"polymarket:0x{hashlib.sha256(str(i).encode()).hexdigest()}",
        fetched_at=at,
        bid=round(bid, 3),
        ask=round(bid + 0.02, 3),
        last_price=round(bid + 0.01, 3),
        volume_24h=round(1_000 + i * 13.37 + n * 1.01, 2),
        liquidity_usd=round(5_000 + i * 7.77 + n * 0.53, 2),
    )


async def _bare(owner: "asyncpg.Connection[asyncpg.Record]", dsn: str) -> tuple[float, float]:
    """Seconds by the clock and of the server's CPU; building the columns does not count."""
    await owner.execute(_BARE_TABLE)
    connection = await asyncpg.connect(dsn.replace("edge_ingest", "postgres"))
    backend = psutil.Process(await connection.fetchval("select pg_backend_pid()"))
    await connection.execute(_BARE, *([] for _ in _COLUMNS))  # prepared before the clock runs
    cpu_s, took_s = _cpu_s(backend), 0.0
    for number in range(TICKS):
        tick = _tick(number)
        values = [[getattr(quote, name) for quote in tick] for name in _COLUMNS]
        began = time.perf_counter()
        await connection.execute(_BARE, *values)
        took_s += time.perf_counter() - began
    cpu_s = _cpu_s(backend) - cpu_s
    await connection.close()
    await owner.execute("drop table bare")
    return took_s, cpu_s


def _mb(n_bytes: int) -> float:
    return round(n_bytes / 1e6, 1)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def _drain(
    store: Store, road: Transport, owner: "asyncpg.Connection[asyncpg.Record]", process: psutil.Process, name: str
) -> Drained:
    """Send all of it, and in the middle a tick of now. `name`: what the server calls those who work for us."""
    sender = Sender(StoreOutbox(store), road, host_id="bench", boot_id="b", agent_version="0", clock=store.clock)
    seen, cpu_s, began, fresh_at = Drained(), dict[int, float](), time.perf_counter(), 0.0
    landed = "select coalesce(sum(hi - lo + 1), 0) from edge_batch"
    draining = asyncio.create_task(sender.drain())
    while not draining.done():
        n_landed = await owner.fetchval(landed)
        quarter = min(3, int(n_landed * 4 / (TICKS * ROWS)))
        seen.highest_rss[quarter] = max(seen.highest_rss[quarter], process.memory_info().rss)
        for (pid,) in await owner.fetch(_BACKENDS, name):
            with suppress(psutil.NoSuchProcess):
                cpu_s[pid] = _cpu_s(psutil.Process(pid))
        if not fresh_at and n_landed >= TICKS * ROWS // 2:
            now = datetime.now(UTC)
            tick = [msgspec.structs.replace(quote, fetched_at=now) for quote in _tick(TICKS, ROWS - 1)]
            async with store.write() as tx:
                tx.emit(*tick, make_quote(market_key="kalshi:FRESH", fetched_at=now))
            fresh_at = time.perf_counter()
        elif fresh_at and not seen.fresh_s and await owner.fetchval(_FRESH):
            seen.fresh_s = time.perf_counter() - fresh_at
        await asyncio.sleep(0.02)
    await draining
    seen.took_s = time.perf_counter() - began
    seen.fresh_s = seen.fresh_s or time.perf_counter() - fresh_at
    seen.server_cpu_s = sum(cpu_s.values())
    return seen


def _through(dsn: str, port: int) -> str:
    """The same database by way of the slow link."""
    parts = urlsplit(dsn)
    return f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable"


@asynccontextmanager
async def _road(
    owner_dsn: str, edge_dsn: str, round_trip_ms: int, *, over_https: bool
) -> AsyncIterator[tuple[Transport, str]]:
    """Straight to the database, or by way of the service in a process of its own."""
    if not over_https:
        yield PostgresTransport(edge_dsn, host_id="bench"), "oddsd/bench"
        return
    # Here, and so for the last line alone: it brings half a service along, and memory is measured.
    from tests.bench.cloud.processes import pro_key, served

    key = await pro_key(owner_dsn, "ingest")
    async with served("ours", dsn=owner_dsn) as (service, _):
        way = partial(asyncio.open_connection, "127.0.0.1", service)
        async with _slow(way, round_trip_ms) as port:
            yield HttpsTransport(f"http://127.0.0.1:{port}", key, host_id="bench"), "oddsd-cloud"


def _of_server(dsn: str) -> Connect:
    """Connections to the server's socket."""
    query = parse_qs(urlsplit(dsn).query)
    return partial(asyncio.open_unix_connection, f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}")


@asynccontextmanager
async def _slow(connect: Connect, round_trip_ms: int) -> AsyncIterator[int]:
    """A TCP port in front of a server that holds each piece back for half the round trip, both ways."""
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
        up, down = await connect()
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
