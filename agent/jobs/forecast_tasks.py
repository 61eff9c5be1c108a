"""What is to be forecast by whom, what was given, and what became of it all: the shapes of a forecasting run. Pure.

Called by forecasting.py, which does it, and by predict.py, which can say what it would do.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

import msgspec
import uuid_utils

from agent.core.ensemble import Author
from agent.core.record import GENESIS_HASH
from agent.core.routing import Arm, Assignment, Router
from agent.experiments.base import Experiment, ExperimentResult
from agent.experiments.registry import Registry
from agent.jobs.forecast_door import Bill
from agent.store.forecasts import ForecastKey
from sync.records import Market, Prediction, Quote


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What one experiment gave for one market, as it is kept."""

    prediction_id: str
    market_key: str
    experiment: str
    experiment_version: str
    asked: str | None  # the model that was asked
    saw_price: bool
    predicted_at: datetime
    result: ExperimentResult
    mid: float | None = None  # the book at predicted_at: for the benchmark, never shown to a blind experiment
    bid: float | None = None
    ask: float | None = None
    seen_at: datetime | None = None  # when the venue last showed that book


class Task(NamedTuple):
    """One forecast to be made."""

    market: Market
    experiment: Experiment
    model: str | None
    key: ForecastKey


class Failed(NamedTuple):
    """One forecast that was not made though it should have been."""

    key: ForecastKey
    reason: str
    retriable: bool


@dataclass(slots=True, kw_only=True)
class Tally:
    """What became of a run's forecasts."""

    states: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (experiment, model, state)
    reasons: Counter[str] = field(default_factory=Counter)  # of what was skipped or left out
    failed: list[Failed] = field(default_factory=list)
    n_earlier: int = 0  # made before, by another run of the day
    recorded: set[str] = field(default_factory=set)  # prediction ids that are new in the record
    bill: Bill = field(default_factory=Bill)


def arm_of(experiment: Experiment, model: str | None) -> Arm:
    """Who would make the forecast."""
    return Arm(Author(experiment.name, experiment.version, model), experiment.saw_price)


def tasks_of(experiment: Experiment, markets: Sequence[Market], models: Sequence[str], run_day: date) -> Iterator[Task]:
    """One task for each market, and for each model where the experiment asks one."""
    for model in models if experiment.asks_model else (None,):
        for market in markets:
            key = ForecastKey(market.market_key, experiment.name, experiment.version, model or "", run_day.isoformat())
            yield Task(market, experiment, model, key)


def wanted(registry: Registry, router: Router, task: Task, run_day: date) -> Assignment:
    """Whether a paid task is to be done: for its own forecasts' sake, or because a wanted one reads it."""
    market, arm = task.market, arm_of(task.experiment, task.model)

    def assigned(one: Arm) -> Assignment:
        return router.assign(one, market_key=market.market_key, category=market.category, day=run_day)

    own = assigned(arm)
    readers = [e for e in registry if e.asks_model and task.experiment.name in e.requires]
    if not readers or (own.runs and (router.is_measured(arm.author) or router.is_pinned(arm.author))):
        return own
    needed = [reader.name for reader in readers if assigned(arm_of(reader, task.model)).runs]
    return Assignment(bool(needed), f"{' and '.join(needed)} read it" if needed else "nobody reads it this time")


def forecast_of(task: Task, result: ExperimentResult, quote: Quote | None, now: datetime) -> Forecast:
    """A result as it is kept, with the book of that moment."""
    return Forecast(
        prediction_id=str(uuid_utils.uuid7()),
        market_key=task.key.market_key,
        experiment=task.experiment.name,
        experiment_version=task.experiment.version,
        asked=task.model,
        saw_price=task.experiment.saw_price,
        predicted_at=now,
        result=result,
        mid=None if quote is None else quote.mid,
        bid=None if quote is None else quote.bid,
        ask=None if quote is None else quote.ask,
    )


def prediction_of(forecast: Forecast, run_day: date) -> Prediction:
    """A forecast as a record; its place in the chain is given when it is appended."""
    result = forecast.result
    if result.probability_yes is None:
        raise ValueError(f"forecast {forecast.prediction_id} has no probability")
    return Prediction(
        prediction_id=forecast.prediction_id,
        market_key=forecast.market_key,
        experiment=forecast.experiment,
        experiment_version=forecast.experiment_version,
        run_day=run_day,
        probability_yes=result.probability_yes,
        saw_price=forecast.saw_price,
        predicted_at=forecast.predicted_at,
        model=result.model,
        prompt_version=result.prompt_version,
        confidence=result.confidence,
        rationale=result.rationale,
        initial_price=forecast.mid,
        initial_bid=forecast.bid,
        initial_ask=forecast.ask,
        initial_seen_at=forecast.seen_at,
        chain_seq=0,
        previous_hash=GENESIS_HASH,
        record_hash="",
    )
