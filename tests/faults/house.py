"""One edge in the test's own process: its file, what it promised, and a sender over whatever line a test gives it."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from agent.core.instants import Clock
from agent.store import witness
from agent.store.db import Store
from agent.store.outbox import load_backlog, load_stream
from agent.store.sending import StoreOutbox
from sync.errors import TransportError
from sync.protocol import Transport
from sync.sender import Sender
from sync.transports.postgres import PostgresTransport
from tests.faults.promises import Settlement, landed_in_postgres, produce, settle
from tests.faults.worker import DATABASE

AGAIN_S = 0.01  # a server that restarts is asked at this pace, not in a hot loop


class House:
    """Use as `async with House(folder, clock)`; may be crashed, copied and put back."""

    def __init__(self, folder: Path, clock: Clock, *, host_id: str = "faults") -> None:
        self.folder, self.clock, self.host_id = folder, clock, host_id
        self.promised: list[int] = []
        self.n_failures = 0
        self._store: Store | None = None
        self._outbox: StoreOutbox | None = None

    @property
    def store(self) -> Store:
        """The open file."""
        assert self._store is not None
        return self._store

    async def __aenter__(self) -> Self:
        """Its file is open."""
        self.folder.mkdir(parents=True, exist_ok=True)
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Its file is closed."""
        await self.close()

    async def open(self) -> None:
        """A process starts on the file."""
        self._store = await Store.open(self.folder / DATABASE, clock=self.clock)
        self._outbox = StoreOutbox(self._store)

    async def close(self) -> None:
        """The process ends in good order."""
        if self._store is not None:
            store, self._store = self._store, None
            await store.close()

    async def crash(self) -> None:
        """The process is killed: what the kernel was told is there, nothing is folded together, and it starts again."""
        left = self.copy("killed")
        await self.close()
        self.put_back(left)
        await self.open()

    def copy(self, name: str) -> Path:
        """The files as they are at this instant, as a kill, a snapshot or `cp -a` finds them."""
        target = self.folder.with_name(f"{self.folder.name}-{name}")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for suffix in ("", "-wal", witness.SUFFIX):
            source = self.folder / f"{DATABASE}{suffix}"
            if source.exists():
                shutil.copyfile(source, target / source.name)
        return target

    def put_back(self, copy: Path) -> None:
        """The file is the copy's from now on; the process must be down."""
        for suffix in ("", "-wal", "-shm", witness.SUFFIX):
            (self.folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
        for one in copy.iterdir():
            shutil.copyfile(one, self.folder / one.name)

    async def tick(self, number: int) -> None:
        """Store one tick; its obligation counts once the commit has returned."""
        await produce(self.store, number)
        self.promised.append(number)

    async def rotate(self) -> None:
        """An operator begins a new stream."""
        stream = await load_stream(self.store.reader)
        assert self._outbox is not None
        await self._outbox.rotate(stream.stream_id, "an operator asked for it")

    def sender(self, transport: Transport, jitter: Callable[[], float] = lambda: 0.0) -> Sender:
        """A sender of this process."""
        assert self._outbox is not None
        return Sender(
            self._outbox, transport, host_id=self.host_id, boot_id="boot", agent_version="0", clock=self.clock, jitter=jitter
        )  # fmt: skip

    async def drain(self, transport: Transport, within_s: float = 60) -> int:
        """Send until nothing is pending, again soon after each failure; returns how many failures that took."""
        sender, failures = self.sender(transport), 0
        async with asyncio.timeout(within_s):
            while True:
                try:
                    await sender.drain()
                except TransportError:
                    failures += 1
                    await asyncio.sleep(AGAIN_S)
                else:
                    return failures

    async def pending(self) -> int:
        """Rows without a receipt."""
        return (await load_backlog(self.store.reader)).n_rows

    async def judge(self, owner_dsn: str, attempted: tuple[int, ...] = ()) -> Settlement:
        """What became of everything this house promised."""
        landed, quarantined = await landed_in_postgres(owner_dsn)
        return settle(self.promised, attempted, landed, quarantined)


def socket_of(dsn: str) -> str:
    """The Unix socket an embedded server's address means: where a proxy dials."""
    query = parse_qs(urlsplit(dsn).query)
    return f"{unquote(query['host'][0])}/.s.PGSQL.{query['port'][0]}"


def through(dsn: str, port: int, *, host_id: str = "faults", host: str = "127.0.0.1") -> PostgresTransport:
    """A way to the same database through a proxy's port."""
    parts = urlsplit(dsn)
    user = parts.netloc.partition("@")[0]
    return PostgresTransport(f"postgresql://{user}@{host}:{port}{parts.path}?sslmode=disable", host_id=host_id)


def streams_of(folder: Path) -> list[tuple[str, str | None]]:
    """(stream, why it was closed) of a file whose process is down; None: in use."""
    connection = sqlite3.connect(folder / DATABASE)
    try:
        return [tuple(row) for row in connection.execute("SELECT stream_id, reason FROM streams ORDER BY created_at")]
    finally:
        connection.close()
