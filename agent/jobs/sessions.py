"""Predictions people ask for: taken on at once, run through the experiments of the daily batch, told step by step.

Law: a session is durable before its request is answered, and owed until each of its models has ended. Sessions run side
by side, those of one market one after another, so the second finds what the first has paid for. A retry, a restart or
another session never asks a model again for what it has answered that day. Whoever dies at it is recovered: the job
runs at start, whenever a request comes, and every ten minutes.
"""

import asyncio
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
import structlog

from agent.core.instants import to_the_ms
from agent.errors import OddsdError
from agent.experiments.base import Experiment
from agent.experiments.registry import Registry
from agent.jobs.context import Job, RunContext, is_engine_fault
from agent.jobs.forecast_tasks import Forecast
from agent.jobs.pauses import load_pauses, pause_of
from agent.jobs.predict import Predictor
from agent.jobs.runner import Runner
from agent.store.db import Store
from agent.store.forecasts import ForecastRow, load_forecasts
from agent.store.markets import load_markets
from agent.store.sessions import (
    SessionRow,
    advance,
    load_made_ids,
    load_open_sessions,
    load_session,
    prune_sessions,
    take_session,
    tell_again,
)
from sync.downlink import RequestFailed
from sync.protocol import Request
from sync.records import Market, MarketStatus, SessionState

SESSIONS = "sessions"
KIND = "session"  # of the request
LIMIT_S = 540.0  # of one session: the cloud asks again after ten minutes without a word
KEEP = timedelta(days=90)
MOST_MODELS = 8

