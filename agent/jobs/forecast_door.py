"""The gateway as an experiment sees it: bounded, bound to one market, and with a memory.

Law: an answer is kept, durably, before the experiment hears it, so a retry or a restart asks only what was never
answered; a cancellation waits for that. Nobody can spend for another purpose or speak of another market here.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import msgspec

from agent.core.instants import to_the_ms
from agent.errors import AnalysisError
from agent.llm.budget import Purpose
from agent.llm.gateway import Gateway, Reply
from agent.llm.prompt import Prompt
from agent.llm.question import prompt_version
from agent.llm.schemas import ModelReply, ReplySchema
from agent.store.db import Store
from agent.store.forecasts import ForecastKey, StepRow, load_steps, save_step

R = TypeVar("R", bound=ModelReply)


class Turns:
    """How many calls are under way at once, of one model and in all. One for all prediction runs of a process."""

    def __init__(self, limits: Mapping[str, int] = MappingProxyType({})) -> None:
        """The limits of the lanes: a unit may ask several questions at once, and each is a call."""
        self._limits = {"all": 32, "default": 4} | dict(limits)
        self._in_all = asyncio.Semaphore(self._limits["all"])
        self._of_model: dict[str, asyncio.Semaphore] = {}
        self._asking = WeakValueDictionary[tuple[ForecastKey, str], asyncio.Lock]()

    def alone(self, key: ForecastKey, step: str) -> asyncio.Lock:
        """Two runs that meet on one question: the second waits, and finds the answer kept."""
        return self._asking.setdefault((key, step), asyncio.Lock())

    @asynccontextmanager
    async def turn(self, model: str) -> AsyncIterator[None]:
        """Wait for the model's turn, then for one in all: a busy model must not hold the others' places."""
        limit = self._limits.get(model, self._limits["default"])
        own = self._of_model.setdefault(model, asyncio.Semaphore(limit))
        async with own, self._in_all:
            yield


@dataclass(slots=True)
class Bill:
    """What a run paid for."""

    n_calls: int = 0
    n_remembered: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(slots=True)
class KeptDoor:
    """One forecast's way to the model."""

    store: Store
    gateway: Gateway
    turns: Turns
    bill: Bill
    key: ForecastKey
    run_id: str
    _asked: set[str] = field(default_factory=set)

    async def complete(self, schema: ReplySchema[R], prompt: Prompt, *, step: str = "forecast") -> Reply[R]:
        """The kept answer of this step, or a new one. Raises: AnalysisError."""
        if step in self._asked:
            raise AnalysisError(f"experiment {self.key.experiment}: step {step} is asked twice; name each step")
        self._asked.add(step)
        async with self.turns.alone(self.key, step):
            return await self._complete(schema, prompt, step)

    async def _complete(self, schema: ReplySchema[R], prompt: Prompt, step: str) -> Reply[R]:
        version = prompt_version(prompt, schema)
        for kept in await load_steps(self.store.reader, self.key):
            if kept.step == step and kept.prompt_version == version:
                self.bill.n_remembered += 1
                value = msgspec.json.decode(kept.reply, type=schema.reply)
                return Reply(value, kept.answered_by, version, Decimal(kept.cost_usd), kept.call_id)
        async with self.turns.turn(self.key.model):
            reply = await self.gateway.complete(
                Purpose.FORECAST,
                schema,
                prompt,
                market_key=self.key.market_key,
                run_id=self.run_id,
                model=self.key.model or None,
            )
            self.bill.n_calls += 1
            self.bill.cost_usd += reply.cost_usd
            await _to_its_end(self._keep(reply, prompt, step))
        return reply

    async def _keep(self, reply: Reply[R], prompt: Prompt, step: str) -> None:
        row = StepRow(
            key=self.key,
            step=step,
            answered_by=reply.model,
            prompt_version=reply.prompt_version,
            cost_usd=str(reply.cost_usd),
            call_id=reply.call_id,
            prompt=prompt.user,
            reply=msgspec.json.encode(reply.value),
            answered_at=to_the_ms(self.store.clock()),
        )
        async with self.store.write() as tx:
            await save_step(tx, row)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """A cancellation waits: the answer is paid."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
