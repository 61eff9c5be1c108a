"""The one door to every model: `complete` reserves money, waits its turn, asks, checks, books and writes it down.

Law: no call without a durable reservation, no answer without validation, no default in place of an answer. A failed
call is a row and an error, never a number. Retries are decided by `agent.llm.retries`, money by `agent.llm.budget`,
pace by `agent.llm.limits`, pauses by `agent.llm.breaker`; this file only puts them in order. Jobs and experiments are
the callers.
"""

import asyncio
import importlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from types import TracebackType
from typing import Generic, Self, TypeVar

import structlog

from agent.core.instants import to_ms
from agent.errors import AnalysisError, CallsExhausted, LlmRefused, LlmReplyInvalid, LlmUnavailable
from agent.llm.answers import read, rescued
from agent.llm.booking import Trace
from agent.llm.breaker import Breaker
from agent.llm.budget import Budget, usd_from_nano
from agent.llm.calls import Call, RawReply, Wire
from agent.llm.faults import CallFailed, Fault, FaultKind
from agent.llm.listing import read_listing
from agent.llm.models import JsonMode
from agent.llm.options import GatewayOptions
from agent.llm.prompt import Prompt
from agent.llm.question import Question
from agent.llm.retries import Decision, Plan, Step, decide
from agent.llm.roster import ModelState, Roster
from agent.llm.schemas import ModelReply, ReplySchema
from agent.store.db import Store
from agent.store.llm_models import load_models, save_json_mode, save_listed

# Failures in a row over all models: a service that is down, or a request of ours that is wrong each time.
ALL_FAILURES, ALL_PAUSE_S, ALL_PAUSE_CAP_S = 6, 300.0, 3600.0

R = TypeVar("R", bound=ModelReply)
log = structlog.get_logger("llm")


@dataclass(frozen=True, slots=True)
class Reply(Generic[R]):
    """A checked answer and what it took."""

    value: R
    model: str
    prompt_version: str
    cost_usd: Decimal
    call_id: str


class _ModelOut(Exception):
    """This model cannot answer; another may."""

    def __init__(self, error: AnalysisError) -> None:
        super().__init__(str(error))
        self.error = error


