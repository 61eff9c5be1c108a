"""Predict: each day's experiments over the markets that close a week ahead, chained into the record. Daily.

Law: every forecast is a unit with a key of its own, so a paid one is never asked for twice; when all of a market's
forecasts are in, they enter the record together, in one transaction. The market set is fixed by the window before
anything is forecast: dull markets count too. Blind experiments get `BlindMarket`, and nothing here hands them more.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar

import msgspec
import structlog
import uuid_utils

from agent.core.blind import blind
from agent.core.instants import to_the_ms
from agent.core.record import GENESIS_HASH
from agent.core.selection import Question, Thresholds
from agent.errors import AnalysisError, OddsdError
from agent.experiments.base import BlindContext, Experiment, ExperimentResult, ExperimentSkip, SightedContext
from agent.experiments.registry import Registry
from agent.jobs.context import Job, Outcome, RunContext, Unit
from agent.jobs.selecting import select
from agent.llm.budget import Purpose
from agent.llm.gateway import Gateway, Reply
from agent.llm.prompt import Prompt
from agent.llm.schemas import ModelReply, ReplySchema
from agent.store.db import Store
from agent.store.markets import load_open_closing
from agent.store.predictions import append_predictions
from agent.store.quotes import load_latest_quotes
from agent.store.tx import Tx
from sync.records import Market, Prediction, Quote

R = TypeVar("R", bound=ModelReply)
Results = dict[str, dict[str, list[ExperimentResult]]]  # market key -> experiment -> one result per model

log = structlog.get_logger("predict")


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """Which markets, and how many."""

    window_days: int = 7  # closing exactly so many UTC days ahead
    within: bool = False  # also markets that close sooner
    limit: int = 40  # the busiest first
    models: tuple[str, ...] = ()  # none: the gateway's preferred one
    thresholds: Thresholds = field(default_factory=Thresholds)
    # Looked at for each one taken: the gates stop some, and for the rest it is written down that they came too late.
    candidates: int = 10


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What one experiment gave for one market, as it is kept: a result or the reason for none."""

    prediction_id: str
    market_key: str
    experiment: str
    experiment_version: str
    saw_price: bool
    predicted_at: datetime
    result: ExperimentResult | None = None
    skip: str | None = None
    mid: float | None = None  # the book at predicted_at: for the benchmark, never shown to a blind experiment
    bid: float | None = None
    ask: float | None = None


@dataclass(frozen=True, slots=True)
class _Door:
    """The gateway as an experiment sees it: it cannot spend for another purpose or speak of another market."""

    gateway: Gateway
    market_key: str
    run_id: str
    model: str | None

    async def complete(self, schema: ReplySchema[R], prompt: Prompt) -> Reply[R]:
        return await self.gateway.complete(
            Purpose.FORECAST, schema, prompt, market_key=self.market_key, run_id=self.run_id, model=self.model
        )


def window(options: PredictOptions, slot: datetime) -> tuple[datetime, datetime]:
    """[start, end) of the close times that are predicted on a day. Pure."""
    day = datetime.combine(slot.astimezone(UTC).date(), time(), UTC) + timedelta(days=options.window_days)
    return (slot if options.within else day), day + timedelta(days=1)


