"""The daily run and the batch: what they choose, what they share, what they leave behind, and that nothing is paid twice."""

import asyncio
from datetime import timedelta

import msgspec
import pytest
import stamina

from agent.core.record import verify
from agent.core.routing import Rules
from agent.desk.why import load_why, render
from agent.errors import ConfigError
from agent.experiments.base import ExperimentResult, ExperimentSkip
from agent.experiments.registry import Registry
from agent.experiments.single_model import SingleModel
from agent.jobs.context import TRIES
from agent.jobs.predict_now import predict_now
from agent.jobs.predict_summary import Summary
from agent.jobs.predict_window import BATCH, DAILY, PredictOptions, Wish
from agent.store.experiments import load_summary
from agent.store.forecasts import load_forecasts, load_last_forecasts
from agent.store.markets import save_markets
from agent.store.predictions import append_predictions, load_record
from sync.records import MarketStatus, Resolution
from tests.factories import NOON, make_market, make_prediction, make_quote
from tests.fakes.groq import GroqServer
from tests.integration.predicting import BOTH, House, save_open
from tests.unit.experiments.test_registry import make_experiment

KEYS = ("polymarket:0xa", "kalshi:KXB")
RESEARCHED = ("market_prior", "research", "research_forecast")


@pytest.fixture
async def groq():
    """The service."""
    async with GroqServer(seed=5) as server:
        yield server


def summary_of(body) -> Summary:
    return msgspec.json.decode(body, type=Summary)


async def last(store, job, span) -> Summary:
    return summary_of(await load_summary(store.reader, job, NOON.date(), span))


# The batch


async def test_the_batch_asks_every_configured_model_about_the_busiest(store, clock, groq):
    """Top markets by volume within the window, times the models."""
    keys = [f"kalshi:K{i}" for i in range(4)]
    quotes = [make_quote(market_key=k, volume_24h=100.0 * i) for i, k in enumerate(keys)]
    await save_open(store, keys, quotes=quotes, close_time=NOON + timedelta(days=20))
    await save_open(store, ["kalshi:LATER"], close_time=NOON + timedelta(days=40))

    async with House(store, clock, groq, options=PredictOptions(batch_limit=2)) as house:
        result = await house.run(BATCH)

    record = await load_record(store.reader)
    assert (result.state, result.counts["markets"], result.counts["calls"]) == ("ok", 2, 4)
    assert {(p.market_key, p.model) for p in record if p.model} == {
        (key, model) for key in ("kalshi:K2", "kalshi:K3") for model in BOTH
    }


async def test_the_daily_run_does_not_pay_for_what_the_batch_has(store, clock, groq):
    """Idempotent per (market, model, day), whichever job asked first."""
    await save_open(store, KEYS)
    async with House(store, clock, groq) as house:
        await house.run(BATCH)
        n_calls = len(groq.calls)
        clock.forward(hours=1)
        result = await house.run(DAILY)

    record = await load_record(store.reader)
    assert n_calls == len(groq.calls) == 4
    assert (result.counts["earlier"], result.counts["recorded"], result.counts["calls"]) == (4, 0, 0)
    assert len(record) == len({(p.market_key, p.experiment, p.model) for p in record}) == 6
    assert verify(record) is None


async def test_models_named_in_the_settings_are_the_ones_asked(store, clock, groq):
    """In both jobs; one that is gone is not replaced by a silent double of another."""
    await save_open(store, KEYS[:1])
    async with House(store, clock, groq, options=PredictOptions(models=BOTH[1:])) as house:
        await house.run(BATCH)
        await house.run(DAILY)

    assert [call["model"] for call in groq.calls] == [BOTH[1]]


# The summary


async def test_a_run_leaves_one_summary_by_day_and_window(store, clock, groq):
    """Counts, failures with what may be tried again, runtime, version and commit; a rerun replaces it."""
    await save_open(store, KEYS)
    groq.fault("unprocessable", times=1)
    async with House(store, clock, groq) as house:
        await house.run()
        first = await last(store, DAILY, "in 7 days")
        clock.forward(minutes=1)
        await house.run()
        second = await last(store, DAILY, "in 7 days")

    (failure,) = first.failures
    assert (first.state, first.counts["failed"], failure.experiment, failure.retriable) == (
        "partial", 1, "single_model", False,
    )  # fmt: skip
    assert failure.market_key in KEYS
    assert first.version
    assert first.experiments["single_model openai/gpt-oss-20b"] == {"failed": 1, "made": 1}
    assert (second.state, second.counts["made"], second.counts["earlier"]) == ("ok", 1, 3)
    assert len(groq.calls) == 3


