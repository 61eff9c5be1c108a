"""The cloud as it is deployed: replicas and workers as processes, each with the login of its role and no more.

Law: nobody here owns the database; what a role may not do fails the test that needs it. Processes end with the block.
"""

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.demo.processes import BIN, Child
from tests.fakes.postgres import EmbeddedPostgres

BOUND = re.compile(r"serving on port (\d+)")
START_WITHIN_S = 30.0


class Service:
    """One database and the processes over it."""

    def __init__(self, folder: Path, postgres: EmbeddedPostgres, **environment: str) -> None:
        self._folder, self._environment = folder, environment
        self.owner_dsn, self.edge_dsn = postgres.create_database()
        name = self.owner_dsn.split("@/")[1].split("?")[0]
        self.logins = {role: postgres.server.dsn(name, user=role) for role in ("api_rw", "worker")}
        self._stack = AsyncExitStack()

    async def serve(self, name: str) -> httpx.AsyncClient:
        """One more replica; returns a client of it."""
        child = await self._start(name, "serve", "--host", "127.0.0.1", "--port", "0", role="api_rw")
        async with asyncio.timeout(START_WITHIN_S):
            while (bound := BOUND.search(child.log.read_text())) is None:
                if child.process.returncode is not None:
                    raise child.complaint("ended before it served")
                await asyncio.sleep(0.02)
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{bound[1]}", timeout=20)
        return await self._stack.enter_async_context(client)

    async def work(self, name: str = "worker", **environment: str) -> Child:
        """One more worker."""
        return await self._start(name, "worker", role="worker", **environment)

    async def work_once(self) -> str:
        """A pass over the duties, as a cron job makes it; returns what it says."""
        process = await asyncio.create_subprocess_exec(
            BIN / "oddsd-cloud", "worker", "--once",
            env=self._environment | {"DATABASE_URL": self.logins["worker"]}, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(START_WITHIN_S):
            out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    async def _start(self, name: str, *arguments: str, role: str, **environment: str) -> Child:
        env = self._environment | {"DATABASE_URL": self.logins[role]} | environment
        child = await Child.start(name, BIN / "oddsd-cloud", *arguments, log_dir=self._folder / "logs", env=env)
        self._stack.push_async_callback(child.stop)
        return child

    async def __aenter__(self) -> Self:
        """Nothing runs yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing runs any more."""
        await self._stack.aclose()


class Visitor:
    """Somebody with a login, at whichever replica answers."""

    def __init__(self, token: str) -> None:
        self.token = token
        self._n_asked = 0

    async def ask(self, replica: httpx.AsyncClient, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request; each POST under a key of its own."""
        self._n_asked += 1
        headers = {"authorization": f"Bearer {self.token}"}
        if method == "POST":
            headers["idempotency-key"] = f"visitor-{self._n_asked}"
        return await replica.request(method, path, json=body, headers=headers)
