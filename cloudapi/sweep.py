"""Removes what is over: live events, used tickets, old answers. Every replica does it; twice is harmless."""

import asyncio

import asyncpg
import structlog

from cloudapi.db import AWAY, Pool
from cloudapi.queries import usage

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 60.0


async def sweep_forever(pool: Pool) -> None:
    """Now and each minute, for ever."""
    is_failing = False
    while True:
        try:
            await usage.sweep(pool)
        except (*AWAY, asyncpg.PostgresError) as exc:
            if not is_failing:
                log.warning("nothing is swept out", action="sweep_failed", cause=str(exc) or type(exc).__name__)
            is_failing = True
        else:
            is_failing = False
        await asyncio.sleep(SWEEP_EVERY_S)
