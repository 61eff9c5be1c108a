"""Backfill on demand: what a venue says about the past, kept as what it is."""

import asyncio
import contextlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent import daemon
from agent.app import open_house
from agent.cli import commands
from agent.errors import UnknownMarket, VenueUnavailable
from agent.jobs.backfill import backfill
from agent.settings import load_settings
from agent.status.control import call
from agent.store.db import Store
from agent.store.history import load_points
from agent.store.markets import save_markets
from agent.venues.base import HistoryPoint
from sync.records import Venue
from tests.conftest import ManualClock
from tests.factories import MARKET_KEY, make_market
from tests.fakes.desk import Desk
from tests.fakes.exchange import ExchangeServer


def points(clock: ManualClock, n: int, **over: object) -> list[HistoryPoint]:
    """Hourly points up to an hour ago."""
    values = {"source": "clob-prices-history", "price": 0.42} | over
    return [HistoryPoint(at=clock() - timedelta(hours=hour), **values) for hour in range(n, 0, -1)]


@pytest.fixture
async def desk(store: Store, clock: ManualClock) -> Desk:
    """A venue with a history, and its market in the store."""
    async with store.write() as tx:
        await save_markets(tx, [make_market(fetched_at=clock()), make_market(market_key="polymarket:0xb", fetched_at=clock())])  # fmt: skip
    return Desk(history=points(clock, 48))


async def test_points_are_kept_apart_from_quotes(store: Store, clock: ManualClock, desk: Desk) -> None:
    """Nobody knows what a point of that series is: no detector and no benchmark may meet it as a quote."""
    done = await backfill(store, {desk.venue: desk}, MARKET_KEY, days=30, now=clock())
    assert (done.points, done.new, done.sources) == (48, 48, ("clob-prices-history",))
    assert (done.first_at, done.last_at) == (clock() - timedelta(hours=48), clock() - timedelta(hours=1))
    assert await load_points(store.reader, MARKET_KEY) == desk.history
    assert await store.reader.fetch_value("SELECT count(*) FROM quotes") == 0


async def test_asking_again_adds_only_what_is_new(store: Store, clock: ManualClock, desk: Desk) -> None:
    """The same hours come again; a bar that was still open then is corrected."""
    await backfill(store, {desk.venue: desk}, "0xfed0", days=30, now=clock())
    desk.history[-1] = HistoryPoint(at=desk.history[-1].at, source=desk.history[-1].source, price=0.5)
    clock.forward(hours=2)
    desk.history += points(clock, 1)
    done = await backfill(store, {desk.venue: desk}, "0xfed0", days=1, now=clock())
    assert done.new == 1
    assert desk.asked_since[-1] == clock() - timedelta(days=1)
    stored = await load_points(store.reader, MARKET_KEY)
    assert [point.price for point in stored[-2:]] == [0.5, 0.42]


async def test_a_market_that_is_not_meant_clearly_is_an_error_in_words(
    store: Store, clock: ManualClock, desk: Desk
) -> None:
    """None or several: the person decides, not we."""
    with pytest.raises(UnknownMarket, match="no market we hold"):
        await backfill(store, {desk.venue: desk}, "nothing like it", days=1, now=clock())
    with pytest.raises(UnknownMarket, match="2 markets fit"):
        await backfill(store, {desk.venue: desk}, "cut rates", days=1, now=clock())
    with pytest.raises(UnknownMarket, match="polymarket is not read"):
        await backfill(store, {Venue.KALSHI: desk}, MARKET_KEY, days=1, now=clock())


async def test_a_venue_that_is_away_leaves_nothing_half_done(store: Store, clock: ManualClock, desk: Desk) -> None:
    """The error is the venue's own."""
    desk.errors = [VenueUnavailable("GET prices-history: 503")]
    with pytest.raises(VenueUnavailable):
        await backfill(store, {desk.venue: desk}, MARKET_KEY, days=1, now=clock())
    assert await load_points(store.reader, MARKET_KEY) == []


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with its own folders; returns its file."""
    file = tmp_path / "oddsd.toml"
    file.write_text(f'data_dir = "{tmp_path}/data"\nruntime_dir = "{tmp_path}/run"\nvenues = ["kalshi"]\n')
    monkeypatch.setenv("ODDSD_CONFIG", str(file))
    return file


async def test_the_command_works_with_and_without_the_daemon(configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One road for people: the daemon does it where one runs, else the command does it under the same lock."""
    async with ExchangeServer() as exchange:
        monkeypatch.setenv("ODDSD_KALSHI_URL", exchange.kalshi_url)
        ticker = exchange.frames[0].kalshi_events[0]["markets"][0]["ticker"]
        settings = load_settings(configured)
        async with open_house(settings) as house, house.store.write() as tx:
            await save_markets(tx, [make_market(market_key=f"kalshi:{ticker}", fetched_at=house.clock())])
        alone = await asyncio.to_thread(CliRunner().invoke, commands, ["backfill", ticker, "--days", "2", "--json"])
        async with asyncio.timeout(20):
            running = asyncio.create_task(daemon.run(settings))
            while not settings.control_socket.exists():
                assert not running.done(), running.exception()
                await asyncio.sleep(0.01)
            through = await call(settings.control_socket, "backfill", None, market=ticker, days=2)
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
    assert alone.exit_code == 0, alone.output
    found = json.loads(alone.output)
    assert (found["market_key"], found["sources"]) == (f"kalshi:{ticker}", ["kalshi-candlesticks"])
    assert found["points"] == found["new"] > 24
    assert (through["points"], through["new"]) == (found["points"], 0)
