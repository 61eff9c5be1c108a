"""Processes to be killed, born without the second that imports take.

One process imports a module and forks a child for each line it is told; the child runs the module's `main(arguments)`.
Law: one child at a time; a nursery is alone in its thread when it forks, and takes its child with it when it ends.
"""

import asyncio
import contextlib
import importlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]


class Nursery:
    """Use as `async with Nursery("module.with.main") as nursery`."""

    def __init__(self, module: str, log: Path | None = None) -> None:
        self._module, self._log = module, log
        self._process: Process | None = None
        self.pid = 0

    async def __aenter__(self) -> Self:
        """Everything is imported."""
        with (self._log or Path(os.devnull)).open("ab") as sink:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.fakes.nursery",
                self._module,
                cwd=ROOT,
                stdin=PIPE,
                stdout=PIPE,
                stderr=sink,
            )
        await self._line()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing of it is left."""
        assert self._process is not None
        self.kill()
        self._process.stdin.close()  # type: ignore[union-attr]
        async with asyncio.timeout(20):
            await self._process.wait()

    async def born(self, *arguments: object) -> int:
        """A child at work on these arguments; returns its process id."""
        assert self._process is not None
        self._process.stdin.write(json.dumps([str(one) for one in arguments]).encode() + b"\n")  # type: ignore[union-attr]
        self.pid = await self._line()
        return self.pid

    async def ended(self) -> int:
        """Wait for the child; its exit code, or minus the signal that ended it."""
        code = await self._line()
        self.pid = 0
        return code

    def kill(self) -> None:
        """kill -9, if there is a child and it has not ended by itself."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def _line(self) -> int:
        assert self._process is not None
        line = await self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"the nursery of {self._module} is gone")
        return int(line)


def _tend(module: str) -> None:
    main = importlib.import_module(module).main
    _say(0)
    for line in sys.stdin.buffer:
        pid = os.fork()
        if pid == 0:
            sys.stdin.close()
            os.dup2(2, 1)  # what a child prints belongs to the log
            os._exit(_lived(main, json.loads(line)))
        _say(pid)
        _, status = os.waitpid(pid, 0)
        _say(os.waitstatus_to_exitcode(status))


def _lived(main: object, arguments: list[str]) -> int:
    try:
        return int(main(arguments))  # type: ignore[operator]
    except BaseException:  # noqa: BLE001 - a fork must end here, whatever it met
        sys.excepthook(*sys.exc_info())
        return 70
    finally:
        sys.stderr.flush()


def _say(number: int) -> None:
    os.write(1, f"{number}\n".encode())


if __name__ == "__main__":
    _tend(sys.argv[1])