def predict_job(store: Store, registry: Registry, gateway: Gateway, options: PredictOptions) -> Job:
    """Wire the job."""

    async def predict(ctx: RunContext, slot: datetime) -> None:
        start, end = window(options, slot)
        closing = await load_open_closing(store.reader, start, end, options.limit * options.candidates)
        markets = await select(store, Question.PREDICT, closing, options.thresholds, ctx.now, limit=options.limit)
        ctx.count(markets=len(markets), recorded=0, skipped=0, failed=0)
        if not markets:
            which = f"none of {len(closing)} passes the gates of selection" if closing else "no open market closes"
            ctx.partial(f"{which} between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC")
            return
        run_day = slot.astimezone(UTC).date()
        run = _Run(store=store, gateway=gateway, options=options, ctx=ctx, run_day=run_day, markets=markets)
        await run.all(registry)

    return predict


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run: collects each market's results, experiment by experiment, then records them."""

    store: Store
    gateway: Gateway
    options: PredictOptions
    ctx: RunContext
    run_day: date
    markets: Sequence[Market]
    _results: Results = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    _drafts: dict[str, list[Draft]] = field(default_factory=lambda: defaultdict(list))
    _recorded: dict[str, Prediction] = field(default_factory=dict)

    async def all(self, registry: Registry) -> None:
        """Every experiment in order, then the record."""
        for experiment in registry:
            if not experiment.asks_model:
                await self._over_markets(experiment, None)
            elif (reason := await self.gateway.unready_reason(Purpose.FORECAST)) is None:
                for model in self.options.models or self.gateway.models[:1]:
                    await self._over_markets(experiment, model)
            else:
                self._stand_aside(experiment, reason)
        outcomes = await self.ctx.map(
            [market for market in self.markets if self._drafts[market.market_key]],
            key=self._record_key,
            fn=self._record,
        )
        self.ctx.count(recorded=len(self._recorded), failed=sum(outcome.error is not None for outcome in outcomes))

    def _stand_aside(self, experiment: Experiment, reason: str) -> None:
        self.ctx.count(skipped=len(self.markets))
        log.info("experiment skipped", action="experiment_skipped", experiment=experiment.name, reason=reason)
        if self.gateway.off_reason is None:
            self.ctx.partial(f"{experiment.name} waits: {reason}")

    async def _over_markets(self, experiment: Experiment, model: str | None) -> None:
        """One experiment with one model over all markets."""
        stem = f"{experiment.name}:{experiment.version}:{model or ''}:{self.run_day.isoformat()}"
        outcomes = await self.ctx.map(
            self.markets,
            key=lambda market: f"predict:{market.market_key}:{stem}",
            fn=lambda market: self._forecast(market, experiment, model),
            lane=model or "default",
        )
        for outcome in outcomes:
            self._take(outcome)

    def _take(self, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.ctx.count(failed=1)
            return
        draft = msgspec.convert(outcome.value, Draft)
        if draft.result is None:
            self.ctx.count(skipped=1)
            return
        self._drafts[draft.market_key].append(draft)
        self._results[draft.market_key][draft.experiment].append(draft.result)

    async def _forecast(self, market: Market, experiment: Experiment, model: str | None) -> Unit:
        """One forecast as a kept value; nothing enters the record yet. Raises: AnalysisError."""
        key, now = market.market_key, to_the_ms(self.store.clock())
        quote = (await load_latest_quotes(self.store.reader, [key])).get(key)
        known = {name: tuple(self._results[key][name]) for name in experiment.requires}
        absent = [name for name, results in known.items() if not results]
        given: ExperimentResult | ExperimentSkip
        if absent:
            given = ExperimentSkip(f"requires {', '.join(absent)}, which gave nothing")
        else:
            door = _Door(self.gateway, key, self.ctx.run_id, model)
            context = BlindContext(now=now, run_day=self.run_day, results=known, door=door)
            given = _checked(await _run(experiment, market, context, quote), experiment)
        return Unit(msgspec.to_builtins(_draft(market, experiment, given, quote, now)))

    def _record_key(self, market: Market) -> str:
        """Names the forecasts it records: another experiment later in the day is another record, not a repetition."""
        ids = "|".join(sorted(draft.prediction_id for draft in self._drafts[market.market_key]))
        digest = hashlib.sha256(ids.encode()).hexdigest()[:16]
        return f"record:{market.market_key}:{self.run_day.isoformat()}:{digest}"

    async def _record(self, market: Market) -> Unit:
        """All of a market's forecasts into the record, in one transaction."""
        predictions = [_prediction(draft, self.run_day) for draft in self._drafts[market.market_key]]

        async def save(tx: Tx) -> None:
            recorded = await append_predictions(tx, predictions)
            self._recorded |= {prediction.prediction_id: prediction for prediction in recorded}

        return Unit([prediction.prediction_id for prediction in predictions], save)


async def _run(experiment: Experiment, market: Market, context: BlindContext, quote: Quote | None) -> Any:
    """Run an experiment with what it may see. Raises: AnalysisError for whatever a third party's code raises."""
    try:
        if experiment.saw_price:
            sighted = SightedContext(
                now=context.now, run_day=context.run_day, results=context.results, door=context.door, quote=quote
            )
            return await experiment.run(market, sighted)
        return await experiment.run(blind(market), context)
    except OddsdError:
        raise
    except Exception as exc:
        log.exception("experiment raised", action="experiment_raised", experiment=experiment.name)
        raise AnalysisError(f"experiment {experiment.name}: {type(exc).__name__}: {exc}") from exc


def _checked(given: Any, experiment: Experiment) -> ExperimentResult | ExperimentSkip:
    """Refuse what is no probability. Raises: AnalysisError."""
    if isinstance(given, ExperimentSkip):
        return given
    if not isinstance(given, ExperimentResult):
        raise AnalysisError(f"experiment {experiment.name}: gave {type(given).__name__}, neither result nor skip")
    if not math.isfinite(given.probability_yes) or not 0 <= given.probability_yes <= 1:
        raise AnalysisError(f"experiment {experiment.name}: gave {given.probability_yes} as a probability")
    return given


def _draft(
    market: Market,
    experiment: Experiment,
    given: ExperimentResult | ExperimentSkip,
    quote: Quote | None,
    now: datetime,
) -> Draft:
    draft = Draft(
        prediction_id=str(uuid_utils.uuid7()),
        market_key=market.market_key,
        experiment=experiment.name,
        experiment_version=experiment.version,
        saw_price=experiment.saw_price,
        predicted_at=now,
        mid=None if quote is None else quote.mid,
        bid=None if quote is None else quote.bid,
        ask=None if quote is None else quote.ask,
    )
    if isinstance(given, ExperimentSkip):
        return msgspec.structs.replace(draft, skip=given.reason)
    return msgspec.structs.replace(draft, result=given)


def _prediction(draft: Draft, run_day: date) -> Prediction:
    """A draft as a record; its place in the chain is given when it is appended."""
    result = draft.result
    if result is None:
        raise ValueError(f"draft {draft.prediction_id} has no result")
    return Prediction(
        prediction_id=draft.prediction_id,
        market_key=draft.market_key,
        experiment=draft.experiment,
        experiment_version=draft.experiment_version,
        run_day=run_day,
        probability_yes=result.probability_yes,
        saw_price=draft.saw_price,
        predicted_at=draft.predicted_at,
        model=result.model,
        prompt_version=result.prompt_version,
        confidence=result.confidence,
        rationale=result.rationale,
        initial_price=draft.mid,
        initial_bid=draft.bid,
        initial_ask=draft.ask,
        chain_seq=0,
        previous_hash=GENESIS_HASH,
        record_hash="",
    )