@pytest.fixture
def instant_retries():
    """Every try, none of the waiting."""
    stamina.set_testing(True, attempts=TRIES)
    yield
    stamina.set_testing(False)


async def test_a_service_that_is_away_is_a_failure_that_may_be_tried_again(store, clock, groq, instant_retries):
    """The flag tells an operator what a rerun can mend."""
    await save_open(store, KEYS[:1])
    groq.fault("tokens_of_the_day", times=20)
    async with House(store, clock, groq, max_parked_s=0.0, models=BOTH[:1]) as house:
        await house.run()

    (failure,) = (await last(store, DAILY, "in 7 days")).failures
    (row,) = [r for r in (await load_forecasts(store.reader, KEYS[:1], NOON.date())).values() if r.state == "failed"]
    assert failure.retriable
    assert row.retriable
    assert row.reason


async def test_another_window_is_another_summary(store, clock, groq):
    """What a person asked for by hand does not overwrite the day's."""
    await save_open(store, KEYS[:1])
    await save_open(store, KEYS[1:], close_time=NOON + timedelta(days=2))
    async with House(store, clock, groq) as house:
        own = await predict_now(house.runner, house.predictor, Wish(kind="daily", window_days=2), now=clock.now)
        clock.forward(minutes=1)
        await house.run()

    assert own.markets == KEYS[1:]
    assert own.span == "in 2 days"
    assert (await last(store, DAILY, "in 7 days")).markets == KEYS[:1]


async def test_a_dry_run_tells_and_does_nothing(store, clock, groq):
    """Nothing stored, asked or paid; the numbers are those of the run that follows."""
    await save_open(store, KEYS)
    async with House(store, clock, groq) as house:
        told = await predict_now(house.runner, house.predictor, Wish(kind="daily", dry_run=True), now=clock.now)
        left = await store.reader.fetch_value(
            "SELECT (SELECT count(*) FROM job_runs) + (SELECT count(*) FROM forecasts) + (SELECT count(*) FROM decisions)"
            " + (SELECT count(*) FROM prediction_runs) + (SELECT count(*) FROM frozen_versions)"
        )
        done = await predict_now(house.runner, house.predictor, Wish(kind="daily", limit=1), now=clock.now)

    assert (told.dry_run, told.counts["due"], set(told.markets)) == (True, 4, set(KEYS))
    assert left == 0
    assert len(groq.calls) == 1
    assert done.counts["markets"] == 1


# Frozen versions


async def test_a_version_that_forecast_does_not_change(store, clock, groq):
    """Another prompt under the same version is refused, with the part that changed and what to do."""
    await save_open(store, KEYS[:1])
    async with House(store, clock, groq) as house:
        await house.run()

    class Changed(SingleModel):
        @property
        def parameters(self):
            return super().parameters | {"prompt": "Say something."}

    clock.forward(minutes=1)
    changed = [Changed(), *Registry.load(["market_prior"])]
    async with House(store, clock, groq, experiments=changed) as house:
        with pytest.raises(ConfigError) as caught:
            await house.predictor.assert_frozen()
        refused = await house.run()

    assert "experiment single_model 1: its prompt changed since its first forecast" in str(caught.value)
    assert "[experiments.single_model]" in str(caught.value)
    assert caught.value.exit_code == 78
    assert refused.state == "failed"
    assert len(groq.calls) == 1


async def test_other_models_are_another_version_too(store, clock, groq):
    """The sentence shows the list as it was; a revision of the operator's makes it a new forecaster."""
    await save_open(store, KEYS[:1])
    async with House(store, clock, groq) as house:
        await house.run()

    async with House(store, clock, groq, models=BOTH[1:]) as house:
        with pytest.raises(ConfigError, match=r'its models changed \(was \["openai/gpt-oss-20b",.*is \['):
            await house.predictor.assert_frozen()
    clock.forward(minutes=1)
    revised = Registry.load(["market_prior", "single_model"], {"single_model": "big"})
    async with House(store, clock, groq, models=BOTH[1:], experiments=list(revised)) as house:
        await house.predictor.assert_frozen()
        await house.run()

    record = await load_record(store.reader)
    assert [p.experiment_version for p in record if p.experiment == "single_model"] == ["1", "1+big"]


