"""A real server from Debian's packages, run by a test on a free loopback port in a directory of its own.

Law: nothing outside the directory is touched, the process belongs to the block that started it and is gone when the
block ends, and waiting means waiting for a line of the server's own log. Base of Mosquitto and Redis here.
"""

import asyncio
import contextlib
import shutil
import socket
import tempfile
from abc import ABC, abstractmethod
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from pathlib import Path
from types import TracebackType
from typing import Self

START_WITHIN_S = 10
STOP_WITHIN_S = 10
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # a user's PATH often lacks sbin


def find_program(name: str) -> str | None:
    """Where a packaged program is, or None."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM_PATH)


def free_port() -> int:
    """A loopback port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess(ABC):
    """Use as `async with`; the port stays the same over stop, kill and start."""

    program: str
    ready_words: str  # what the server's log says once it listens

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self.log: list[str] = []
        self.folder = Path()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._said = asyncio.Condition()
        self._silent = False  # it has ended: no line will come any more

    @abstractmethod
    def prepare(self) -> list[str]:
        """Write what the server needs into `self.folder`; returns its arguments."""

    async def start(self) -> None:
        """Start it on its port and wait until it listens."""
        program = find_program(self.program)
        if program is None:
            raise FileNotFoundError(f"{self.program} is not installed")
        mark, self._silent = len(self.log), False
        self._process = await asyncio.create_subprocess_exec(
            program, *self.prepare(), stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, cwd=self.folder
        )
        self._reader = asyncio.create_task(self._read(self._process), name=f"{self.program}-log")
        try:
            await self.logged(self.ready_words, after=mark, within_s=START_WITHIN_S)
        except (TimeoutError, EOFError):
            await self.kill()
            raise RuntimeError(f"{self.program} did not start:\n" + "\n".join(self.log[mark:])) from None

    async def stop(self) -> None:
        """Ask it to end and wait for it."""
        await self._end("terminate")

    async def kill(self) -> None:
        """End it the hard way: nothing is flushed, nobody is told."""
        await self._end("kill")

    async def restart(self) -> None:
        """Stop and start on the same port."""
        await self.stop()
        await self.start()

    async def logged(self, words: str, *, after: int = 0, within_s: float = 10) -> str:
        """Wait until a line with these words stands in the log, counted from line `after`; returns that line.

        Raises: TimeoutError, or EOFError where the server ended without saying it.
        """

        def found() -> str | None:
            return next((line for line in self.log[after:] if words in line), None)

        async with asyncio.timeout(within_s), self._said:
            await self._said.wait_for(lambda: found() is not None or self._silent)
        line = found()
        if line is None:
            raise EOFError(f"{self.program} ended without {words!r}")
        return line

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            async with self._said:
                self.log.append(line.decode(errors="replace").rstrip())
                self._said.notify_all()
        async with self._said:
            self._silent = True
            self._said.notify_all()

    async def _end(self, how: str) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            getattr(process, how)()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        if self._reader is not None:
            await self._reader

    async def __aenter__(self) -> Self:
        """Started and listening."""
        self._temporary = tempfile.TemporaryDirectory(prefix=f"{self.program}-")
        self.folder = Path(self._temporary.name)
        try:
            await self.start()
        except BaseException:
            self._temporary.cleanup()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ended, whatever happened inside."""
        await self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
