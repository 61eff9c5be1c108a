"""The two prediction jobs: the daily run over markets that close N days ahead, the daily batch over the busiest ones.

Law: the market set is fixed by its window before anything is forecast, dull markets count too; a rerun of the same day
and window adds what is missing and pays for nothing it has; each run leaves one summary by (job, day, window). What an
operator asks for by hand is the same run with other numbers; a dry run stores and asks nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from agent.core.ensemble import TrackRecord
from agent.core.routing import Assignment, Router, Rules
from agent.core.selection import Question, decide
from agent.errors import ConfigError
from agent.experiments.frozen import faults, versions_of
from agent.experiments.registry import Registry
from agent.jobs.context import Job, RunContext
from agent.jobs.forecast_door import Turns
from agent.jobs.forecast_tasks import Tally, arm_of, tasks_of, wanted
from agent.jobs.forecasting import ForecastRun, Told
from agent.jobs.predict_summary import Summary, by_state, summarised
from agent.jobs.predict_window import DAILY, PredictOptions, Window, Wish, batch_window, daily_window
from agent.jobs.selecting import select
from agent.llm.gateway import Gateway
from agent.store.db import Store
from agent.store.experiments import freeze, load_frozen, load_past, load_summary, save_summary
from agent.store.forecasts import load_forecasts, prune_forecasts
from agent.store.markets import has_markets, load_open_closing
from agent.store.quotes import load_latest_quotes
from sync.records import Market

KEEP_DAYS = 90  # of answers and notes; the record keeps every prediction for ever


_wish: ContextVar[Wish | None] = ContextVar("wish", default=None)


class Predictor:
    """Both jobs over one store, and what a person may ask of them."""

    def __init__(
        self, store: Store, registry: Registry, gateway: Gateway, options: PredictOptions, turns: Turns | None = None
    ) -> None:
        self._store, self._registry, self._gateway, self._options = store, registry, gateway, options
        self._turns = turns or Turns()

    async def assert_frozen(self) -> None:
        """Refuse an experiment that changed under its version. Raises: ConfigError with every one."""
        if found := faults(self._versions(), await load_frozen(self._store.reader)):
            raise ConfigError(found)

    @contextmanager
    def wishing(self, wish: Wish) -> Iterator[None]:
        """Runs begun inside are the run that was wished for."""
        token = _wish.set(wish)
        try:
            yield
        finally:
            _wish.reset(token)

    @property
    def daily(self) -> Job:
        """The job of the daily run."""

        async def predict(ctx: RunContext, slot: datetime) -> None:
            options = self._as_wished("daily")
            await self._attend(ctx, slot, daily_window(options, slot), options.limit, options)

        return predict

    @property
    def batch(self) -> Job:
        """The job of the daily batch."""

        async def batch(ctx: RunContext, slot: datetime) -> None:
            options = self._as_wished("batch")
            await self._attend(ctx, slot, batch_window(options, slot), options.batch_limit, options)

        return batch

    def _as_wished(self, kind: str, wish: Wish | None = None) -> PredictOptions:
        wish, options = wish or _wish.get(), self._options
        if wish is None or wish.kind != kind:
            return options
        changed: dict[str, Any] = {}
        if wish.window_days is not None:
            changed["window_days" if kind == "daily" else "batch_days"] = wish.window_days
        if wish.limit is not None:
            changed["limit" if kind == "daily" else "batch_limit"] = wish.limit
        return replace(options, **changed)

    def _models(self, job: str) -> tuple[str, ...]:
        """Whom the experiments ask: those named in the settings, as far as they are still there."""
        present = self._gateway.models
        if self._options.models:
            return tuple(model for model in self._options.models if model in present) or present[:1]
        return present[:1] if job == DAILY else present

    def _versions(self) -> dict[tuple[str, str], dict[str, str]]:
        """What each version is. The models are the configured ones: one that retires is no change of ours."""
        return versions_of(self._registry, self._options.models or self._gateway.configured)

    async def _track(self, now: datetime) -> TrackRecord:
        return TrackRecord(await load_past(self._store.reader), now=now)

    def _router(self, track: TrackRecord, models: Sequence[str]) -> Router:
        arms = [arm_of(e, model) for e in self._registry if e.asks_model for model in models]
        return Router(arms, track.past, self._options.rules)

    async def _attend(
        self, ctx: RunContext, slot: datetime, window: Window, limit: int, options: PredictOptions
    ) -> None:
        await self.assert_frozen()
        chosen, n_closing = await self._chosen(window, limit, options, ctx.now)
        markets = [market for market in chosen if ctx.mine(market.market_key)]
        ctx.count(markets=len(markets), recorded=0, skipped=0, failed=0)
        if not chosen and await has_markets(self._store.reader):  # else a fresh install: nothing is wrong with it
            which = f"none of {n_closing} passes the gates of selection" if n_closing else "no open market closes"
            ctx.partial(f"{which} between {window.start:%Y-%m-%d %H:%M} and {window.end:%Y-%m-%d %H:%M} UTC")
        models, track = self._models(ctx.job), await self._track(ctx.now)
        run_day, tally = slot.astimezone(UTC).date(), Tally()
        async with self._store.write() as tx:
            await freeze(tx, self._versions() if markets else {}, now=ctx.now)
            await prune_forecasts(tx, run_day - timedelta(days=KEEP_DAYS))
        run = ForecastRun(
            store=self._store,
            gateway=self._gateway,
            turns=self._turns,
            registry=self._registry,
            router=self._router(track, models),
            track=track,
            models=models,
            ctx=ctx,
            run_day=run_day,
            tally=tally,
        )
        try:
            await run.over(markets)
        finally:
            _count(ctx, tally)
        summary = summarised(
            options,
            ctx.job,
            run_day,
            window,
            markets=markets,
            tally=tally,
            started_at=ctx.now,
            ended_at=self._store.clock(),
        )
        summary = msgspec.structs.replace(
            summary, run_id=ctx.run_id, state="partial" if ctx.reason else "ok", reason=ctx.reason
        )
        async with self._store.write() as tx:
            body = msgspec.json.encode(summary)
            await save_summary(tx, ctx.job, run_day, window.span, body, ended_at=summary.ended_at)

    @property
    def offered(self) -> tuple[str, ...]:
        """The models that can be asked for by name, as far as they are still there."""
        return self._gateway.models

    @property
    def registry(self) -> Registry:
        """The experiments, in their order."""
        return self._registry

    async def on_demand(
        self, ctx: RunContext, market: Market, models: Sequence[str], *, run_day: date, ask: str, told: Told
    ) -> dict[str, str]:
        """Every experiment over one market with the models a person asked for; whoever is asked for is asked.

        Args:
            ask: names the question: what failed for another one is tried anew.
            told: hears of each model and experiment before it is asked.
        Returns: by model, why something is missing.
        """
        await self.assert_frozen()
        track = await self._track(ctx.now)
        async with self._store.write() as tx:
            await freeze(tx, self._versions(), now=ctx.now)
        run = ForecastRun(
            store=self._store,
            gateway=self._gateway,
            turns=self._turns,
            registry=self._registry,
            router=Router([], track.past, Rules(pinned=frozenset(e.name for e in self._registry))),
            track=track,
            models=models,
            ctx=ctx,
            run_day=run_day,
            ask=ask,
            told=told,
        )
        await run.over([market])
        rows = await load_forecasts(self._store.reader, [market.market_key], run_day)
        missing = [row for row in rows.values() if row.state != "made" and row.key.model in models]
        return {row.key.model: f"{row.key.experiment}: {row.reason}" for row in missing}

    async def _chosen(
        self, window: Window, limit: int, options: PredictOptions, now: datetime
    ) -> tuple[list[Market], int]:
        """The markets of a window that pass the gates, and how many there were before."""
        reader = self._store.reader
        closing = await load_open_closing(reader, window.start, window.end, limit * options.candidates)
        chosen = await select(self._store, Question.PREDICT, closing, options.thresholds, now, limit=limit)
        return chosen, len(closing)

    async def last_summary(self, wish: Wish, slot: datetime) -> Summary | None:
        """What the newest run of a wish's day and window left."""
        options, day = self._as_wished(wish.kind, wish), slot.astimezone(UTC).date()
        window = daily_window(options, slot) if wish.kind == "daily" else batch_window(options, slot)
        body = await load_summary(self._store.reader, wish.job, day, window.span)
        return None if body is None else msgspec.json.decode(body, type=Summary)

    async def rehearsed(self, wish: Wish, now: datetime) -> Summary:
        """What a run would do now: who would be asked about which market. Stores, asks and pays nothing."""
        await self.assert_frozen()
        options = self._as_wished(wish.kind, wish)
        daily = wish.kind == "daily"
        window = daily_window(options, now) if daily else batch_window(options, now)
        limit = options.limit if daily else options.batch_limit
        closing = await load_open_closing(self._store.reader, window.start, window.end, limit * options.candidates)
        quotes = await load_latest_quotes(self._store.reader, [market.market_key for market in closing])
        markets = [
            market
            for market in closing
            if decide(Question.PREDICT, market, quotes.get(market.market_key), options.thresholds, now).chosen
        ][:limit]
        tally = Tally()
        models, track = self._models(wish.job), await self._track(now)
        router = self._router(track, models)
        known = await load_forecasts(self._store.reader, [market.market_key for market in markets], now.date())
        for experiment in self._registry:
            for task in tasks_of(experiment, markets, models, now.date()):
                free = Assignment(True, "it costs nothing")
                runs, why = wanted(self._registry, router, task, now.date()) if experiment.asks_model else free
                made = (row := known.get(task.key)) is not None and row.state == "made"
                tally.n_earlier += made
                state = "made" if made else "due" if runs else "left_out"
                tally.states[task.key.experiment, task.key.model, state] += 1
                if not runs and not made:
                    tally.reasons[f"{experiment.name}: {why}"] += 1
        summary = summarised(
            options,
            wish.job,
            now.date(),
            window,
            markets=markets,
            tally=tally,
            started_at=now,
            ended_at=self._store.clock(),
        )
        return msgspec.structs.replace(summary, dry_run=True)


def _count(ctx: RunContext, tally: Tally) -> None:
    """The run's numbers, as far as it came."""
    states = by_state(tally)
    ctx.count(
        made=states["made"] - tally.n_earlier,
        earlier=tally.n_earlier,
        recorded=len(tally.recorded),
        skipped=states["skipped"],
        left_out=states["left_out"],
        failed=len(tally.failed),
        calls=tally.bill.n_calls,
    )
