"""Servers and load as processes of their own: pinned to different cores where there are two, ended with the block."""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import psutil  # type: ignore[import-untyped]

from cloudapi.keys import N_RANDOM_BYTES, make_key
from cloudapi.queries.accounts import save_key
from cloudapi.tiers import Tier

N_CORES = os.cpu_count() or 1


@asynccontextmanager
async def served(*arguments: str, dsn: str = "", redis_url: str = "") -> AsyncIterator[tuple[int, int]]:
    """A server of `served.py`. Gives: its port and its process id."""
    process = await asyncio.create_subprocess_exec(
        *_pinned(0), "tests.bench.cloud.served", *arguments,
        stdout=asyncio.subprocess.PIPE, env=os.environ | {"DATABASE_URL": dsn, "REDIS_URL": redis_url},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server {arguments} did not start")
        yield int(line), process.pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def load(
    port: int, pid: int, path: str, *, connections: int, seconds: float, key: str | None = None
) -> dict[str, float]:
    """What the load generator found, and the answers per second of the server's own work.

    The latter holds on a machine that has other things to do: it is what a core to itself would give.
    """
    server = psutil.Process(pid)
    before = server.cpu_times()
    credential = [f"Bearer {key}"] if key else []
    process = await asyncio.create_subprocess_exec(
        *_pinned(1), "tests.bench.cloud.load", str(port), path, str(connections), str(seconds), *credential,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    after = server.cpu_times()
    found: dict[str, float] = json.loads(out)
    work_s = after.user + after.system - before.user - before.system
    return found | {"answers_per_cpu_s": round(found["answers"] / work_s)}


async def pro_key(dsn: str, scope: str = "read") -> str:
    """A key that may read everything, or deliver."""
    made = make_key(secrets.token_bytes(N_RANDOM_BYTES))
    connection = await asyncpg.connect(dsn)
    await save_key(connection, key=made, name="bench", tier=Tier.PRO, scopes=(scope,))
    await connection.close()
    return made


def _pinned(core: int) -> list[str]:
    run = [sys.executable, "-m"]
    return ["taskset", "-c", str(core), *run] if N_CORES > 1 and sys.platform == "linux" else run