class Gateway:
    """Use as `async with Gateway(store, options) as gateway`; one per process."""

    def __init__(
        self,
        store: Store,
        options: GatewayOptions,
        *,
        kill_switch: Callable[[], str | None] = lambda: None,
        wire: Callable[[], Wire] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wire the gateway.

        Args:
            kill_switch: read before each paid call; a sentence stops it, None lets it pass.
            wire: makes the client on the first call; None: the official SDK.
        """
        self._store, self._options = store, options
        self._kill_switch, self._make_wire = kill_switch, wire
        self._sleep, self._jitter, self._monotonic = sleep, jitter, monotonic
        self._budget = Budget(
            store,
            daily_cap_usd=options.daily_cap_usd,
            shares=options.purpose_shares,
            daily_tokens=options.daily_tokens,
            daily_calls=options.daily_calls,
        )
        self._roster = Roster(options, monotonic=monotonic)
        self._breaker = Breaker(n_to_open=ALL_FAILURES, open_s=ALL_PAUSE_S, cap_s=ALL_PAUSE_CAP_S)
        self._wire: Wire | None = None
        self._opening = asyncio.Lock()
        self._stopped: str | None = None

    async def __aenter__(self) -> Self:
        """Count what a dead process left open as spent, and recall what it had learnt."""
        for note in self._roster.notes:
            log.warning("model replaced", action="model_replaced", reason=note)
        n = await self._budget.recover(older_than=timedelta(seconds=self._options.timeout_s))
        if n:
            log.warning("calls abandoned", action="calls_abandoned", n=n)
        self._roster.recall(await load_models(self._store.reader), self._store.clock())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client, if there was a call at all."""
        if self._wire is not None:
            await self._wire.close()

    @property
    def configured(self) -> tuple[str, ...]:
        """Real ids of all models the settings name; one that retires stays here."""
        return self._roster.configured

    @property
    def models(self) -> tuple[str, ...]:
        """Real ids of the models still in use, the preferred one first."""
        return self._roster.names

    @property
    def off_reason(self) -> str | None:
        """Why no model is asked at all, in words; None while the gateway works."""
        if (silent := self.silent_reason) is not None:
            return silent
        if not self.models:
            gone = "; ".join(f"{name}: {why}" for name, why in self._roster.gone.items())
            return f"no model is left to ask ({gone or 'none is configured'})"
        return None

    @property
    def silent_reason(self) -> str | None:
        """Why the service is not spoken to at all, not even about its models."""
        if not self._options.enabled:
            return "model calls are switched off (AI_ANALYSIS_ENABLED)"
        if not self._options.api_key and not self._options.is_local:
            return "no GROQ_API_KEY is set: analyses and model forecasts are off, everything else runs"
        return self._stopped or self._kill_switch()

    async def unready_reason(self, purpose: str) -> str | None:
        """Why a call for this purpose would not be made just now; None if it would. For jobs, before they queue work.

        Away models and a used-up share are told here, so that units are left for the next run instead of dying.
        """
        if (off := self.off_reason) is not None:
            return off
        away_s = max(self._breaker.away_s(self._monotonic()), self._roster.away_s())
        if away_s > self._options.max_parked_s:
            return f"the model service is away; asked again in {away_s:.0f} s"
        return await self._budget.shortage(purpose, {name: self._usual_cost_nano(name) for name in self.models})

    def _usual_cost_nano(self, model: str) -> int:
        """A usual call's worst case: below it there is no point in starting."""
        return self._roster[model].price.cost_nano(prompt_tokens=5_000, cached_tokens=0, completion_tokens=2_000)

    async def refresh_models(self) -> list[str]:
        """Read the service's list of models: prices and sizes are taken from it, and a sentence for each surprise.

        Raises: LlmUnavailable if there is no such list just now, LlmRefused if we may not ask; nothing is changed then.
        """
        if (silent := self.silent_reason) is not None:
            raise LlmRefused(f"list of models: {silent}")
        now = self._store.clock()
        try:
            wire = await self._open()
            async with asyncio.timeout(self._options.timeout_s):
                listings = read_listing(await wire.list_models(), as_of=now.date().isoformat())
        except (CallFailed, TimeoutError, ValueError) as exc:
            raise LlmUnavailable(f"list of models: {str(exc) or 'no answer in time'}") from exc
        async with self._store.write() as tx:
            await save_listed(tx, self._roster.rows(listings, now))
        warnings = self._roster.learn(listings)
        for warning in warnings:
            log.warning("model list", action="model_listed", reason=warning)
        return warnings

    async def complete(
        self,
        purpose: str,
        schema: ReplySchema[R],
        prompt: Prompt,
        *,
        market_key: str | None = None,
        run_id: str | None = None,
        model: str | None = None,
    ) -> Reply[R]:
        """A checked answer of the given shape.

        Args:
            model: preferred; the configured chain follows if it cannot answer. None: the chain in its order.
        Raises: BudgetExhausted, LlmRefused, LlmReplyInvalid; LlmUnavailable if no model could be asked just now.
        """
        ask = Question(purpose, schema, prompt, market_key, run_id)
        self._refuse_when_off(ask)
        if (wait_s := self._breaker.admit(self._monotonic())) is not None:
            words = f"{purpose}: {ALL_FAILURES} failures in a row, nobody is asked for another {wait_s:.0f} s"
            raise LlmUnavailable(words, retry_after_s=wait_s)
        try:
            return await self._ask_in_turn(ask, preferred=model)
        finally:
            self._breaker.released()

    async def _ask_in_turn(self, ask: Question[R], *, preferred: str | None) -> Reply[R]:
        failure: AnalysisError | None = None
        for name in sorted(self.models, key=lambda candidate: candidate != preferred):
            try:
                return await self._ask(name, ask)
            except _ModelOut as out:
                failure = out.error
                log.warning("model out", action="model_out", model=name, reason=str(failure))
        raise failure or LlmRefused(f"{ask.purpose}: {self.off_reason}")

    async def _ask(self, model: str, ask: Question[R]) -> Reply[R]:
        """Ask one model, if it is not left alone. Raises: _ModelOut if another should be asked."""
        state = self._roster[model]
        if (wait_s := state.breaker.admit(self._monotonic())) is not None:
            words = f"{ask.purpose} by {model}: failing, left alone for another {wait_s:.0f} s"
            raise _ModelOut(LlmUnavailable(words, retry_after_s=wait_s))
        try:
            return await self._try_repeatedly(model, state, ask)
        except (LlmUnavailable, CallsExhausted) as exc:  # parked for longer than is worth waiting, or used up
            raise _ModelOut(exc) from exc
        finally:
            state.breaker.released()

    async def _try_repeatedly(self, model: str, state: ModelState, ask: Question[R]) -> Reply[R]:
        """Try one model as often as its faults allow."""
        began_in, schema = state.ladder.mode(self._store.clock()), ask.schema
        plan = Plan(mode=began_in, max_completion_tokens=schema.max_completion_tokens, temperature=schema.temperature)
        while True:
            self._refuse_when_off(ask)
            try:
                reply = await self._attempt(self._call(state, ask, plan), ask, plan.mode)
            except CallFailed as failed:
                decision = decide(failed.fault, plan, jitter=self._jitter())
                await self._follow(decision, failed.fault, model, ask)
                began_in = decision.plan.mode if decision.step is Step.WEAKER_MODE else began_in
                plan = decision.plan
            else:
                state.breaker.succeeded()
                self._breaker.succeeded()
                if state.ladder.answered(plan.mode, began_in=began_in, now=self._store.clock()):
                    await self._remember_mode(model, state)
                return reply

    async def _follow(self, decision: Decision, fault: Fault, model: str, ask: Question[R]) -> None:
        """Do what a decision says, or raise what it comes to."""
        state, words = self._roster[model], f"{ask.purpose} by {model}: {fault.message}"
        log.info("call failed", action="call_failed", model=model, kind=fault.kind, step=decision.step.name)
        match decision.step:
            case Step.AGAIN:
                await self._sleep(decision.wait_s)
            case Step.PARK:
                state.limiter.park(decision.wait_s)
            case Step.WEAKER_MODE:
                state.ladder.unsupported(decision.plan.mode, self._store.clock())
                await self._remember_mode(model, state)
            case Step.NEXT_RUNG:
                pass  # the plan has the weaker mode
            case Step.NEXT_MODEL:
                away_s = self._leave_alone(state, fault, decision.wait_s)
                raise _ModelOut(LlmUnavailable(words, retry_after_s=away_s))
            case Step.MODEL_GONE:
                state.gone = fault.message
                raise _ModelOut(LlmRefused(words, advice="name another model in ai_model"))
            case Step.STOP_ALL:
                self._stopped = f"the model service refuses the key: {fault.message}"
                log.error("key refused", action="key_refused", reason=fault.message)
                raise LlmRefused(words, advice="check GROQ_API_KEY, then restart")
            case Step.GIVE_UP_INVALID:
                raise LlmReplyInvalid(words)  # not the breaker's business: a stranger's text may have done it
            case Step.GIVE_UP_REFUSED:
                self._breaker.failed(self._monotonic())
                raise LlmRefused(words)

    def _leave_alone(self, state: ModelState, fault: Fault, wait_s: float) -> float:
        """Keep away from a model for a while; being asked to wait is a limit, not a failure. Returns: how long."""
        at = self._monotonic()
        if fault.kind is FaultKind.RATE_LIMITED:
            state.limiter.park(wait_s)
            return wait_s
        self._breaker.failed(at)
        return state.breaker.failed(at)

    async def _remember_mode(self, model: str, state: ModelState) -> None:
        """Keep a step down the ladder over restarts: it was paid for."""
        learnt = state.ladder.learnt
        if learnt is None:
            return
        log.warning("weaker mode", action="weaker_mode", model=model, mode=learnt.mode, reason=learnt.reason)
        async with self._store.write() as tx:
            await save_json_mode(tx, model, mode=learnt.mode, at_ms=to_ms(learnt.at), reason=learnt.reason)

    async def _attempt(self, call: Call, ask: Question[R], mode: JsonMode) -> Reply[R]:
        """One paid call between its reservation and its booking. Raises: CallFailed and what stopped it."""
        price = self._roster[call.model].price
        row = ask.row(call, price, self._store.clock())
        trace = Trace(price=price, reserved_nano=row.reserved_nano, started=self._monotonic())
        await self._budget.reserve(row)
        try:
            try:
                raw = await self._send(call, ask, trace)
                value = read(raw, ask.schema, mode, marker=ask.prompt.marker)
            except CallFailed as failed:
                trace.fault = failed.fault
                saved = rescued(failed.fault, ask.schema, marker=ask.prompt.marker)
                if saved is None:
                    raise
                value = saved
            trace.answered = True
        finally:
            ending = trace.settlement(now=self._monotonic(), ended_at=to_ms(self._store.clock()))
            # A cancelled call is booked all the same: it may have been billed.
            await asyncio.shield(self._budget.settle(row.call_id, ending))
        return Reply(value, call.model, ask.version, usd_from_nano(trace.cost_nano), row.call_id)

    async def _send(self, call: Call, ask: Question[R], trace: Trace) -> RawReply:
        """Wait for the call's turn and make it. Raises: CallFailed, LlmUnavailable, LlmRefused."""
        state, headers = self._roster[call.model], None
        tokens = state.estimate.tokens(call.n_chars) + call.max_completion_tokens
        await state.limiter.acquire(tokens)
        try:
            wire = await self._open()
            self._refuse_when_off(ask)  # the wait may have been long
            trace.sent = True
            async with asyncio.timeout(self._options.timeout_s):  # the SDK's own limit is per read
                raw = await wire.send(call)
            trace.usage, headers = raw.usage, raw.headers
            if raw.usage is not None:
                state.estimate.learn(call.n_chars, raw.usage.prompt_tokens)
        except TimeoutError as exc:
            message = f"no answer in {self._options.timeout_s:g} s"
            raise CallFailed(Fault(kind=FaultKind.TIMEOUT, message=message, charged=True)) from exc
        else:
            return raw
        finally:
            state.limiter.done(tokens, headers)

    async def _open(self) -> Wire:
        """The client, made on the first call."""
        async with self._opening:
            if self._wire is None:
                self._wire = await self._new_wire()
            return self._wire

    async def _new_wire(self) -> Wire:
        if self._make_wire is not None:
            return self._make_wire()
        # Half a second of imports: off the loop, or the watchdog and the control socket wait for it.
        module = await asyncio.to_thread(importlib.import_module, "agent.llm.wire")
        options = self._options
        base_url, path_prefix = options.endpoint
        wire: Wire = module.GroqWire(
            api_key=options.api_key or "local",  # a local server takes any, the SDK wants one
            base_url=base_url,
            path_prefix=path_prefix,
            timeout_s=options.timeout_s,
        )
        return wire

    def _refuse_when_off(self, ask: Question[R]) -> None:
        if (reason := self.off_reason) is not None:
            raise LlmRefused(f"{ask.purpose}: {reason}")

    def _call(self, state: ModelState, ask: Question[R], plan: Plan) -> Call:
        """The request, where it can fit the model at all. Raises: _ModelOut."""
        profile = state.profile
        call = ask.call(profile, plan, is_local=self._options.is_local)
        if (needed := state.estimate.tokens(call.n_chars) + call.max_completion_tokens) > profile.context_tokens:
            words = f"{ask.purpose} by {profile.model}: about {needed} tokens, and it holds {profile.context_tokens}"
            raise _ModelOut(LlmRefused(words, advice="shorten the request, or use a model with a larger context"))
        return call
