"""A line that fails on purpose: a TCP proxy on loopback, each connection under the next ill of a list.

Law: it knows nothing of the protocol but one word, `"applied"`, by which a reply after a commit is told from others;
how many bytes pass before an ill strikes is part of the ill. When the list is spent, it is a good line.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from types import TracebackType
from typing import Self

import msgspec

_CHUNK = 1 << 16
_COMMITTED = b'"applied"'
_REPLAY_WITHIN_S = 5


class Ill(StrEnum):
    """What happens to a connection."""

    NONE = "none"
    TEAR_UP = "tear_up"  # reset within what the edge says
    TEAR_DOWN = "tear_down"  # reset within what the cloud says
    FIN = "fin"  # closed politely within what the edge says
    DROP_REPLY = "drop_reply"  # the batch is applied, its receipt is swallowed, then a reset
    REFUSE = "refuse"  # reset at once
    BLACK_HOLE = "black_hole"  # from a byte on nothing passes, and TCP stays alive
    DRIP = "drip"  # so many bytes a second, both ways
    DELAY = "delay"  # each chunk is late
    REPLAY = "replay"  # everything the edge said is said again on a second connection


class Plan(msgspec.Struct, frozen=True):
    """One connection's fate."""

    ill: Ill = Ill.NONE
    after_bytes: int = 0
    bytes_per_s: float = 0.0
    delay_s: float = 0.0


def drawn_plan(dice: random.Random, ills: Iterable[Ill], *, longest: int) -> Plan:
    """An ill at a random byte of an exchange that is some `longest` bytes long."""
    return Plan(
        ill=dice.choice(list(ills)),
        after_bytes=dice.randint(0, longest),
        bytes_per_s=50_000,
        delay_s=dice.uniform(0, 0.01),
    )


class FaultProxy:
    """Use as `async with`; `port` is where the edge connects, `target` a socket path or (host, port)."""

    def __init__(self, target: str | tuple[str, int], plans: Iterable[Plan] = (), host: str = "127.0.0.1") -> None:
        self.plans = deque(plans)
        self.host, self.port = host, 0
        self.n_connections = 0
        self.n_struck = 0  # ills that came to pass: a connection may end before its byte is reached
        self.down = False  # refuse everybody
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks = set[asyncio.Task[None]]()

    async def __aenter__(self) -> Self:
        """Listening."""
        self._server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nobody is connected any more."""
        assert self._server is not None
        self._server.close()
        self.cut_all()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_all(self) -> None:
        """Every connection ends now."""
        for task in self._tasks:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.n_connections += 1
        plan = self.plans.popleft() if self.plans else Plan()
        try:
            if self.down or plan.ill is Ill.REFUSE:
                self.n_struck += 1
                return
            await self._carry(plan, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # a line that breaks, or a proxy that ends: the connection is reset below either way
        finally:
            self._tasks.discard(task)
            _reset(writer)

    async def _carry(self, plan: Plan, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._dial()
        line = _Line(self, plan, writer)
        up = asyncio.ensure_future(line.up(reader, far_writer))
        down = asyncio.ensure_future(line.down(far_reader, writer))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if plan.ill is Ill.REPLAY and line.said:
                self.n_struck += 1
                await self._say_again(bytes(line.said))
        finally:
            for one in (up, down):
                one.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            far_writer.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, str):
            return await asyncio.open_unix_connection(self._target)
        return await asyncio.open_connection(*self._target)

    async def _say_again(self, said: bytes) -> None:
        """A proxy that repeats a whole conversation, as one does that retries for its client."""
        reader, writer = await self._dial()
        try:
            writer.write(said)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPLAY_WITHIN_S):
                    while await reader.read(_CHUNK):
                        pass
        finally:
            writer.close()


class _Line:
    """One connection under one plan."""

    def __init__(self, proxy: FaultProxy, plan: Plan, writer: asyncio.StreamWriter) -> None:
        self.said = bytearray()
        self._proxy, self._plan = proxy, plan
        self._client = writer
        self._n_up = self._n_down = 0

    async def up(self, reader: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
        """Edge to cloud, until the plan says stop."""
        plan = self._plan
        while chunk := await reader.read(_CHUNK):
            self._n_up += len(chunk)
            if plan.ill is Ill.REPLAY:
                self.said += chunk
            over = self._n_up - plan.after_bytes
            if over > 0 and plan.ill in {Ill.TEAR_UP, Ill.FIN, Ill.BLACK_HOLE}:
                await _pass_on(far, chunk[: len(chunk) - over])
                await self._strike(reader)
                return
            await self._pass(far, chunk)

    async def down(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        """Cloud to edge, until the plan says stop."""
        plan = self._plan
        while chunk := await reader.read(_CHUNK):
            self._n_down += len(chunk)
            over = self._n_down - plan.after_bytes
            if plan.ill is Ill.DROP_REPLY and _COMMITTED in chunk:
                self._proxy.n_struck += 1
                return
            if over > 0 and plan.ill is Ill.TEAR_DOWN:
                await _pass_on(near, chunk[: len(chunk) - over])
                self._proxy.n_struck += 1
                return
            await self._pass(near, chunk)

    async def _strike(self, reader: asyncio.StreamReader) -> None:
        self._proxy.n_struck += 1
        if self._plan.ill is Ill.BLACK_HOLE:
            while await reader.read(_CHUNK):  # swallowed; the sender's TCP sees a healthy peer
                pass
        elif self._plan.ill is Ill.FIN:
            self._client.close()

    async def _pass(self, writer: asyncio.StreamWriter, chunk: bytes) -> None:
        plan = self._plan
        if plan.ill is Ill.DELAY:
            self._proxy.n_struck += 1
            await asyncio.sleep(plan.delay_s)
        if plan.ill is Ill.DRIP:
            self._proxy.n_struck += 1
            step = max(1, int(plan.bytes_per_s / 100))
            for at in range(0, len(chunk), step):
                await asyncio.sleep(len(chunk[at : at + step]) / plan.bytes_per_s)
                await _pass_on(writer, chunk[at : at + step])
            return
        await _pass_on(writer, chunk)


async def _pass_on(writer: asyncio.StreamWriter, chunk: bytes) -> None:
    writer.write(chunk)
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN: what a router that lost its table answers."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0 and not writer.is_closing():
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