async def test_what_never_forecast_may_still_change(store, clock, groq):
    """A researcher tries things out before the first forecast, not after."""
    async with House(store, clock, groq) as house:
        await house.run()  # no market: nothing was forecast
    async with House(store, clock, groq, models=BOTH[1:]) as house:
        await house.predictor.assert_frozen()


# Research, then a forecast


async def test_research_is_asked_in_parallel_and_its_findings_are_forecast_on(store, clock, groq):
    """Three questions at once, one forecast that reads the answers; findings alone are no prediction."""
    await save_open(store, KEYS[:1])
    groq.fault("slow", times=3, seconds=5)
    groq.released.clear()
    async with House(store, clock, groq, names=RESEARCHED) as house:
        running = asyncio.create_task(house.run())
        async with asyncio.timeout(5):
            while len(groq.calls) < 3:
                groq.arrived.clear()
                await groq.arrived.wait()
        at_once = len(groq.calls)
        groq.released.set()
        result = await running

    record = await load_record(store.reader)
    assert (at_once, len(groq.calls), result.state) == (3, 4, "ok")
    assert sorted(p.experiment for p in record) == ["market_prior", "research_forecast"]
    assert "notes on base_rate" in groq.prompts[-1]


async def test_a_retry_asks_only_the_steps_that_were_never_answered(store, clock, groq):
    """Each step's answer is kept when it is there: the two paid ones are not paid again."""
    await save_open(store, KEYS[:1])
    groq.fault("unprocessable", times=1)
    async with House(store, clock, groq, names=RESEARCHED) as house:
        first = await house.run()
        clock.forward(minutes=1)
        second = await house.run()

    assert (first.state, len(groq.told)) == ("partial", 4)
    assert second.state == "ok"
    assert len(groq.calls) == 5  # three, of which one was refused; then that one, and the forecast
    assert second.counts["calls"] == 2


async def test_research_is_not_paid_for_a_forecast_nobody_makes(store, clock, groq):
    """What only feeds others is asked where one of them is."""
    await save_open(store, KEYS)
    names = ("market_prior", "single_model", "research", "research_forecast")
    await settle(store, experiment="single_model", model=BOTH[0], n=40)
    async with House(store, clock, groq, names=names, options=PredictOptions(rules=Rules(share=0.0))) as house:
        result = await house.run()

    assert result.counts["left_out"] == 4
    assert len(groq.calls) == 2
    noted = await load_last_forecasts(store.reader, KEYS[0])
    reasons = {row.reason for row in noted if row.key.experiment == "research"}
    assert reasons == {"nobody reads it this time"}


# Routing and the ensemble, over what has resolved


async def settle(store, *, experiment, model, n, probability=0.1, version="1"):
    """n resolved NO markets that somebody forecast, each an event of its own."""
    keys = [f"kalshi:OLD{experiment}{model}{i}" for i in range(n)]
    then = NOON - timedelta(days=20)
    markets = [make_market(market_key=key, event_id=key, fetched_at=then) for key in keys]
    ended = [
        make_market(market_key=key, event_id=key, fetched_at=then + timedelta(days=9), status=MarketStatus.RESOLVED,
                    resolution=Resolution.NO)
        for key in keys
    ]  # fmt: skip
    forecasts = [
        make_prediction(prediction_id=f"old-{key}", market_key=key, experiment=experiment, experiment_version=version,
                        model=model, predicted_at=then, probability_yes=probability, run_day=then.date())
        for key in keys
    ]  # fmt: skip
    async with store.write() as tx:
        await save_markets(tx, markets)
        await append_predictions(tx, forecasts)
    async with store.write() as tx:
        await save_markets(tx, ended)