log = structlog.get_logger("sessions")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request of kind `session`. What a newer cloud adds is left to newer edges."""

    session_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    market_key: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    models: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MOST_MODELS)]


class Sessions:
    """Takes sessions on and works on them; one per process."""

    def __init__(self, store: Store, predictor: Predictor, *, limit_s: float = LIMIT_S) -> None:
        self._store, self._predictor, self._limit_s = store, predictor, limit_s
        self._for_starter, self._for_run = asyncio.Event(), asyncio.Event()
        self._for_starter.set()  # what a dead process owed

    async def take(self, request: Request) -> dict[str, Any]:
        """Take a session on, durably, and have it begun; the downlink's handler. Raises: RequestFailed.

        Taken on before by this edge: it is begun again if it is owed, and told again if it has ended.
        """
        try:
            asked = msgspec.convert(request.body, Asked)
        except msgspec.ValidationError as exc:
            raise RequestFailed(f"session: {exc}") from exc
        now = to_the_ms(self._store.clock())
        market = (await load_markets(self._store.reader, [asked.market_key])).get(asked.market_key)
        if (unfit := _unfit(market)) is not None:
            raise RequestFailed(f"{asked.market_key}: {unfit}")
        models = tuple(dict.fromkeys(asked.models))
        async with self._store.write() as tx:
            is_new = await take_session(tx, asked.session_id, asked.market_key, models, now=now)
            if not is_new and (known := await load_session(tx, asked.session_id)) is not None:
                await tell_again(tx, known, now=now)
            for model in models if is_new else ():
                await advance(tx, asked.session_id, model, SessionState.RESEARCHING, now=now)
        self._for_starter.set()
        self._for_run.set()
        log.info("session taken", action="session_taken", session=asked.session_id, models=list(models), new=is_new)
        return {"taken": True, "new": is_new}

    async def begin_forever(self, runner: Runner) -> None:
        """Start the job whenever something is owed and nobody is at it; a task of the daemon."""
        while True:
            await self._for_starter.wait()
            self._for_starter.clear()
            is_owed = bool(await load_open_sessions(self._store.reader))
            if is_owed and pause_of(await load_pauses(self._store.reader), SESSIONS) is None:
                await runner.run(SESSIONS)

    @property
    def job(self) -> Job:
        """The job: everything that is owed, and what comes in meanwhile."""

        async def sessions(ctx: RunContext, slot: datetime) -> None:
            del slot
            async with self._store.write() as tx:
                await prune_sessions(tx, ctx.now - KEEP)
            ctx.count(sessions=0, completed=0, failed=0)
            begun, waits = dict[str, asyncio.Task[None]](), defaultdict[str, asyncio.Lock](asyncio.Lock)
            async with asyncio.TaskGroup() as group:
                while True:
                    self._for_run.clear()
                    for session in await load_open_sessions(self._store.reader):
                        if session.session_id not in begun:
                            work = self._in_turn(ctx, session, waits[session.market_key])
                            begun[session.session_id] = group.create_task(work, name=f"session:{session.session_id}")
                    if all(task.done() for task in begun.values()):
                        return
                    await self._anything([task for task in begun.values() if not task.done()])

        return sessions

    async def _anything(self, tasks: list[asyncio.Task[None]]) -> None:
        """Until a session ends or another one is asked for."""
        rung = asyncio.create_task(self._for_run.wait(), name="sessions-bell")
        try:
            await asyncio.wait([rung, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            rung.cancel()

    async def _in_turn(self, ctx: RunContext, session: SessionRow, turn: asyncio.Lock) -> None:
        async with turn:
            ctx.count(sessions=1)
            deadline = asyncio.timeout(self._limit_s)
            try:
                async with deadline:
                    await self._forecast(ctx, session)
            except TimeoutError:
                await self._end(ctx, session, f"it took longer than {self._limit_s:g} s")
            except Exception as exc:
                if is_engine_fault(exc):
                    raise
                if not isinstance(exc, OddsdError):
                    log.exception("session raised", action="session_raised", session=session.session_id)
                await self._end(ctx, session, str(exc) if isinstance(exc, OddsdError) else "a fault of ours")

    async def _forecast(self, ctx: RunContext, session: SessionRow) -> None:
        market = (await load_markets(self._store.reader, [session.market_key]))[session.market_key]
        offered = self._predictor.offered
        models = tuple(model for model in session.open_models if model in offered)
        if not models:
            await self._end(ctx, session, f"not a model of this edge; it has {', '.join(offered) or 'none'}")
            return

        async def told(experiment: Experiment, model: str) -> None:
            state = stage_of(self._predictor.registry, experiment)
            async with self._store.write() as tx:
                await advance(tx, session.session_id, model, state, now=to_the_ms(self._store.clock()))

        run_day = session.taken_at.date()
        failed = await self._predictor.on_demand(
            ctx, market, models, run_day=run_day, ask=session.session_id, told=told
        )
        made = await self._made(session.market_key, session.taken_at)
        for model in session.open_models:
            ids = made.get(model, ())
            absent = None if model in offered else f"not a model of this edge; it has {', '.join(offered)}"
            why_not = absent or failed.get(model) or "no experiment gave a forecast"
            await self._settle(ctx, session, model, ids, why_not)

    async def _made(self, market_key: str, taken_at: datetime) -> dict[str, tuple[str, ...]]:
        """The forecasts of the day in the record, by the model that was asked."""
        rows = await load_forecasts(self._store.reader, [market_key], taken_at.date())
        forecasts = [f for f in map(_forecast_in, rows.values()) if f is not None and f.asked is not None]
        recorded = await load_made_ids(self._store.reader, [f.prediction_id for f in forecasts])
        found: dict[str, tuple[str, ...]] = {}
        for forecast in forecasts:
            if forecast.prediction_id in recorded and forecast.asked is not None:
                found[forecast.asked] = (*found.get(forecast.asked, ()), forecast.prediction_id)
        return found

    async def _settle(
        self, ctx: RunContext, session: SessionRow, model: str, ids: tuple[str, ...], why_not: str
    ) -> None:
        """The end of one model: its forecasts, or why there is none."""
        state = SessionState.COMPLETED if ids else SessionState.FAILED
        async with self._store.write() as tx:
            moved = await advance(
                tx,
                session.session_id,
                model,
                state,
                now=to_the_ms(self._store.clock()),
                reason=None if ids else why_not,
                prediction_ids=ids,
            )
        if moved:
            ctx.count(**{"completed" if ids else "failed": 1})

    async def _end(self, ctx: RunContext, session: SessionRow, reason: str) -> None:
        ctx.partial(f"session {session.session_id}: {reason}")
        for model in session.open_models:
            await self._settle(ctx, session, model, (), reason)


def stage_of(registry: Registry, experiment: Experiment) -> SessionState:
    """Research is what another question to a model stands on; everything else asks for the forecast itself."""
    readers = [other for other in registry if other.asks_model and experiment.name in other.requires]
    return SessionState.RESEARCHING if readers else SessionState.GENERATING


def _unfit(market: Market | None) -> str | None:
    """Why there is nothing to forecast."""
    if market is None:
        return "this edge does not know the market"
    if market.status is not MarketStatus.OPEN:
        return f"the market is {market.status.value}, not open"
    return None


def _forecast_in(row: ForecastRow) -> Forecast | None:
    return None if row.state != "made" or row.body is None else msgspec.json.decode(row.body, type=Forecast)
