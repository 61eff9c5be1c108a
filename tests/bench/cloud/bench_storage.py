"""What the database answers in: latest price, 24 hours as rows and packed, insights, search, ingest, and their sizes.

Every figure runs the statements the service runs, through asyncpg with its statement cache, on the embedded server. Beside
the time on the clock stands the work: CPU of the database and of this process, the same on a machine that is busy.
"""

import random
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from itertools import count

import asyncpg
import msgspec
import psutil  # type: ignore[import-untyped]

from cloudapi.cache import MemoryCache, Shelf
from cloudapi.queries import insights, markets, prices
from cloudapi.storage.choice import load_storage
from cloudapi.tiers import Interval
from tests.factories import make_quote
from tests.fakes.postgres import EmbeddedPostgres
from tests.integration.cloud.edge import HandEdge, encode
from tests.integration.cloud.filled import days_ago, fill_day
from tests.integration.cloud.test_explain import explain

QUOTED = 2500  # markets with a history, as the goals were measured
TICKS = 288
TOPICS = [
    "rain", "snow", "senate", "governor", "bitcoin", "ether", "election", "fed",
    "rate", "oil", "gold", "championship", "final", "goal", "storm", "court",
]  # fmt: skip
PLACES = ["Paris", "Oslo", "Madrid", "Texas", "Ohio", "Kyoto", "Lagos", "Lima", "Quito", "Delhi", "Perth", "Leeds"]

MARKETS = """
insert into market (market_key, venue, venue_market_id, title, status, fetched_at, category, event_title)
select 'kalshi:M-' || n, 'kalshi', 'M-' || n,
       'Will the ' || ($2::text[])[1 + n * 7 % 16] || ' in ' || ($3::text[])[1 + n * 5 % 12] || ' be number '
       || n % 977 || '?', 'open', now(), 'Numbers', ($2::text[])[1 + n * 11 % 16] || ' of the season'
from generate_series(1, $1::int) as n
"""

INSIGHTS = """
insert into insight (
    insight_id, market_id, pattern_id, detector, recommendation, confidence, one_liner, reasoning, edge_explanation,
    risk_factors, suggested_position, time_sensitivity, actionable, model, prompt_version, cost_usd, created_at, expires_at
)
select 'ins-' || n, 1 + n % 2500, 'p', 'd', 'CAUTION', n % 100, 'One line about it.', repeat('Because of this. ', 40), 'e',
       '{thin,late}', 'WAIT', 'DAYS', n % 10 = 0, 'm', '1', 0.001, now() - n * interval '10 seconds', now()
from generate_series(1, $1::int) as n
"""


class Work:
    """CPU seconds of the database server and of this process."""

    def __init__(self) -> None:
        self._all: list[psutil.Process] = []

    def watch(self, backend_pid: int) -> None:
        """The server that this backend is of, and whoever works for it now."""
        server = psutil.Process(backend_pid).parent()
        self._all = [psutil.Process(), *([] if server is None else server.children())]

    def spent_s(self) -> float:
        """Since they were started; who has ended meanwhile is no longer counted."""
        return sum(times.user + times.system for each in self._all if each.is_running() for times in [each.cpu_times()])


WORK = Work()


async def measure(n_rows: int, n_markets: int) -> dict[str, object]:
    """All figures on one database of `n_rows` quotes and `n_markets` markets."""
    postgres = EmbeddedPostgres().start()
    try:
        owner_dsn, edge_dsn = postgres.create_database()
        async with asyncpg.create_pool(owner_dsn, min_size=2, max_size=4) as pool, pool.acquire() as db:
            n_days = max(2, round(n_rows / (QUOTED * TICKS)))
            days = [await days_ago(db, n + 2) for n in range(n_days)]
            await _fill(db, days, n_markets)
            WORK.watch(db.get_server_pid())
            rows = await _history(pool, db, days[0])
            found = {
                "rows": await db.fetchval("select count(*) from price_snapshot"),
                "latest": await _latest(pool, db),
                "insights_page": await _insights(pool),
                "search": await _search(pool),
                "ingest_1000": await _ingest(edge_dsn, pool, db),
            }
            return found | await _pack(pool, db, days[0], rows)
    finally:
        postgres.stop()


async def _fill(db: asyncpg.Connection, days: list[date], n_markets: int) -> None:
    await db.execute(MARKETS, n_markets, TOPICS, PLACES)
    for day in days:
        await fill_day(db, day, QUOTED, TICKS)
    await db.execute(
        "insert into price_latest select distinct on (market_id) * from price_snapshot "
        "where fetched_at >= $1 order by market_id, fetched_at desc", _midnight(days[0]),
    )  # fmt: skip
    await db.execute(INSIGHTS, 100_000)
    await db.execute("vacuum analyze")


async def _latest(pool: asyncpg.Pool, db: asyncpg.Connection) -> dict[str, object]:
    newest = (
        "select * from price_snapshot where market_id = $1 and fetched_at > now() - interval '30 days' "
        "order by fetched_at desc limit 1"
    )
    ours = await _times(lambda n: prices.load_price(pool, f"kalshi:M-{n}", as_of=None))
    history = await _times(lambda n: db.fetchrow(newest, n))
    return {"goal_ms": 0.5, "ms": ours, "newest_row_of_the_history_ms": history}


