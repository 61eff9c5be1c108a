"""The one door to every model: `complete` reserves money, waits its turn, asks, checks, books and writes it down.

Law: no call without a durable reservation, no answer without validation, no default in place of an answer. A failed
call is a row and an error, never a number. Retries are decided by `agent.llm.retries`, money by `agent.llm.budget`,
pace by `agent.llm.limits`; this file only puts them in order. Jobs and experiments are the callers.
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
from typing import Any, Generic, Self, TypeVar

import msgspec
import structlog
import uuid_utils

from agent.core.instants import to_ms
from agent.errors import AnalysisError, LlmRefused, LlmReplyInvalid, LlmUnavailable
from agent.llm.answers import read, rescued
from agent.llm.booking import Trace
from agent.llm.budget import Budget, Purpose, usd_from_nano
from agent.llm.calls import Call, RawReply, Wire, response_format, system_words
from agent.llm.faults import CallFailed, Fault, FaultKind
from agent.llm.limits import Limiter, ModelLimits
from agent.llm.models import FREE, JsonMode, Price, Profile, chain_of, profile_of
from agent.llm.prompt import Prompt
from agent.llm.retries import Decision, Plan, Step, decide
from agent.llm.schemas import ModelReply, ReplySchema
from agent.store.db import Store
from agent.store.llm_calls import CallRow

GROQ_URL = "https://api.groq.com"
GROQ_PREFIX = "/openai/v1/"
BREAKER_S, BREAKER_CAP_S = 60.0, 900.0  # away after a call whose every try failed; doubles while it goes on

R = TypeVar("R", bound=ModelReply)
log = structlog.get_logger("llm")


class GatewayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway is told at start; every default has its reason."""

    api_key: str | None = None  # none: off, and everything else runs
    base_url: str = GROQ_URL
    path_prefix: str = GROQ_PREFIX  # "/v1/" for Ollama and llama.cpp
    models: tuple[str, ...] = ("openai/gpt-oss-20b", "openai/gpt-oss-120b")  # the two with strict schemas
    timeout_s: float = 60.0  # of one call; a local server wants 300
    daily_cap_usd: Decimal = Decimal("0.50")  # expected use is about 0.06
    # Forecasts are the record, so most of it; what the others leave, the digest still has.
    purpose_shares: dict[str, float] = msgspec.field(
        default_factory=lambda: {
            Purpose.FORECAST: 0.55,
            Purpose.ANALYSIS: 0.30,
            Purpose.DIGEST: 0.10,
            Purpose.MATCHING: 0.05,
        }
    )
    enabled: bool = True
    # The free plan's, until headers say otherwise.
    requests_per_minute: float = 30.0
    tokens_per_minute: float = 8_000.0
    max_parked_s: float = 30.0  # a longer wait is another model's chance, or the next run's

    @property
    def is_local(self) -> bool:
        """A server of one's own: bills nobody and refuses parameters only Groq knows."""
        return self.path_prefix != GROQ_PREFIX

    def __repr__(self) -> str:
        """Without the key."""
        return f"GatewayOptions(base_url={self.base_url!r}, models={self.models!r}, key={self.api_key is not None})"


@dataclass(frozen=True, slots=True)
class Reply(Generic[R]):
    """A checked answer and what it took."""

    value: R
    model: str
    prompt_version: str
    cost_usd: Decimal
    call_id: str


@dataclass(frozen=True, slots=True)
class _Ask(Generic[R]):
    """One question, whichever model answers it."""

    purpose: str
    schema: ReplySchema[R]
    prompt: Prompt
    market_key: str | None
    run_id: str | None

    @property
    def version(self) -> str:
        return prompt_version(self.prompt, self.schema)


@dataclass(slots=True)
class _ModelState:
    """What this process learnt about a model."""

    profile: Profile
    price: Price
    mode: JsonMode
    limiter: Limiter
    gone: str | None = None
    strikes: int = 0  # calls in a row whose every try failed


class _ModelOut(Exception):
    """This model cannot answer; another may."""

    def __init__(self, error: AnalysisError) -> None:
        super().__init__(str(error))
        self.error = error


