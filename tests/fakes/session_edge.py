"""An edge that takes sessions, in this process: store, predictor, sender and downlink as the house wires them.

The cloud is a real PostgreSQL, the model a local service; nothing else of the house runs.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from agent.app import utc_now
from agent.experiments.registry import Registry
from agent.jobs.errands import handlers
from agent.jobs.predict import Predictor
from agent.jobs.predict_window import PredictOptions
from agent.jobs.runner import JobSpec, Runner
from agent.jobs.sessions import KIND, SESSIONS, Sessions
from agent.llm.gateway import Gateway
from agent.llm.options import GatewayOptions
from agent.store.answers import StoreJournal
from agent.store.db import Store
from agent.store.markets import save_markets
from agent.store.quotes import save_quotes
from agent.store.sending import StoreOutbox
from sync.downlink import Downlink
from sync.duty import Duty
from sync.records import Market, Quote
from sync.sender import Sender
from sync.transports.postgres import PostgresTransport

MODELS = ("openai/gpt-oss-20b", "openai/gpt-oss-120b")


class SessionEdge:
    """Opened over a file; works until it is left. Opened again over the same file it goes on."""

    def __init__(
        self, database: Path, edge_dsn: str, groq_url: str, *, names: tuple[str, ...] = ("market_prior", "single_model")
    ) -> None:
        self._database, self._dsn, self._groq_url, self._names = database, edge_dsn, groq_url, names
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.store = await self._stack.enter_async_context(await Store.open(self._database, clock=utc_now))
        options = GatewayOptions(
            api_key="k", base_url=self._groq_url, models=MODELS, daily_calls=100_000, daily_tokens=1_000_000_000
        )
        gateway = await self._stack.enter_async_context(Gateway(self.store, options))
        predictor = Predictor(self.store, Registry.load(self._names), gateway, PredictOptions())
        sessions = Sessions(self.store, predictor)
        spec = JobSpec(name=SESSIONS, run=sessions.job, schedule="*/10 * * * *", missed="none", timeout_s=600)
        runner = Runner(self.store, utc_now, [spec], {})
        road = PostgresTransport(self._dsn, host_id="home")
        sender = Sender(StoreOutbox(self.store), road, host_id="home", boot_id="boot", agent_version="0", clock=utc_now)
        asked_for = {**handlers(runner), KIND: sessions.take}
        downlink = Downlink(road, StoreJournal(self.store), asked_for, Duty("home"))
        works = {"sender": sender.run(), "downlink": downlink.run(), "sessions": sessions.begin_forever(runner)}
        self._tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    async def save(self, markets: list[Market], quotes: list[Quote]) -> None:
        """Markets and their books, which travel too."""
        async with self.store.write() as tx:
            saved = await save_markets(tx, markets)
            await save_quotes(tx, quotes, saved.ids)
