"""Runs the experiments over a set of markets and puts what they say into the record; the jobs choose the set.

Law: (market, experiment, version, model, day) is forecast once, whichever job asks; a paid answer is kept before
anything else happens. Markets go in small groups, and when all forecasts of a market are in they enter the record
together, in one transaction. Whatever was not made has its reason written down.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import msgspec
import structlog

from agent.core.ensemble import TrackRecord
from agent.core.instants import to_the_ms
from agent.core.routing import Router
from agent.errors import OddsdError
from agent.experiments.base import BlindContext, Experiment, ExperimentResult, ExperimentSkip
from agent.experiments.frozen import wants_of
from agent.experiments.registry import Registry
from agent.experiments.running import run_experiment
from agent.jobs.context import DEFAULT_LANE, Outcome, RunContext, Unit
from agent.jobs.forecast_door import KeptDoor, Turns
from agent.jobs.forecast_tasks import (
    Failed,
    Forecast,
    Tally,
    Task,
    forecast_of,
    prediction_of,
    tasks_of,
    wanted,
)
from agent.llm.budget import Purpose
from agent.llm.gateway import Gateway
from agent.store.db import Store
from agent.store.forecasts import ForecastKey, ForecastRow, State, load_forecasts, save_forecasts
from agent.store.predictions import append_predictions
from agent.store.quotes import load_latest_quotes, load_sight
from agent.store.tx import Tx
from sync.records import Market, Quote

GROUP = 8  # markets forecast and recorded together: a run that is cut off has recorded all but these

log = structlog.get_logger("predict")

Told = Callable[[Experiment, str], Awaitable[None]]  # a model is about to be asked for an experiment


@dataclass(slots=True, kw_only=True)
class ForecastRun:
    """One run: collects each market's results, experiment by experiment, then records them."""

    store: Store
    gateway: Gateway
    turns: Turns
    registry: Registry
    router: Router
    track: TrackRecord
    models: Sequence[str]
    ctx: RunContext
    run_day: date
    tally: Tally = field(default_factory=Tally)
    ask: str = ""  # a person's question: what failed for another one is tried anew, what was made still counts
    told: Told | None = None
    _results: dict[str, dict[str, list[Forecast]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    _retriable: dict[ForecastKey, bool] = field(default_factory=dict)
    _notes: list[ForecastRow] = field(default_factory=list)

    async def over(self, markets: Sequence[Market]) -> None:
        """Every experiment in order over these markets, group by group."""
        for first in range(0, len(markets), GROUP):
            await self._group(markets[first : first + GROUP])

    async def _group(self, markets: Sequence[Market]) -> None:
        known = await load_forecasts(self.store.reader, [market.market_key for market in markets], self.run_day)
        self._retriable |= {row.key: row.retriable for row in known.values() if row.state == "failed"}
        for experiment in self.registry:
            tasks = tasks_of(experiment, markets, self.models, self.run_day)
            due = [task for task in tasks if not self._take_earlier(known.get(task.key))]
            due = [task for task in due if self._may_run(task)]
            if experiment.asks_model and due:
                due = await self._if_ready(due)
            async with asyncio.TaskGroup() as group:  # one model does not wait for another
                for model in dict.fromkeys(task.model for task in due):
                    mine = [task for task in due if task.model == model]
                    group.create_task(self._all_of(model, mine), name=f"forecasts:{model}")
        await self._record_all(markets)

    async def _all_of(self, model: str | None, tasks: list[Task]) -> None:
        lane = model or DEFAULT_LANE
        if self.told is not None and model is not None:
            await self.told(tasks[0].experiment, model)
        outcomes = await self.ctx.map(tasks, key=self._unit_key, fn=self._forecast, lane=lane)
        for task, outcome in zip(tasks, outcomes, strict=True):
            self._take(task, outcome)

    def _take_earlier(self, row: ForecastRow | None) -> bool:
        """Whether another run of the day has made it already; what it gave is used here."""
        if row is None or row.state != "made" or row.body is None:
            return False
        self._add(row.key, msgspec.json.decode(row.body, type=Forecast))
        self.tally.n_earlier += 1
        return True

    def _may_run(self, task: Task) -> bool:
        """Whether a task has what it requires and the router wants it; if not, that is noted."""
        if task.experiment.asks_model:
            runs, why = wanted(self.registry, self.router, task, self.run_day)
            if not runs:
                self._note(task.key, "left_out", why)
                return False
        if absent := [name for name in task.experiment.requires if not self._read_by(task, name)]:
            self._note(task.key, "skipped", f"requires {', '.join(absent)}, which gave nothing")
            return False
        return True

    async def _if_ready(self, due: list[Task]) -> list[Task]:
        """The tasks, where a model would be asked now; off is a choice, away or used up is a shortage."""
        if (reason := await self.gateway.unready_reason(Purpose.FORECAST)) is None:
            return due
        off = self.gateway.off_reason is not None
        name = due[0].experiment.name
        log.info("experiment stands aside", action="experiment_skipped", experiment=name, reason=reason)
        for task in due:
            if off:
                self._note(task.key, "skipped", reason)
            else:
                self._fail(task.key, reason, retriable=True)
        if not off:
            self.ctx.partial(f"{name} waits: {reason}")
        return []

    def _unit_key(self, task: Task) -> str:
        """What is paid is kept for the day, whoever asks; what costs nothing is tried anew by each run."""
        if not task.experiment.asks_model:
            return f"forecast:{task.key.text}:{self.ctx.run_id}:{self.ask}".rstrip(":")
        return f"forecast:{task.key.text}" + (f":{self.ask}" if self.ask else "")

    def _take(self, task: Task, outcome: Outcome) -> None:
        if outcome.error is not None:
            self._fail(task.key, outcome.error, retriable=self._retriable.get(task.key, False))
        elif "skip" in outcome.value:
            self._note(task.key, "skipped", outcome.value["skip"])
        else:
            forecast = msgspec.convert(outcome.value, Forecast)
            if outcome.from_kept:  # made by another machine, or in a file whose notes are gone
                self._notes.append(self._row(task.key, forecast))
            self._add(task.key, forecast)

    def _add(self, key: ForecastKey, forecast: Forecast) -> None:
        self._results[forecast.market_key][forecast.experiment].append(forecast)
        self.tally.states[key.experiment, key.model, "made"] += 1

    def _note(self, key: ForecastKey, state: State, reason: str, *, retriable: bool = False) -> None:
        self.tally.states[key.experiment, key.model, state] += 1
        if state != "failed":
            self.tally.reasons[f"{key.experiment}: {reason}"] += 1
        self._notes.append(
            ForecastRow(
                key=key,
                job=self.ctx.job,
                run_id=self.ctx.run_id,
                state=state,
                noted_at=to_the_ms(self.store.clock()),
                reason=reason,
                retriable=retriable,
            )
        )

    def _fail(self, key: ForecastKey, reason: str, *, retriable: bool) -> None:
        self._note(key, "failed", reason, retriable=retriable)
        self.tally.failed.append(Failed(key, reason, retriable))

    def _read_by(self, task: Task, name: str) -> tuple[ExperimentResult, ...]:
        """What an experiment is given of another one: of its own model where both ask one, else of all."""
        found = self._results[task.market.market_key][name]
        if task.model is not None:
            found = [forecast for forecast in found if forecast.asked in (None, task.model)]
        return tuple(forecast.result for forecast in found)

    async def _forecast(self, task: Task) -> Unit:
        """One forecast, stored as it is kept; nothing enters the record yet. Raises: AnalysisError."""
        now = to_the_ms(self.store.clock())
        quote = (await load_latest_quotes(self.store.reader, [task.key.market_key])).get(task.key.market_key)
        sight = await load_sight(self.store.reader, task.key.market_key)
        try:
            given = await self._run(task, quote, now)
        except OddsdError as exc:
            self._retriable[task.key] = exc.retryable
            raise
        except TimeoutError:
            self._retriable[task.key] = True
            raise
        if isinstance(given, ExperimentSkip):
            return Unit({"skip": given.reason})
        seen_at = None if sight is None else sight.seen_at
        forecast = msgspec.structs.replace(forecast_of(task, given, quote, now), seen_at=seen_at)

        async def save(tx: Tx) -> None:
            await save_forecasts(tx, [self._row(task.key, forecast)])

        return Unit(msgspec.to_builtins(forecast), save)

    def _row(self, key: ForecastKey, forecast: Forecast) -> ForecastRow:
        return ForecastRow(
            key=key,
            job=self.ctx.job,
            run_id=self.ctx.run_id,
            state="made",
            noted_at=forecast.predicted_at,
            body=msgspec.json.encode(forecast),
        )

    async def _run(self, task: Task, quote: Quote | None, now: datetime) -> ExperimentResult | ExperimentSkip:
        names = (*task.experiment.requires, *wants_of(task.experiment))
        context = BlindContext(
            now=now,
            run_day=self.run_day,
            results={name: results for name in names if (results := self._read_by(task, name))},
            door=KeptDoor(self.store, self.gateway, self.turns, self.tally.bill, task.key, self.ctx.run_id),
            model=task.model,
        )
        versions = {experiment.name: experiment.version for experiment in self.registry}
        return await run_experiment(
            task.experiment, task.market, context, quote=quote, track=self.track, versions=versions
        )

    async def _record_all(self, markets: Sequence[Market]) -> None:
        """Each market's forecasts into the record, a transaction each; then what was not made, and why."""
        ready = [market for market in markets if self._said(market)]
        outcomes = await self.ctx.map(ready, key=self._record_key, fn=self._record)
        for market, outcome in zip(ready, outcomes, strict=True):
            if outcome.error is not None:
                key = ForecastKey(market.market_key, "record", "", "", self.run_day.isoformat())
                self.tally.failed.append(Failed(key, outcome.error, retriable=True))
        async with self.store.write() as tx:
            await save_forecasts(tx, self._notes)
        self._notes.clear()

    def _said(self, market: Market) -> list[Forecast]:
        """What enters the record: findings without a probability do not."""
        made = self._results[market.market_key]
        return [f for e in self.registry for f in made[e.name] if f.result.probability_yes is not None]

    def _record_key(self, market: Market) -> str:
        """Names the forecasts it records: another experiment later in the day is another record, not a repetition."""
        ids = "|".join(sorted(forecast.prediction_id for forecast in self._said(market)))
        digest = hashlib.sha256(ids.encode()).hexdigest()[:16]
        return f"record:{market.market_key}:{self.run_day.isoformat()}:{digest}"

    async def _record(self, market: Market) -> Unit:
        """All of a market's forecasts into the record, in one transaction."""
        predictions = [prediction_of(forecast, self.run_day) for forecast in self._said(market)]

        async def save(tx: Tx) -> None:  # may run again where the file was busy: the same keys, the same count
            recorded = await append_predictions(tx, predictions)
            self.tally.recorded |= {prediction.prediction_id for prediction in recorded}

        return Unit([prediction.prediction_id for prediction in predictions], save)
