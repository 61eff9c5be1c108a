"""Predict, end to end: a window of markets, every experiment, one sound record."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from agent.core.record import verify
from agent.errors import AnalysisError
from agent.experiments.base import ExperimentResult, ExperimentSkip
from agent.experiments.registry import Registry
from agent.jobs.predict import Predictor
from agent.jobs.predict_window import BATCH, DAILY, PredictOptions, daily_window
from agent.jobs.runner import JobSpec, Runner
from agent.llm.gateway import Gateway
from agent.llm.options import GatewayOptions
from agent.store.markets import save_markets
from agent.store.outbox import load_backlog
from agent.store.predictions import append_predictions, load_blind_forecasts, load_head, load_record
from agent.store.quotes import save_quotes
from sync.duty import Duty, owner
from sync.protocol import View
from tests.factories import NOON, make_market, make_prediction, make_quote
from tests.fakes.groq import GroqServer
from tests.unit.experiments.test_registry import make_experiment

A_WEEK_ON = datetime(2026, 11, 28, 18, 0, tzinfo=UTC)
DEFAULTS = PredictOptions()
PLAIN = ("market_prior", "single_model", "coin", "longshot_fader")
KEYS = ("polymarket:0xa", "kalshi:KXB")


@pytest.fixture
async def groq() -> AsyncIterator[GroqServer]:
    """The service."""
    async with GroqServer(seed=5) as server:
        yield server


@pytest.fixture
def save(store):
    """Put markets and their quotes into the store."""

    async def into_store(keys=KEYS, *, close_time=A_WEEK_ON, quotes=None, **market) -> None:
        async with store.write() as tx:
            saved = await save_markets(tx, [make_market(market_key=k, close_time=close_time, **market) for k in keys])
            await save_quotes(tx, [make_quote(market_key=k) for k in keys] if quotes is None else quotes, saved.ids)

    return into_store


@pytest.fixture
def predict(store, groq, clock):
    """Run the job once, with a runner and gateway of its own, as a fresh process would."""

    async def run(*, experiments=None, options=DEFAULTS, job=DAILY, duty=None, **over):
        registry = Registry.load(PLAIN) if experiments is None else Registry(experiments)
        async with Gateway(store, GatewayOptions(**{"api_key": "k", "base_url": groq.url, **over})) as gateway:
            predictor = Predictor(store, registry, gateway, options)
            jobs = {DAILY: predictor.daily, BATCH: predictor.batch}
            specs = [JobSpec(name=n, run=j, schedule="0 7 * * *", missed="all", timeout_s=60) for n, j in jobs.items()]
            runner = Runner(store, clock, specs, {}, jitter=lambda: 0.0)
            runner.duty = duty or runner.duty
            return await runner.run(job, clock.now, "hand")

    return run


async def test_every_experiment_forecasts_every_market_into_one_record(store, save, predict):
    """Four experiments, two markets, eight chained predictions that anyone can verify."""
    await save()

    result = await predict()

    record = await load_record(store.reader)
    assert (result.state, result.counts["markets"], result.counts["recorded"]) == ("ok", 2, 8)
    assert {(p.market_key, p.experiment) for p in record} == {(k, e) for k in KEYS for e in PLAIN}
    assert verify(record, published=await load_head(store.reader)) is None
    assert [p.saw_price for p in record if p.experiment == "single_model"] == [False, False]
    prior = next(p for p in record if p.experiment == "market_prior")
    assert (prior.probability_yes, prior.initial_price, prior.initial_bid, prior.model) == (0.42, 0.42, 0.40, None)
    assert prior.initial_seen_at == NOON  # how old the price was is part of what the benchmark may use
    model = next(p for p in record if p.experiment == "single_model")
    assert model.model == "openai/gpt-oss-20b"
    assert model.rationale
    assert model.confidence is not None
    assert model.initial_price == 0.42  # recorded beside the blind forecast, not shown to it


async def test_a_markets_forecasts_enter_the_record_together(store, save, predict, monkeypatch):
    """One transaction for each market: a record never holds half of what was forecast for it."""
    await save()
    before = (await load_backlog(store.reader)).n_batches

    await predict()

    record = await load_record(store.reader)
    assert [p.market_key for p in record] == sorted(
        (p.market_key for p in record), key=[p.market_key for p in record].index
    )
    assert (await load_backlog(store.reader)).n_batches == before + 2
    assert (await load_backlog(store.reader)).n_rows >= 8


async def test_the_prompts_are_the_same_whatever_the_market_says(store, groq, save, predict, clock):
    """Price-blind, shown by what reached the service: another book next day, and not a letter differs but the date's."""
    quotes = [make_quote(market_key=k, bid=0.1234, ask=0.1357, volume_24h=98765.0, last_price=0.1290) for k in KEYS]
    await save(quotes=quotes, close_time=A_WEEK_ON)
    await predict(options=PredictOptions(within=True))
    clock.forward(days=1)
    later = [make_quote(market_key=k, bid=0.81, ask=0.83, volume_24h=11111.0, fetched_at=clock.now) for k in KEYS]
    await save(quotes=later, close_time=A_WEEK_ON)
    await predict(options=PredictOptions(within=True))

    first, second = sorted(groq.prompts[:2]), sorted(groq.prompts[2:])

    def plain(prompts):
        words = "\n".join(prompts).replace("2026-11-22", "TODAY").replace("2026-11-21", "TODAY")
        return "\n".join("MARKER" if line.startswith("DATA-") else line for line in words.split("\n"))

    assert len(groq.calls) == 4
    assert plain(first) == plain(second)
    for number in ("0.1234", "0.1357", "0.129", "98765", "12.3", "0.81", "0.83"):
        assert number not in "\n".join(groq.prompts)


