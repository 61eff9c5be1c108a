"""A machine with a real init system: a Debian tree booted in a container, its power switch, and a way to look inside.

Law: no network but the wire it is given, nothing registered with the host's own services; the process belongs to the
block that started it, and when the block ends it is gone.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agent.status.control import call
from tests.e2e.host import cgroups
from tests.e2e.host.commands import said, started
from tests.e2e.host.network import Wire

BOOT_WITHIN_S = 180
# Sandboxing inside the container wants a tree of control groups of its own.
_FLAGS = ("--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe", "--link-journal=no", "--timezone=off")


class Machine:
    """One container. Use as `async with`: booted, and gone at the end."""

    def __init__(self, tree: Path, wire: Wire, *, name: str, console: Path) -> None:
        self.tree, self.wire, self.name, self.console = tree, wire, name, console
        self._process: Process | None = None
        self.leader = 0

    async def boot(self) -> None:
        """Switch it on and wait until systemd has started everything."""
        with self.console.open("ab") as console:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, cgroups.__file__, self.name, "systemd-nspawn", *_FLAGS, f"--directory={self.tree}", f"--machine={self.name}",
                f"--network-namespace-path={self.wire.edge_path}",
                stdin=asyncio.subprocess.DEVNULL, stdout=console, stderr=console,
                # The service manager of the host, where there is one, is not to hear of it.
                env={key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"},
            )  # fmt: skip
        async with asyncio.timeout(BOOT_WITHIN_S):
            while not (self.leader and await self._is_up()):
                if self._process.returncode is not None:
                    raise RuntimeError(f"the machine did not boot:\n{self.console.read_text(errors='replace')[-2000:]}")
                self.leader = self.leader or self._find_leader()
                await asyncio.sleep(0.2)

    def _find_leader(self) -> int:
        """Its PID 1 as the host numbers it: systemd-nspawn's only child once the container is there."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        return 0

    async def _is_up(self) -> bool:
        code, state, _ = await self.run("systemctl", "is-system-running", check=False)
        return state.strip() in {"running", "degraded"} or code == 0

    async def run(self, *command: str, check: bool = True, within_s: float = 300) -> tuple[int, str, str]:
        """A command inside, as root: (exit code, stdout, stderr)."""
        process = await started(
            "nsenter", f"--target={self.leader}", "--all", "--", "env", "-i",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", *command,
            out=PIPE, err=PIPE,
        )  # fmt: skip
        out, err = await said(process, within_s)
        code = process.returncode or 0
        if check and code:
            raise RuntimeError(f"{' '.join(command)}: exit {code}\n{out}{err}")
        return code, out, err

    async def ask(self, verb: str, **params: Any) -> Any:
        """A question over the daemon's control socket, seen from outside the container."""
        return await call(Path(f"/proc/{self.leader}/root/run/oddsd/control.sock"), verb, None, **params)

    async def show(self, *properties: str, unit: str = "oddsd") -> dict[str, str]:
        """Properties of a unit as systemd has them."""
        wanted = [f"--property={name}" for name in properties]
        _, shown, _ = await self.run("systemctl", "show", unit, *wanted)
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    async def until(self, unit: str = "oddsd", *, within_s: float = 180, **wanted: str) -> dict[str, str]:
        """Wait until a unit's properties are as wanted. Raises: TimeoutError with what they were last."""
        last = dict[str, str]()
        try:
            async with asyncio.timeout(within_s):
                while True:
                    last = await self.show(*wanted, unit=unit)
                    if all(last.get(name) == value for name, value in wanted.items()):
                        return last
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise TimeoutError(f"{unit}: {last} within {within_s:.0f} s, wanted {wanted}") from None

    async def until_status(self, words: str, *, present: bool = True, within_s: float = 180) -> dict[str, str]:
        """Wait for a running daemon's status line with (or without) these words. Raises: TimeoutError with the last."""
        state = dict[str, str]()
        try:
            async with asyncio.timeout(within_s):
                while True:
                    state = await self.show("ActiveState", "SubState", "MainPID", "NRestarts", "StatusText")
                    if (words in state["StatusText"]) is present and state["SubState"] == "running":
                        return state
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise TimeoutError(f"not {words!r} within {within_s:.0f} s but {state}") from None

    async def succeeds(self, *command: str, within_s: float = 120) -> None:
        """Ask until a command leaves with 0. Raises: TimeoutError with what it said last."""
        last = ""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    code, out, err = await self.run(*command, check=False)
                    if code == 0:
                        return
                    last = out + err
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise TimeoutError(f"{' '.join(command)}: not within {within_s:.0f} s: {last[-1000:]}") from None

    async def journal(self, unit: str = "oddsd", *options: str) -> str:
        """What a unit has said so far."""
        _, lines, _ = await self.run("journalctl", f"--unit={unit}", "--no-pager", "--output=cat", *options)
        return lines

    async def cut_power(self) -> None:
        """Nothing inside is told, nothing is flushed by it."""
        if self.leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGKILL)
        await self._gone()

    async def shut_down(self) -> None:
        """Orderly, as `poweroff`."""
        await self.run("systemctl", "poweroff", check=False)
        await self._gone()

    async def _gone(self) -> None:
        process, self._process, self.leader = self._process, None, 0
        if process is None:
            return
        try:
            async with asyncio.timeout(60):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        # The kernel may hold a mount of the dead container for a moment; nothing of it may stay.
        subprocess.run(["umount", "--recursive", "--quiet", str(self.tree)], check=False, capture_output=True)
        cgroups.remove(self.name)

    async def __aenter__(self) -> Self:
        """Booted."""
        try:
            await self.boot()
        except BaseException:
            await self.cut_power()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gone, whatever happened inside."""
        await self.cut_power()