def prompt_version(prompt: Prompt, schema: ReplySchema[Any]) -> str:
    """Names prompt and schema together: a change of either is another version."""
    return f"{prompt.version}/{schema.version}"


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
        self._budget = Budget(store, daily_cap_usd=options.daily_cap_usd, shares=options.purpose_shares)
        names, self.notes = chain_of(options.models)
        self._models = {name: self._state(name) for name in names}
        self._wire: Wire | None = None
        self._opening = asyncio.Lock()
        self._stopped: str | None = None

    async def __aenter__(self) -> Self:
        """Count what a dead process left open as spent."""
        for note in self.notes:
            log.warning("model replaced", action="model_replaced", reason=note)
        n = await self._budget.recover(older_than=timedelta(seconds=self._options.timeout_s))
        if n:
            log.warning("calls abandoned", action="calls_abandoned", n=n)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client, if there was a call at all."""
        if self._wire is not None:
            await self._wire.close()

    @property
    def models(self) -> tuple[str, ...]:
        """Real ids of the models still in use, the preferred one first."""
        return tuple(name for name, state in self._models.items() if state.gone is None)

    @property
    def off_reason(self) -> str | None:
        """Why no model is asked at all, in words; None while the gateway works."""
        if not self._options.enabled:
            return "model calls are switched off (AI_ANALYSIS_ENABLED)"
        if not self._options.api_key and not self._options.is_local:
            return "no GROQ_API_KEY is set: analyses and model forecasts are off, everything else runs"
        if not self.models:
            gone = "; ".join(f"{name}: {state.gone}" for name, state in self._models.items())
            return f"no model is left to ask ({gone or 'none is configured'})"
        return self._stopped or self._kill_switch()

    async def unready_reason(self, purpose: str) -> str | None:
        """Why a call for this purpose would not be made just now; None if it would. For jobs, before they queue work.

        Away models and a used-up share are told here, so that units are left for the next run instead of dying.
        """
        if (off := self.off_reason) is not None:
            return off
        waits = [self._models[name].limiter.parked_s() for name in self.models]
        if min(waits) > self._options.max_parked_s:
            return f"the model service is away; asked again in {min(waits):.0f} s"
        left = await self._budget.left_nano(purpose)
        if left < min(self._usual_cost_nano(name) for name in self.models):
            return f"the {purpose} share of the daily cap is used up ({usd_from_nano(max(left, 0)):.4f} USD left)"
        return None

    def _usual_cost_nano(self, model: str) -> int:
        """A usual call's worst case: below it there is no point in starting."""
        return self._models[model].price.cost_nano(prompt_tokens=5_000, cached_tokens=0, completion_tokens=2_000)

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
        ask = _Ask(purpose, schema, prompt, market_key, run_id)
        failure: AnalysisError | None = None
        for name in sorted(self.models, key=lambda candidate: candidate != model):
            try:
                return await self._ask(name, ask)
            except _ModelOut as out:
                failure = out.error
                log.warning("model out", action="model_out", model=name, reason=str(failure))
        raise failure or LlmRefused(f"{purpose}: {self.off_reason}")

    async def _ask(self, model: str, ask: _Ask[R]) -> Reply[R]:
        """Try one model as often as its faults allow. Raises: _ModelOut if another should be asked."""
        state, schema = self._models[model], ask.schema
        plan = Plan(mode=state.mode, max_completion_tokens=schema.max_completion_tokens, temperature=schema.temperature)
        while True:
            self._refuse_when_off(ask)
            try:
                reply = await self._attempt(self._call(model, ask, plan), ask, plan.mode)
            except CallFailed as failed:
                decision = decide(failed.fault, plan, jitter=self._jitter())
                await self._follow(decision, failed.fault, model, ask)
                plan = decision.plan
            except LlmUnavailable as exc:  # parked for longer than is worth waiting
                raise _ModelOut(exc) from exc
            else:
                state.strikes = 0
                return reply

    async def _follow(self, decision: Decision, fault: Fault, model: str, ask: _Ask[R]) -> None:
        """Do what a decision says, or raise what it comes to."""
        state, words = self._models[model], f"{ask.purpose} by {model}: {fault.message}"
        log.info("call failed", action="call_failed", model=model, kind=fault.kind, step=decision.step.name)
        match decision.step:
            case Step.AGAIN:
                await self._sleep(decision.wait_s)
            case Step.PARK:
                state.limiter.park(decision.wait_s)
            case Step.WEAKER_MODE:
                state.mode = decision.plan.mode
            case Step.NEXT_MODEL:
                away_s = max(decision.wait_s, min(BREAKER_CAP_S, BREAKER_S * 2 ** min(state.strikes, 10)))
                if not state.limiter.parked_s():  # calls that fail side by side are one strike
                    state.strikes += 1
                state.limiter.park(away_s)
                raise _ModelOut(LlmUnavailable(words, retry_after_s=away_s))
            case Step.MODEL_GONE:
                state.gone = fault.message
                raise _ModelOut(LlmRefused(words, advice="name another model in ai_model"))
            case Step.STOP_ALL:
                self._stopped = f"the model service refuses the key: {fault.message}"
                log.error("key refused", action="key_refused", reason=fault.message)
                raise LlmRefused(words, advice="check GROQ_API_KEY, then restart")
            case Step.GIVE_UP_INVALID:
                raise LlmReplyInvalid(words)
            case Step.GIVE_UP_REFUSED:
                raise LlmRefused(words)

    async def _attempt(self, call: Call, ask: _Ask[R], mode: JsonMode) -> Reply[R]:
        """One paid call between its reservation and its booking. Raises: CallFailed and what stopped it."""
        row = self._row(call, ask)
        trace = Trace(price=self._models[call.model].price, reserved_nano=row.reserved_nano, started=self._monotonic())
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

    async def _send(self, call: Call, ask: _Ask[R], trace: Trace) -> RawReply:
        """Wait for the call's turn and make it. Raises: CallFailed, LlmUnavailable, LlmRefused."""
        limiter, tokens = self._models[call.model].limiter, call.likely_tokens
        await limiter.acquire(tokens)
        headers = None
        try:
            wire = await self._open()
            self._refuse_when_off(ask)  # the wait may have been long
            trace.sent = True
            async with asyncio.timeout(self._options.timeout_s):  # the SDK's own limit is per read
                raw = await wire.send(call)
            trace.usage, headers = raw.usage, raw.headers
        except TimeoutError as exc:
            message = f"no answer in {self._options.timeout_s:g} s"
            raise CallFailed(Fault(kind=FaultKind.TIMEOUT, message=message, charged=True)) from exc
        else:
            return raw
        finally:
            limiter.done(tokens, headers)

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
        wire: Wire = module.GroqWire(
            api_key=options.api_key or "local",  # a local server takes any, the SDK wants one
            base_url=options.base_url,
            path_prefix=options.path_prefix,
            timeout_s=options.timeout_s,
        )
        return wire

    def _refuse_when_off(self, ask: _Ask[R]) -> None:
        if (reason := self.off_reason) is not None:
            raise LlmRefused(f"{ask.purpose}: {reason}")

    def _call(self, model: str, ask: _Ask[R], plan: Plan) -> Call:
        profile = self._models[model].profile
        return Call(
            model=model,
            system=system_words(ask.prompt, ask.schema, plan.mode),
            user=ask.prompt.user,
            response_format=response_format(ask.schema, plan.mode),
            max_completion_tokens=min(plan.max_completion_tokens, profile.max_completion_tokens),
            temperature=plan.temperature,
            effort=ask.schema.effort if profile.reasons and not self._options.is_local else None,
        )

    def _row(self, call: Call, ask: _Ask[R]) -> CallRow:
        return CallRow(
            call_id=str(uuid_utils.uuid7()),
            day=self._budget.today(),
            purpose=ask.purpose,
            model=call.model,
            reserved_nano=call.worst_cost_nano(self._models[call.model].price),
            prompt_hash=call.prompt_hash,
            prompt_version=ask.version,
            started_at=to_ms(self._store.clock()),
            market_key=ask.market_key,
            run_id=ask.run_id,
        )

    def _state(self, model: str) -> _ModelState:
        options, profile = self._options, profile_of(model)
        limits = ModelLimits(
            model, requests_per_minute=options.requests_per_minute, tokens_per_minute=options.tokens_per_minute
        )
        return _ModelState(
            profile=profile,
            price=FREE if options.is_local else profile.price,
            mode=profile.json_mode,
            limiter=Limiter(limits, max_parked_s=options.max_parked_s, monotonic=self._monotonic),
        )