async def test_a_rerun_asks_nobody_again_and_records_nothing_twice(store, groq, save, predict, clock):
    """The same day once more, by hand: every paid answer is kept under its key."""
    await save()
    await predict()

    clock.forward(hours=1)
    again = await predict()

    assert len(groq.calls) == 2
    assert again.counts["recorded"] == 0
    assert len(await load_record(store.reader)) == 8


async def test_another_day_is_another_forecast(store, groq, save, predict, clock):
    """Unique by market, experiment, version, model and day."""
    await save()
    await predict(options=PredictOptions(within=True))

    clock.forward(days=1)
    await predict(options=PredictOptions(within=True))

    record = await load_record(store.reader)
    assert len(groq.calls) == 4
    assert len(record) == 16
    assert verify(record) is None


async def test_an_experiment_added_later_in_the_day_joins_the_record(store, save, predict, clock):
    """What is there stays as it stands; only the newcomer is recorded."""
    await save()
    await predict()
    clock.forward(minutes=1)

    newcomer = make_experiment("half")
    result = await predict(experiments=[*Registry.load(PLAIN), newcomer])

    record = await load_record(store.reader)
    assert result.counts["recorded"] == 2
    assert [p.experiment for p in record[-2:]] == ["half", "half"]
    assert verify(record) is None


async def test_without_a_key_the_references_are_recorded(store, groq, save, predict):
    """The daily record goes on; the model's forecasts are counted as skipped, never filled in."""
    await save()

    result = await predict(api_key=None)

    record = await load_record(store.reader)
    assert (result.state, result.counts["recorded"], result.counts["skipped"]) == ("ok", 6, 2)
    assert "single_model" not in {p.experiment for p in record}
    assert groq.calls == []


async def test_a_failed_call_is_a_failure_and_never_a_number(store, groq, save, predict):
    """In a public run 533 failed calls were stored as one half; here they are missing."""
    await save()
    groq.fault("unprocessable", times=2)

    result = await predict()

    record = await load_record(store.reader)
    assert (result.state, result.counts["failed"], result.counts["recorded"]) == ("partial", 2, 6)
    assert "single_model" not in {p.experiment for p in record}


