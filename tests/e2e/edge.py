"""A daemon under test: its files, its process, and the questions a test asks it."""

import asyncio
import json
import shutil
import socket
import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agent.status.control import call
from tests.demo.processes import BIN, Child, ReadySocket


class Edge:
    """`oddsd run` on a configuration of its own; may be started, killed and started again on the same files."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.sockets = Path(tempfile.mkdtemp(prefix="oddsd-"))  # a socket's path may have 108 bytes only
        self.config = folder / "oddsd.toml"
        values = {
            "host_id": "e2e",
            "data_dir": str(folder / "data"),
            "runtime_dir": str(self.sockets),
            "log_json": True,
        } | settings
        tables = values.pop("tables", "")
        self.config.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()) + str(tables))
        self.child: Child | None = None

    @property
    def database(self) -> Path:
        """The store's file; only to be opened while the daemon is down."""
        return self.folder / "data" / "oddsd.db"

    async def start(self, **env: str) -> Child:
        """Start it and wait for READY."""
        ready = ReadySocket(self.sockets / "notify.sock")
        try:
            self.child = await Child.start(
                "edge", BIN / "oddsd", "run", "--config", self.config,
                log_dir=self.folder, env={"NOTIFY_SOCKET": str(ready.path)} | env,
            )  # fmt: skip
            await ready.until_ready(self.child)
        finally:
            ready.close()
        return self.child

    async def ask(self, verb: str, **params: Any) -> Any:
        """One question over the control socket."""
        return await call(self.sockets / "control.sock", verb, None, **params)

    async def until_drained(self, within_s: float = 30) -> None:
        """Wait until nothing is pending."""
        async with asyncio.timeout(within_s):
            while (await self.ask("status"))["figures"]["pending_rows"]:
                await asyncio.sleep(0.05)

    def pending_rows(self) -> int:
        """Rows sealed and not acknowledged, read from the file of a daemon that is down."""
        connection = sqlite3.connect(self.database)
        try:
            sql = "SELECT coalesce(sum(hi - lo + 1), 0) FROM batches WHERE acked_at IS NULL"
            return int(connection.execute(sql).fetchone()[0])
        finally:
            connection.close()

    async def __aenter__(self) -> Self:
        """Not started yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing of it is left."""
        if self.child is not None and self.child.process.returncode is None:
            await self.child.kill()
        shutil.rmtree(self.sockets, ignore_errors=True)


class Ear:
    """The service manager's end of the socket; hears every datagram."""

    def __init__(self, edge: Edge) -> None:
        self.path = edge.sockets / "ear.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        self.heard = list[list[str]]()

    async def until(self, words: str, within_s: float = 20) -> str:
        """The next line with these words."""
        async with asyncio.timeout(within_s):
            while True:
                said = await asyncio.get_running_loop().sock_recv(self._socket, 65536)
                self.heard.append(said.decode().splitlines())
                found = [line for line in self.heard[-1] if words in line]
                if found:
                    return found[0]

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()