async def _history(pool: asyncpg.Pool, db: asyncpg.Connection, day: date) -> dict[str, object]:
    start = _midnight(day)
    until = start + timedelta(days=1)
    spans = (start, until, timedelta(seconds=1))
    return {
        "raw_ms": await _times(
            lambda n: prices.load_series(pool, [f"kalshi:M-{n}"], Interval.RAW, start=start, end=until)
        ),
        "hourly_ms": await _times(
            lambda n: prices.load_series(pool, [f"kalshi:M-{n}"], Interval.H1, start=start, end=until)
        ),
        "pages": (await explain(db, prices.LOAD_SERIES, ["kalshi:M-77"], *spans)).n_pages,
    }


async def _pack(pool: asyncpg.Pool, db: asyncpg.Connection, day: date, rows: dict[str, object]) -> dict[str, object]:
    storage = await load_storage(db)
    before = {size.part: size.n_bytes for size in await storage.sizes()}
    began = time.perf_counter()
    n_hours = await storage.roll_up()
    rolled = time.perf_counter()
    packed = await storage.compact()
    done = time.perf_counter()
    await db.execute("vacuum analyze")
    after = {size.part: size.n_bytes for size in await storage.sizes()}
    n_packed = sum(packed.values())
    return {
        "history_24h": {
            "goal_ms": 3, "goal_pages": 20, "packed": await _history(pool, db, day), "as_rows_before": rows,
        },
        "roll_up": {"hours": n_hours, "s": round(rolled - began, 2)},
        "packing": {
            "rows": n_packed,
            "s": round(done - rolled, 2),
            "bytes_per_row_before": round((before["rows"] - after["rows"]) / max(1, n_packed), 1),
            "bytes_per_row_packed": round(after["packed"] / max(1, n_packed), 1),
        },
    }  # fmt: skip


async def _insights(pool: asyncpg.Pool) -> dict[str, object]:
    page = insights.InsightFilters()
    moments = await pool.fetch("select created_at, insight_id from insight order by random() limit 300")
    deep = "select * from insight order by created_at desc, insight_id desc offset $1 limit 21"

    async def ours(n: int) -> object:
        return await insights.load_insights(pool, page, before=tuple(moments[n % 300]), limit=20)

    return {
        "goal_ms": 3,
        "ms": await _times(ours),
        "by_offset_50000_ms": await _times(lambda n: pool.fetch(deep, 50_000 + n), repeat=20),
    }


async def _search(pool: asyncpg.Pool) -> dict[str, object]:
    asked = (
        [f"{topic} {place}" for topic in TOPICS for place in PLACES] + TOPICS + [f"seas number {n}" for n in range(99)]
    )
    chosen = random.Random(7).choices(asked, k=1000)  # the same questions every run
    scan = "select market_id from market where to_tsvector('english', title) @@ websearch_to_tsquery('english', $1) limit 1000"
    return {
        "markets": await pool.fetchval("select count(*) from market"),
        "goal_p95_ms": 15,
        "ms": await _times(lambda n: markets.search_markets(pool, chosen[n], limit=20)),
        "list_newest_first_ms": await _times(
            lambda n: markets.load_markets(pool, markets.MarketFilters(q=chosen[n]), before_id=None, limit=20)
        ),
        "without_index_ms": await _times(lambda n: pool.fetch(scan, chosen[n]), repeat=5),
    }


async def _ingest(edge_dsn: str, pool: asyncpg.Pool, db: asyncpg.Connection) -> dict[str, object]:
    connection = await asyncpg.connect(edge_dsn)
    WORK.watch(connection.get_server_pid())  # this backend is new
    edge = HandEdge(connection)
    await edge.hello()
    now = datetime.now(UTC)
    shelf = Shelf(MemoryCache())

    async def newest() -> bytes:
        return msgspec.json.encode(await prices.load_price(pool, "kalshi:M-7", as_of=None))

    async def land(_: int) -> None:
        at, text, n_rows = next(batches)
        await edge.send_text(text, n_rows)
        await shelf.fetch(f"price:{at}", 5, newest)

    batches = iter([_batch(now + timedelta(seconds=n)) for n in range(50)])
    ours = await _times(land, repeat=40)
    await connection.close()
    single = "insert into price_snapshot (market_id, fetched_at, bid) values ($1, $2, $3)"

    later = count()

    async def one_by_one(_: int) -> None:
        at = now + timedelta(hours=1, milliseconds=next(later))
        await db.executemany(single, [(m, at, 0.5) for m in range(1, 1001)])

    return {
        "goal_ms": 50,
        "batch_with_latest_ledger_and_cache_ms": ours,
        "executemany_rows_alone_ms": await _times(one_by_one, repeat=20),
    }


def _batch(at: datetime) -> tuple[datetime, str, int]:
    quotes = [make_quote(market_key=f"kalshi:M-{m}", fetched_at=at) for m in range(1, 1001)]
    return at, encode(quotes), len(quotes)


async def _times(ask: Callable[[int], Awaitable[object]], *, repeat: int = 300) -> dict[str, float]:
    """Milliseconds of single calls, one after the other, after a tenth of them to warm up."""
    taken = []
    for n in range(repeat // 10):
        await ask(n % 40)
    before_s = WORK.spent_s()
    for n in range(repeat):
        began = time.perf_counter()
        await ask(n)
        taken.append((time.perf_counter() - began) * 1000)
    work_s = WORK.spent_s() - before_s
    # The best says what the code costs where other work on the machine gets in the way of the rest.
    return {
        "best": round(min(taken), 3),
        "median": round(statistics.median(taken), 3),
        "p95": round(statistics.quantiles(taken, n=20)[18], 3),
        "cpu": round(work_s * 1000 / repeat, 2),
    }


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
