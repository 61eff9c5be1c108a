"""Rooms cut off from the machine: mount and network namespaces that vanish with the process that made them.

Law: nothing is mounted, routed or filtered outside of the room, so nothing can be left behind; needs root, else skips.
"""

import asyncio
import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.fakes.nursery import ROOT

WITHIN_S = 60
WORKER = shlex.join([sys.executable, "-m", "tests.faults.worker"])


def need_root() -> None:
    """Skip in words where rooms cannot be made."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("no root, or no unshare: namespaces cannot be made")


async def inside(script: str, *kinds: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a shell script in namespaces of its own; returns (exit code, everything it said)."""
    need_root()
    process = await asyncio.create_subprocess_exec(
        "unshare", *kinds, "--kill-child", "--fork", "sh", "-ec", script, cwd=ROOT, env=os.environ | (env or {}),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace")


def on_small_disk(folder: Path, out: Path, options: str, commands: str) -> str:
    """A script that works on a tmpfs of its own at `folder` and brings out what is on it at the end."""
    return (
        f"mount -t tmpfs -o {options} none {folder}\n"
        f"set +e\n({commands})\ncode=$?\n"
        f"cp {folder}/oddsd.db* {out}/ 2>&1; cp {folder}/diary {out}/ 2>&1\nexit $code"
    )
