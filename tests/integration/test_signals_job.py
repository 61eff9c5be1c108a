"""The signals job over a real store: what gives a signal, how often, and what travels with it."""

import zlib
from datetime import timedelta

import msgspec
import pytest

from agent.jobs.benchmark import benchmark_job
from agent.jobs.runner import JobSpec, Runner, RunResult
from agent.jobs.signals import signals_job
from agent.store.db import Store
from agent.store.markets import save_markets
from agent.store.predictions import append_predictions
from agent.store.quotes import save_quotes
from agent.store.signals import load_signals, save_signals
from sync.records import Evidence, FeeTerms, MarketStatus, Prediction, Signal, SignalKind, Travelling
from tests.conftest import ManualClock
from tests.factories import MARKET_KEY, make_market, make_prediction, make_quote, make_signal


class Hour:
    """One market with a stated fee, its forecasts, the benchmark and the signals after it."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock = store, clock
        specs = [
            JobSpec(name="benchmark", run=benchmark_job(store), schedule="10 * * * *", missed="latest", timeout_s=60),
            JobSpec(name="signals", run=signals_job(store), schedule="14 * * * *", missed="none", timeout_s=60),
        ]  # fmt: skip
        self.runner = Runner(store, clock, specs, {})

    async def quote(self, mid: float, *, key: str = MARKET_KEY, **over: object) -> None:
        """What a collection finds now: the market, and a book of two cents around a mid."""
        values = {"market_key": key, "fetched_at": self.clock(), "fees": FeeTerms(enabled=False)}
        async with self.store.write() as tx:
            saved = await save_markets(tx, [make_market(**values | over)])
            bid, ask = round(mid - 0.01, 2), round(mid + 0.01, 2)
            book = make_quote(market_key=key, fetched_at=self.clock(), bid=bid, ask=ask)
            await save_quotes(tx, [book], saved.ids)

    async def predict(self, probability: float, **over: object) -> Prediction:
        """A confident blind forecast at a price of 42 cents."""
        values = {
            "probability_yes": probability,
            "confidence": 80,
            "predicted_at": self.clock(),
            "experiment": "single_model",
        }
        async with self.store.write() as tx:
            (placed,) = await append_predictions(tx, [make_prediction(**values | over)])
        return placed

    async def run(self) -> RunResult:
        """The benchmark's pass, then the signals."""
        await self.runner.run("benchmark", self.clock())
        return await self.runner.run("signals", self.clock())

    async def signals(self) -> list[Signal]:
        """What is stored."""
        return await load_signals(self.store.reader, since=self.clock() - timedelta(days=9))


@pytest.fixture
async def hour(store: Store, clock: ManualClock) -> Hour:
    """An open market at 42 cents, nothing predicted."""
    made = Hour(store, clock)
    await made.quote(0.42)
    return made


async def test_a_disagreement_is_stored_and_travels_with_its_record(hour):
    """The signal in the outbox is the one in the store, and says that it is too early to trust it."""
    prediction = await hour.predict(0.60)

    result = await hour.run()

    assert result.counts == {"candidates": 1, "signals": 1}
    (stored,) = await hour.signals()
    assert (stored.signal_kind, stored.prediction_id) == (SignalKind.DISAGREEMENT, prediction.prediction_id)
    assert stored.record.state is Evidence.TOO_EARLY
    bodies = [row["body"] for row in await hour.store.reader.fetch("SELECT body FROM batches")]
    sealed = [one for body in bodies for one in msgspec.json.decode(zlib.decompress(body), type=list[Travelling])]
    assert [one for one in sealed if isinstance(one, Signal)] == [stored]


async def test_the_same_disagreement_is_said_once_a_day(hour, clock):
    """Every hour would be noise; tomorrow it is said again if the forecast is renewed."""
    await hour.predict(0.60)
    await hour.run()
    clock.forward(hours=1)
    await hour.quote(0.42)

    again = await hour.run()

    assert again.counts == {"candidates": 0, "signals": 0}
    assert len(await hour.signals()) == 1