async def test_the_better_model_is_asked_everywhere_and_the_other_on_its_share(store, clock, groq):
    """Measured in this category: the reason of each omission is stored, and `why` tells it."""
    keys = [f"kalshi:K{i}" for i in range(30)]
    await save_open(store, keys)
    await settle(store, experiment="single_model", model=BOTH[0], n=40, probability=0.05)
    await settle(store, experiment="single_model", model=BOTH[1], n=40, probability=0.6)
    options = PredictOptions(models=BOTH, rules=Rules(share=0.3))
    async with House(store, clock, groq, options=options) as house:
        result = await house.run()

    asked = [call["model"] for call in groq.calls]
    assert asked.count(BOTH[0]) == 30
    assert 2 <= asked.count(BOTH[1]) <= 18
    assert result.counts["left_out"] == 30 - asked.count(BOTH[1])
    reasons = (await last(store, DAILY, "in 7 days")).reasons
    assert any(f"the best in Economics is single_model {BOTH[0]}" in reason for reason in reasons)
    told = render(await load_why(store.reader, keys[0]))
    assert f"single_model 1 {BOTH[0]}: 0." in told
    assert f"single_model 1 {BOTH[1]}: " in told


async def test_the_ensemble_is_nine_tenths_the_price(store, clock, groq):
    """Without a past: log odds of the forecasts at a tenth; what it was made of is kept beside it."""
    await save_open(store, KEYS[:1])
    options = PredictOptions(models=BOTH)
    async with House(store, clock, groq, names=("market_prior", "single_model", "ensemble"), options=options) as house:
        await house.run()

    record = {(p.experiment, p.model): p for p in await load_record(store.reader)}
    blend, said = record["ensemble", None], [record["single_model", model].probability_yes for model in BOTH]
    low, high = min(0.42, *said), max(0.42, *said)
    assert blend.saw_price
    assert low <= blend.probability_yes <= high
    assert abs(blend.probability_yes - 0.42) < 0.2 * (high - low)
    (row,) = [
        r for r in (await load_forecasts(store.reader, KEYS, NOON.date())).values() if r.key.experiment == "ensemble"
    ]
    payload = msgspec.json.decode(row.body)["result"]["payload"]
    assert payload["weight"] == 0.1
    assert [m["weight"] for m in payload["members"]] == [0.5, 0.5]


async def test_the_ensemble_is_silent_where_there_is_nothing_to_blend(store, clock, groq):
    """The price alone is the market prior; the ensemble does not repeat it under another name."""
    await save_open(store, KEYS[:1])
    async with House(store, clock, groq, names=("market_prior", "single_model", "ensemble"), api_key=None) as house:
        await house.run()

    assert [p.experiment for p in await load_record(store.reader)] == ["market_prior"]


async def test_the_baseline_notes_the_book_and_predicts_nothing(store, clock, groq):
    """A state of the market, kept with the run; no row of the record is made of it."""
    await save_open(store, KEYS[:1])
    async with House(store, clock, groq, names=("baseline_snapshot",)) as house:
        await house.run()

    (row,) = (await load_forecasts(store.reader, KEYS, NOON.date())).values()
    assert await load_record(store.reader) == []
    assert msgspec.json.decode(row.body)["result"]["payload"]["bid"] == 0.40


async def test_a_skip_of_a_free_experiment_is_tried_again_by_the_next_run(store, clock, groq):
    """No price in the morning is no reason to have none at noon."""
    moody, mood = make_experiment("moody"), []

    async def run(market, context):
        mood.append(1)
        return ExperimentSkip("not yet") if len(mood) == 1 else ExperimentResult(probability_yes=0.5)

    moody.run = run
    await save_open(store, KEYS[:1])
    async with House(store, clock, groq, experiments=[moody]) as house:
        await house.run()
        clock.forward(minutes=1)
        await house.run()

    (row,) = (await load_forecasts(store.reader, KEYS, NOON.date())).values()
    assert (row.state, len(await load_record(store.reader))) == ("made", 1)


async def test_a_title_that_is_nothing_but_a_price_gets_no_blind_forecast(store, clock, groq):
    """There is no question left to ask, and the reason is written down."""
    await save_open(store, KEYS[:1], title="Yes 42¢ / No 58¢")
    async with House(store, clock, groq) as house:
        await house.run()

    assert groq.calls == []
    (row,) = [r for r in await load_last_forecasts(store.reader, KEYS[0]) if r.state == "skipped"]
    assert "its own price" in row.reason