async def test_a_market_without_a_price_is_still_forecast_blind(store, save, predict):
    """Dull and thin markets count too; the references say why they have nothing."""
    await save(quotes=[make_quote(market_key=KEYS[0], bid=None), make_quote(market_key=KEYS[1])])

    result = await predict()

    record = await load_record(store.reader)
    thin = [p for p in record if p.market_key == KEYS[0]]
    assert [p.experiment for p in thin] == ["single_model"]
    assert (thin[0].initial_price, thin[0].initial_ask) == (None, 0.44)
    assert result.counts["skipped"] == 3


async def test_a_fresh_install_is_no_trouble(predict):
    """The daily run stands beside the first collect then, and a new operator must not be met by an alarm."""
    result = await predict()

    assert (result.state, result.reason) == ("ok", None)


async def test_an_empty_window_is_told(store, save, predict):
    """No market closes that day: the run says so instead of looking like a success."""
    await save(close_time=A_WEEK_ON + timedelta(days=1))

    result = await predict()

    assert (result.state, result.counts["markets"]) == ("partial", 0)
    assert result.reason == "no open market closes between 2026-11-28 00:00 and 2026-11-29 00:00 UTC"


async def test_a_host_whose_share_of_the_window_is_empty_has_no_fault(save, predict):
    """Another host forecasts these markets: an alarm here would never end."""
    await save()
    members = ("home", "other")
    duty = Duty(next(host for host in members if host != owner(KEYS[0], members)))
    duty.note(View(view_no=1, members=members, settled=True, alone=False), time.monotonic())
    await save(KEYS[1:], close_time=A_WEEK_ON + timedelta(days=9))

    result = await predict(duty=duty)

    assert (result.state, result.counts["markets"], result.reason) == ("ok", 0, None)


@pytest.mark.parametrize(
    ("options", "start", "end"),
    [
        (PredictOptions(), datetime(2026, 11, 28, tzinfo=UTC), datetime(2026, 11, 29, tzinfo=UTC)),
        (PredictOptions(window_days=0), NOON + timedelta(hours=1), datetime(2026, 11, 22, tzinfo=UTC)),
        (PredictOptions(within=True), NOON + timedelta(hours=1), datetime(2026, 11, 29, tzinfo=UTC)),
    ],
)
def test_the_window_is_whole_utc_days(options, start, end):
    """Exactly N days ahead, midnight to midnight UTC; never within the last hour, when the answer is in the price."""
    window = daily_window(options, NOON)

    assert (window.start, window.end) == (start, end)


async def test_required_results_are_handed_on_and_their_absence_is_a_skip(store, save, predict):
    """An ensemble reads what it requires; where that gave nothing it has nothing to say."""
    await save(quotes=[make_quote(market_key=KEYS[0], bid=None), make_quote(market_key=KEYS[1])])
    blend = make_experiment("blend", "market_prior")

    async def run(market, context):
        (prior,) = context.results["market_prior"]
        return ExperimentResult(probability_yes=prior.probability_yes / 2)

    blend.run = run

    result = await predict(experiments=[blend, *Registry.load(["market_prior"])])

    record = await load_record(store.reader)
    assert {(p.market_key, p.experiment, p.probability_yes) for p in record} == {
        (KEYS[1], "market_prior", 0.42),
        (KEYS[1], "blend", 0.21),
    }
    assert (result.state, result.counts["skipped"], result.counts["failed"]) == ("ok", 2, 0)


@pytest.mark.parametrize("value", [1.2, -0.1, float("nan"), float("inf")])
async def test_a_third_partys_nonsense_is_a_failure_of_its_own(store, save, predict, value):
    """What is no probability is not recorded, and the others' forecasts are."""
    await save()
    nonsense = make_experiment("nonsense")

    async def run(market, context):
        return ExperimentResult(probability_yes=value)

    nonsense.run = run

    result = await predict(experiments=[nonsense, *Registry.load(["coin"])])

    assert (result.state, result.counts["failed"], result.counts["recorded"]) == ("partial", 2, 2)
    assert "as a probability" in result.reason