async def test_the_record_is_the_arms_own(hour, clock):
    """Forty predictions of this version were right within a day; what another version did is not in it."""
    for n in range(40):
        key = f"polymarket:0x{n}"
        await hour.quote(0.42, key=key, event_id=f"e-{n}")
        await hour.predict(0.60, prediction_id=f"a-{n}", market_key=key, confidence=50)
        await hour.predict(0.30, prediction_id=f"b-{n}", market_key=key, confidence=50, experiment_version="0")
    await hour.runner.run("benchmark", clock())
    clock.forward(hours=24)
    for n in range(40):
        await hour.quote(0.47, key=f"polymarket:0x{n}", event_id=f"e-{n}")
    await hour.quote(0.42)
    await hour.predict(0.62, prediction_id="p-1")

    await hour.run()

    (found,) = [one for one in await hour.signals() if one.signal_kind is SignalKind.DISAGREEMENT]
    assert (found.record.n, found.record.events, found.record.state) == (41, 41, Evidence.BETTER)
    assert found.record.signed_move == pytest.approx(0.05)
    assert found.record.signed_move_low > 0


async def test_the_record_is_reckoned_once_a_day(hour, clock):
    """Thousands of draws every hour would heat the room: what was reckoned first today holds until midnight."""
    await hour.predict(0.60)
    await hour.run()
    clock.forward(hours=1)
    await hour.quote(0.42)
    await hour.predict(0.62, prediction_id="p-2", model="another")

    await hour.run()

    newer, older = await hour.signals()
    assert older.record.n == 1
    assert newer.record.summary == "too early: nothing is measured yet"  # this arm began after that


async def test_an_acceleration_is_read_from_three_checks(hour, clock):
    """A slow day, then eight points in six hours toward a forecast of 70 %."""
    await hour.predict(0.70, confidence=50, initial_price=0.42)
    await hour.run()
    for hours, mid in [(18, 0.44), (6, 0.52)]:
        clock.forward(hours=hours)
        await hour.quote(mid)
        await hour.run()

    (found,) = await hour.signals()

    assert found.signal_kind is SignalKind.CONVERGENCE_ACCELERATING
    assert found.evidence["rate_recent"] == pytest.approx(0.08 / 6)
    assert found.evidence["rate_before"] == pytest.approx(0.02 / 18)


@pytest.mark.parametrize(
    ("market", "minutes"),
    [({"status": MarketStatus.PAUSED}, 0), ({"fees": None}, 0), ({}, 31)],
    ids=["paused", "no fee known", "old book"],
)
async def test_nothing_is_said_of_what_cannot_be_traded(hour, clock, market, minutes):
    """A paused market, an unknown fee, a book of half an hour ago: there is no offer to disagree with."""
    await hour.predict(0.60)
    await hour.quote(0.42, **market)
    clock.forward(minutes=minutes)

    await hour.run()

    assert await hour.signals() == []


async def test_a_sighted_forecast_gives_no_signal(hour):
    """Whoever saw the price repeats it, more or less."""
    await hour.predict(0.60, saw_price=True)

    await hour.run()

    assert await hour.signals() == []


async def test_two_runs_at_once_store_one_signal(store):
    """Between the question and the save another run may have said it: the store decides, and only one travels."""
    signal = make_signal()
    async with store.write() as tx:
        first = await save_signals(tx, [signal])
    async with store.write() as tx:
        second = await save_signals(tx, [make_signal(signal_id="another")])
        emitted = list(tx.emitted)

    assert (first, second, emitted) == (1, 0, [])
    assert await load_signals(store.reader, since=signal.created_at) == [signal]


async def test_a_run_of_a_slot_that_was_done_says_nothing_twice(hour):
    """The operator may ask again: kept is kept."""
    await hour.predict(0.60)
    await hour.run()

    await hour.runner.run("signals", hour.clock())

    assert len(await hour.signals()) == 1
