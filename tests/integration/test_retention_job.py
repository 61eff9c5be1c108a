"""Retention over a real store: what is thinned, what goes, and above all what stays."""

from datetime import timedelta
from random import Random

import msgspec
import pytest

from agent.core.instants import from_ms, to_ms
from agent.jobs.retention import RetentionOptions, retention_job
from agent.jobs.runner import JobSpec, Runner, RunResult
from agent.store import outbox, retention
from agent.store.arbitrage import save_arbitrage
from agent.store.checks import save_checks
from agent.store.db import Store
from agent.store.insights import save_insight
from agent.store.markets import load_markets, save_markets
from agent.store.patterns import save_patterns
from agent.store.predictions import append_predictions
from agent.store.quotes import save_quotes
from agent.store.raw import save_raw
from agent.store.rejects import save_rejects
from agent.store.signals import save_signals
from agent.store.standings import enrol_predictions
from agent.venues.base import Reject
from sync.records import ArbitrageStatus, MarketStatus, Venue
from tests.conftest import ManualClock
from tests.factories import (
    MARKET_KEY,
    make_arbitrage,
    make_check,
    make_insight,
    make_market,
    make_pattern,
    make_prediction,
    make_quote,
    make_signal,
)

QUARTER = timedelta(minutes=15)


class Attic:
    """A store that fills over days, and the job that clears it."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock = store, clock
        self.began = clock()
        self.options = RetentionOptions(quotes_all_days=2, quotes_hourly_days=4, quotes_daily_days=6)
        self._n = 0

    async def quote(self, key: str = MARKET_KEY, **market: object) -> None:
        """A look at a market whose price has moved."""
        self._n += 1
        now, bid = self.clock(), round(0.10 + (self._n % 500) / 1000, 3)
        async with self.store.write() as tx:
            saved = await save_markets(tx, [make_market(market_key=key, fetched_at=now, **market)])
            quote = make_quote(market_key=key, fetched_at=now, bid=bid, ask=bid + 0.02)
            await save_quotes(tx, [quote], saved.ids)

    async def run(self) -> RunResult:
        """One pass, in a slot of its own."""
        job = retention_job(self.store, self.options)
        spec = JobSpec(name="retention", run=job, schedule="50 3 * * *", missed="latest", timeout_s=60)
        return await Runner(self.store, self.clock, [spec], {}).run("retention", self.clock())

    async def ages(self) -> list[timedelta]:
        """When the stored quotes are from, counted from the beginning."""
        rows = await self.store.reader.fetch("SELECT fetched_at FROM quotes ORDER BY fetched_at")
        return [from_ms(row["fetched_at"]) - self.began for row in rows]

    async def count(self, table: str) -> int:
        """How many rows a table holds."""
        n: int = await self.store.reader.fetch_value(f"SELECT count(*) FROM {table}")
        return n


@pytest.fixture
async def attic(store: Store, clock: ManualClock) -> Attic:
    """Empty, at noon."""
    return Attic(store, clock)


async def test_prices_are_thinned_to_hours_then_to_days_then_let_go(attic):
    """A chart of last month needs no quarter hours, and one of last year no hours."""
    for _ in range(10):
        await attic.quote()
        attic.clock.forward(minutes=15)  # 12:00 … 14:15
    first = await attic.ages()
    attic.clock.now = attic.began + timedelta(days=2, hours=2)
    hourly = await attic.run()
    kept_of_hours = await attic.ages()
    attic.clock.now = attic.began + timedelta(days=4, hours=12)
    daily = await attic.run()
    kept_of_days = await attic.ages()
    attic.clock.now = attic.began + timedelta(days=7)
    await attic.quote()
    gone = await attic.run()

    assert len(first) == 10
    assert hourly.counts["thinned_to_hours"] == 6  # the hours 12 and 13 are two days old, 14 is not
    assert kept_of_hours == [3 * QUARTER, 7 * QUARTER, 8 * QUARTER, 9 * QUARTER]
    assert (daily.counts["thinned_to_hours"], daily.counts["thinned_to_days"]) == (1, 2)
    assert kept_of_days == [9 * QUARTER]
    assert gone.counts["quotes_deleted"] == 1
    assert await attic.ages() == [timedelta(days=7)]


async def test_what_is_thin_is_not_looked_at_again(attic, monkeypatch):
    """Each night one day is thinned, not two years."""
    thinned = list[object]()
    thin_hour = retention.thin_hour

    async def noted(store, hour, keep):
        thinned.append(hour)
        return await thin_hour(store, hour, keep)

    monkeypatch.setattr(retention, "thin_hour", noted)
    await attic.quote()
    attic.clock.forward(days=5)
    await attic.run()
    first = list(thinned)
    attic.clock.forward(hours=3)
    await attic.run()

    assert first == [attic.began, attic.began]  # to hours, to days
    assert thinned == first


async def test_an_open_markets_newest_price_stays_whatever_its_age(attic):
    """Everything that asks "what is the price" reads it."""
    await attic.quote()
    await attic.quote(key="polymarket:0xover", status=MarketStatus.CLOSED)
    attic.clock.forward(days=300)
    result = await attic.run()

    assert result.counts["quotes_deleted"] == 1
    assert (
        await attic.store.reader.fetch_value("SELECT market_key FROM quotes JOIN markets ON id = market_id")
        == MARKET_KEY
    )


async def test_what_the_cloud_has_not_acknowledged_never_goes(attic):
    """A year without a cloud loses nothing."""
    for _ in range(4):
        await attic.quote()
        attic.clock.forward(minutes=15)
    for _ in range(3):
        async with attic.store.write() as tx:
            batch = await outbox.load_pending(tx, newest_first=False)
            await outbox.save_receipt(tx, batch, {}, now_ms=to_ms(attic.clock()))
    attic.clock.forward(days=365)
    result = await attic.run()

    assert result.counts["batches_deleted"] == 2  # the newest acknowledged one tells when the cloud was last there
    assert (await outbox.load_backlog(attic.store.reader)).n_batches == 1
    assert await attic.count("batches") == 2


async def test_acknowledged_batches_stay_a_fortnight(attic):
    """The cloud may be restored from a backup and ask for them again."""
    for _ in range(2):
        await attic.quote()
        async with attic.store.write() as tx:
            batch = await outbox.load_pending(tx, newest_first=False)
            await outbox.save_receipt(tx, batch, {}, now_ms=to_ms(attic.clock()))
        attic.clock.forward(minutes=15)
    attic.clock.forward(days=13)

    assert (await attic.run()).counts["batches_deleted"] == 0


async def test_a_batch_counts_its_days_from_the_acknowledgement(attic):
    """After a year without a cloud, what it took yesterday was sealed long ago."""
    for _ in range(2):
        await attic.quote()
        attic.clock.forward(days=20)
    for _ in range(2):
        async with attic.store.write() as tx:
            batch = await outbox.load_pending(tx, newest_first=False)
            await outbox.save_receipt(tx, batch, {}, now_ms=to_ms(attic.clock()))

    assert (await attic.run()).counts["batches_deleted"] == 0


async def test_raw_records_go_when_they_no_longer_come(attic):
    """A fault that lasts keeps its sample."""
    reject = Reject(venue=Venue.KALSHI, reason="r", path="$", body=b"{}")
    async with attic.store.write() as tx:
        await save_rejects(tx, [reject], attic.clock())
        await save_raw(tx, Venue.KALSHI, [b"old", b"again"], reason="r", now=attic.clock())
    attic.clock.forward(days=20)
    async with attic.store.write() as tx:
        await save_raw(tx, Venue.KALSHI, [b"again"], reason="r", now=attic.clock())
    attic.clock.forward(days=11)
    result = await attic.run()

    assert (result.counts["rejects_deleted"], result.counts["raw_deleted"]) == (1, 1)
    assert await attic.store.reader.fetch_value("SELECT n_seen FROM raw") == 2


async def test_a_market_of_long_ago_goes_unless_a_record_of_ours_speaks_of_it(attic):
    """Forecasts and insights are for ever, and so is what they are about."""
    over = {"status": MarketStatus.RESOLVED, "fetched_at": attic.clock()}
    keys = {name: f"polymarket:0x{name}" for name in ("plain", "forecast", "insight", "pattern")}
    markets = [make_market(market_key=key, **over) for key in keys.values()]
    async with attic.store.write() as tx:
        await save_markets(tx, [*markets, make_market(market_key="polymarket:0xopen", fetched_at=attic.clock())])
        await append_predictions(tx, [make_prediction(market_key=keys["forecast"])])
        await save_insight(tx, make_insight(market_key=keys["insight"]))
        await save_patterns(tx, [make_pattern(market_key=keys["pattern"], detected_at=attic.clock())])
    attic.clock.forward(days=366)
    result = await attic.run()

    assert (result.counts["markets_deleted"], result.counts["patterns_deleted"]) == (2, 1)
    held = await load_markets(attic.store.reader, [*keys.values(), "polymarket:0xopen"])
    assert set(held) == {keys["forecast"], keys["insight"], "polymarket:0xopen"}


async def test_what_was_found_goes_when_it_is_old_and_over(attic):
    """A signal is said once; a package that still pays is news whatever its age."""
    old = {"detected_at": attic.clock(), "computed_at": attic.clock()}
    ended = make_arbitrage(arbitrage_id="ended", status=ArbitrageStatus.EXPIRED, **old)
    async with attic.store.write() as tx:
        await save_arbitrage(tx, [ended, make_arbitrage(arbitrage_id="pays", **old)])
        await save_signals(tx, [make_signal(created_at=attic.clock())])
    attic.clock.forward(days=181)
    result = await attic.run()

    assert (result.counts["arbitrage_deleted"], result.counts["signals_deleted"]) == (1, 1)
    assert await attic.store.reader.fetch_value("SELECT arbitrage_id FROM arbitrage") == "pays"


async def test_hourly_checks_go_and_their_times_with_them(attic):
    """Every active forecast leaves one an hour: nothing else in the file grows as fast."""
    check = make_check(checked_at=attic.clock())
    async with attic.store.write() as tx:
        await save_markets(tx, [make_market()])
        await append_predictions(tx, [make_prediction()])
        await enrol_predictions(tx)
        await save_checks(tx, [(1, check)])
    attic.clock.forward(days=91)
    async with attic.store.write() as tx:
        await save_checks(tx, [(1, msgspec.structs.replace(check, checked_at=attic.clock()))])
    result = await attic.run()

    assert result.counts["checks_deleted"] == 1
    assert (await attic.count("checks"), await attic.count("check_times")) == (1, 1)


async def test_old_runs_go_and_the_file_shrinks(attic):
    """What was freed goes back to the disk, or the file only ever grows."""
    await attic.run()
    noise = Random(1)
    bodies = [noise.randbytes(4000) for _ in range(400)]  # what zlib cannot make small
    async with attic.store.write() as tx:
        await save_raw(tx, Venue.KALSHI, bodies, reason="r", now=attic.clock())
    before = await attic.store.reader.fetch_value("PRAGMA page_count")
    attic.clock.forward(days=91)
    result = await attic.run()
    attic.clock.forward(days=91)
    last = await attic.run()

    assert result.counts["raw_deleted"] == 400
    assert result.counts["pages_freed"] > 100
    assert await attic.store.reader.fetch_value("PRAGMA page_count") < before
    assert last.counts["runs_deleted"] >= 1


async def test_every_deletion_is_a_short_transaction(attic, monkeypatch):
    """A collect beside it must not wait for a night's work."""
    monkeypatch.setattr(retention, "CHUNK", 3)
    for _ in range(12):
        await attic.quote()
        attic.clock.forward(minutes=4)
    attic.clock.forward(days=3)
    changes = list[int]()
    execute_many = retention.Tx.execute_many

    async def counted(self, sql, rows):
        n = await execute_many(self, sql, rows)
        changes.append(n)
        return n

    monkeypatch.setattr(retention.Tx, "execute_many", counted)
    result = await attic.run()

    assert result.counts["thinned_to_hours"] == 11
    assert changes == [3, 3, 3, 2]
