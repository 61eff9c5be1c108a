"""Two hosts on one wire, made of network namespaces: the edge's machine, and the world with its servers.

Law: nothing leaves the two namespaces; addresses are those RFC 5737 keeps for documentation. A server of the test
listens in the world's namespace by a socket opened there. What goes through is carried by a thread of its own: a test's
event loop stands still between two tests, and a machine whose line stands still would rightly call it dead.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

EDGE_ADDRESS, WORLD_ADDRESS = "192.0.2.2", "192.0.2.1"
_CLONE_NEWNET = 0x40000000
_CHUNK = 65536


class Wire:
    """The two namespaces and the cable between them. Use as `async with`; leaving it removes both."""

    def __init__(self, name: str) -> None:
        self.edge, self.world = f"{name}-edge", f"{name}-world"
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._carrier = threading.Thread(target=self._loop.run_forever, name="wire")

    @property
    def edge_path(self) -> Path:
        """Where the kernel shows the machine's namespace."""
        return Path("/run/netns") / self.edge

    def cut(self) -> None:
        """Pull the cable: packets vanish, nobody is told."""
        _ip("-n", self.world, "link", "set", "wire", "down")

    def mend(self) -> None:
        """Put it back."""
        _ip("-n", self.world, "link", "set", "wire", "up")

    async def expose(self, port: int, target: tuple[str, int] | Path) -> "Door":
        """Let the machine reach a server of the test at WORLD_ADDRESS:port; a path is a Unix socket."""
        door = Door(target, self._loop)
        listening = asyncio.start_server(door.serve, sock=_listen(self.world, port))
        server = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(listening, self._loop))
        self._servers.append(server)
        return door

    async def __aenter__(self) -> Self:
        """Both hosts are there and see each other."""
        for name in (self.edge, self.world):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", self.edge, "link", "add", "host0", "type", "veth", "peer", "name", "wire", "netns", self.world)
        for name, device, address in ((self.edge, "host0", EDGE_ADDRESS), (self.world, "wire", WORLD_ADDRESS)):
            _ip("-n", name, "address", "add", f"{address}/30", "dev", device)
            _ip("-n", name, "link", "set", device, "up")
        self._carrier.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing of it is left."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_end(self._servers), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._carrier.join()
        self._loop.close()
        for name in (self.edge, self.world):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", name)


class Door:
    """One server made reachable; may be closed for a while, as a cloud that is away."""

    def __init__(self, target: tuple[str, int] | Path, loop: asyncio.AbstractEventLoop) -> None:
        self._target, self._loop = target, loop
        self.open = True
        self._through: set[asyncio.StreamWriter] = set()

    def close(self) -> None:
        """Tear what goes through and refuse what comes."""
        self.open = False
        self._loop.call_soon_threadsafe(self._tear)

    def _tear(self) -> None:
        for writer in list(self._through):
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to the server and back."""
        if not self.open:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            if isinstance(self._target, Path):
                inner_reader, inner_writer = await asyncio.open_unix_connection(self._target)
            else:
                inner_reader, inner_writer = await asyncio.open_connection(*self._target)
            self._through |= {writer, inner_writer}
            await asyncio.gather(_carry(reader, inner_writer), _carry(inner_reader, writer))
            self._through -= {writer, inner_writer}


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.close()


async def _end(servers: list[asyncio.Server]) -> None:
    """Listen no more, and end every conversation of this loop."""
    for server in servers:
        server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _listen(namespace: str, port: int) -> socket.socket:
    """A socket belongs to the namespace it was made in, whoever uses it; a thread goes there and back."""

    def make() -> socket.socket:
        _enter(namespace)
        return socket.create_server((WORLD_ADDRESS, port))

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(make).result()


def _enter(namespace: str) -> None:
    """Move the calling thread; it never comes back, so it must not live on."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(handle, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    finally:
        os.close(handle)
