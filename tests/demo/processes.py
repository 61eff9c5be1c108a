"""The processes of a demonstration: started, watched until they are ready, and ended, whatever happens between."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path

from tests.environment import is_ours

BIN = Path(sys.executable).parent
STOP_WITHIN_S = 20.0  # the promise of the daemon: drained in less


class NotReady(RuntimeError):
    """A process ended or stayed silent before it was ready; the message has the end of its log."""


class Child:
    """One process; everything it says goes to a log file."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name, self.process, self.log = name, process, log

    @classmethod
    async def start(cls, name: str, *command: str | Path, log_dir: Path, env: dict[str, str] | None = None) -> "Child":
        """Start a command with additions to the environment."""
        log = log_dir / f"{name}.log"
        log_dir.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *map(str, command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=clean_environment() | (env or {}),
            )
        return cls(name, process, log)

    async def stop(self) -> int:
        """Ask it to end, then insist. Returns its exit code."""
        return await self.end(signal.SIGTERM)

    async def kill(self) -> int:
        """End it the hard way."""
        return await self.end(signal.SIGKILL)

    async def end(self, how: signal.Signals) -> int:
        """Send a signal and wait."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            return await self.process.wait()

    def peak_rss_mb(self) -> float:
        """The most memory it ever held, as the kernel counts it; it must still run."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
        raise RuntimeError(f"{self.name}: the kernel does not say its peak memory")

    def complaint(self, what: str) -> NotReady:
        """What went wrong, with the end of the log."""
        tail = "\n  ".join(self.log.read_text(errors="replace").splitlines()[-15:])
        return NotReady(f"{self.name}: {what}; the end of {self.log}:\n  {tail}")

    async def until_json_line(self, *, within_s: float = 20) -> dict[str, str]:
        """Wait for the first line of its log and read it as JSON."""
        return json.loads(await self._until(lambda: _first_line(self.log), within_s))

    async def until_file(self, path: Path, *, within_s: float = 40) -> dict[str, str]:
        """Wait for a JSON file it writes when it is ready."""
        return json.loads(await self._until(lambda: path.read_text() if path.is_file() else "", within_s))

    async def _until(self, look: Callable[[], str], within_s: float) -> str:
        try:
            async with asyncio.timeout(within_s):
                while not (found := look()):
                    if self.process.returncode is not None:
                        raise self.complaint(f"ended with {self.process.returncode} before it was ready")
                    await asyncio.sleep(0.02)
                return found
        except TimeoutError:
            raise self.complaint(f"not ready within {within_s:.0f} s") from None


def _first_line(log: Path) -> str:
    text = log.read_text(errors="replace")
    return next((line for line in text.splitlines() if line.startswith("{")), "") if "\n" in text else ""


def clean_environment() -> dict[str, str]:
    """The shell's environment without settings of ours, so that a demonstration is the same everywhere."""
    return {key: value for key, value in os.environ.items() if not is_ours(key)} | {"PYTHONUNBUFFERED": "1"}


class ReadySocket:
    """Stands in for systemd's notification socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    async def until_ready(self, child: Child, *, within_s: float = 20) -> None:
        """Wait for READY=1 of the process."""
        loop = asyncio.get_running_loop()
        ended, message = asyncio.ensure_future(child.process.wait()), None
        try:
            async with asyncio.timeout(within_s):
                while True:
                    message = asyncio.ensure_future(loop.sock_recv(self._socket, 4096))
                    await asyncio.wait({message, ended}, return_when=asyncio.FIRST_COMPLETED)
                    if not message.done():
                        raise child.complaint(f"ended with {ended.result()} before READY")
                    if "READY=1" in message.result().decode().splitlines():
                        return
        except TimeoutError:
            raise child.complaint(f"no READY within {within_s:.0f} s") from None
        finally:
            ended.cancel()
            if message is not None:
                message.cancel()  # nobody reads a socket that is going to be closed

    def close(self) -> None:
        """Remove the socket."""
        self._socket.close()
        self.path.unlink(missing_ok=True)
