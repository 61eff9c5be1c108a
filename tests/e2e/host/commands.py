"""Programs of the host that a test waits for: a limit on each, and none outlives its waiting."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from pathlib import Path


async def started(
    *command: str, out: int, err: int, env: Mapping[str, str] | None = None, at: Path | None = None
) -> Process:
    """The program as head of a group of its own, so that all of it can be ended."""
    return await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=out, stderr=err, env=env, cwd=at, start_new_session=True
    )


async def said(process: Process, within_s: float) -> tuple[str, str]:
    """What it printed, both streams. Raises: TimeoutError; then, and when nobody waits any more, it is killed."""
    try:
        async with asyncio.timeout(within_s):
            out, err = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    return (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace")