async def test_a_third_partys_crash_stops_nobody_else(store, save, predict):
    """Its traceback is logged, its units are dead, the record goes on."""
    await save()
    broken = make_experiment("broken")

    async def run(market, context):
        raise ZeroDivisionError("oops")

    broken.run = run

    result = await predict(experiments=[broken, *Registry.load(["coin"])])

    assert (result.counts["failed"], result.counts["recorded"]) == (2, 2)
    assert "broken: ZeroDivisionError: oops" in result.reason


async def test_each_configured_model_forecasts_for_itself(store, groq, save, predict):
    """Two models are two forecasters."""
    await save()
    models = ("openai/gpt-oss-20b", "openai/gpt-oss-120b")

    await predict(options=PredictOptions(models=models))

    record = await load_record(store.reader)
    assert sorted(p.model for p in record if p.model) == sorted(models * 2)


async def test_the_record_keeps_what_it_has(store, save):
    """The same market, experiment, version, model and day again: left as it stands, chain unbroken."""
    await save()
    first = make_prediction(market_key=KEYS[0], prediction_id="p1")
    async with store.write() as tx:
        await append_predictions(tx, [first])

    async with store.write() as tx:
        recorded = await append_predictions(
            tx,
            [
                make_prediction(market_key=KEYS[0], prediction_id="p2", probability_yes=0.99),
                make_prediction(market_key=KEYS[1], prediction_id="p3"),
            ],
        )

    record = await load_record(store.reader)
    assert [p.prediction_id for p in recorded] == ["p3"]
    assert [(p.chain_seq, p.prediction_id) for p in record] == [(1, "p1"), (2, "p3")]
    assert verify(record) is None


async def test_a_rolled_back_prediction_leaves_no_gap(store, save):
    """The head is read in the transaction that appends: what did not happen has no number."""
    await save()

    async def appended_in_vain():
        async with store.write() as tx:
            await append_predictions(tx, [make_prediction(market_key=KEYS[0], prediction_id="p1")])
            raise AnalysisError("stop")

    with pytest.raises(AnalysisError, match="stop"):
        await appended_in_vain()

    async with store.write() as tx:
        await append_predictions(tx, [make_prediction(market_key=KEYS[1], prediction_id="p2")])

    record = await load_record(store.reader)
    assert [(p.chain_seq, p.prediction_id) for p in record] == [(1, "p2")]
    assert verify(record) is None


async def test_an_edit_in_the_database_is_found(store, save, predict):
    """Whoever opens the file and changes a forecast breaks the chain at that place."""
    await save()
    await predict()
    async with store.write() as tx:
        await tx.execute(
            "UPDATE predictions SET body = CAST(json_replace(body, '$.probability_yes', 0.99) AS BLOB)"
            " WHERE chain_seq = 3"
        )

    fault = verify(await load_record(store.reader))

    assert fault is not None
    assert fault.seq == 3


async def test_the_newest_blind_forecast_is_found_for_the_analysis(store, save):
    """Only blind ones of models: a reference or an informed arm must not lean on the verdict."""
    await save()
    async with store.write() as tx:
        await append_predictions(
            tx,
            [
                make_prediction(market_key=KEYS[0], prediction_id="p1", probability_yes=0.3),
                make_prediction(market_key=KEYS[0], prediction_id="p2", probability_yes=0.35, model="m2",
                                predicted_at=NOON + timedelta(hours=1)),
                make_prediction(market_key=KEYS[0], prediction_id="p3", probability_yes=0.9, model="m3", saw_price=True,
                                predicted_at=NOON + timedelta(hours=2)),
                make_prediction(market_key=KEYS[0], prediction_id="p4", probability_yes=0.8, model=None, experiment="coin"),
            ],
        )  # fmt: skip

    assert await load_blind_forecasts(store.reader, KEYS, since=NOON) == {KEYS[0]: 0.35}
    # One that has not seen the news of a day is no ground for an edge.
    assert await load_blind_forecasts(store.reader, KEYS, since=NOON + timedelta(hours=1, seconds=1)) == {}


def test_a_skip_is_not_a_result():
    """The two can never be mistaken for each other."""
    assert not isinstance(ExperimentSkip("no price"), ExperimentResult)
