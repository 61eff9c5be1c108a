"""/health, /healthz, /readyz, /metrics: what a platform, a monitor and a scraper ask. Public, uncached."""

import asyncio
import hmac
from collections.abc import Awaitable
from typing import Any, cast

import asyncpg
import msgspec
from litestar import MediaType, Request, Response, get
from redis.asyncio import Redis
from redis.exceptions import RedisError

from cloudapi.db import AWAY
from cloudapi.errors import Unauthenticated
from cloudapi.services import Services, Wired

PROBE_TIMEOUT_S = 1.0  # the platform's patience


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the service is. `reason` says why it is not well."""

    status: str
    database: str
    redis: str | None = None  # away: slower, counting by replica, and still right; null: none is configured
    reason: str | None = None


@get("/health", tags=["service"], opt={"public": True})
async def health(services: Wired) -> Response[Health]:
    """Whether the service can answer: 200, or 503 while its database is away."""
    return await _probe(services)


@get("/readyz", tags=["service"], opt={"public": True})
async def readiness(services: Wired) -> Response[Health]:
    """Whether to send traffic here: as /health, and not while stopping. Without Redis it is `degraded` and ready."""
    if services.stopping.is_set():
        return _answer(Health(status="stopping", database="unknown", reason="the process was asked to stop"))
    return await _probe(services)


@get("/healthz", tags=["service"], opt={"public": True})
async def liveness(services: Wired) -> Response[Health]:
    """Whether the process is whole; looks at nothing outside it."""
    if services.broken is not None:
        return _answer(Health(status="broken", database="unknown", reason=f"{services.broken} ended: restart me"))
    return _answer(Health(status="ok", database="unknown"))


@get("/metrics", tags=["service"], opt={"public": True}, media_type=MediaType.TEXT)
async def metrics(services: Wired, request: Request[Any, Any, Any]) -> Response[str]:
    """Counters in Prometheus text format. Needs METRICS_TOKEN as bearer if one is configured."""
    token = services.settings.metrics_token
    if token is not None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.get_secret_value().encode()):
            raise Unauthenticated("Metrics need their own token.")
    landed_at = services.versions.last_landing_at
    gauges = {
        "pool_connections": float(services.pool.get_size()),
        "pool_idle_connections": float(services.pool.get_idle_size()),
    }
    if landed_at is not None:
        gauges["last_landing_timestamp_seconds"] = landed_at.timestamp()
    counters = {
        "cache_hits_total": float(services.shelf.n_hits),
        "cache_misses_total": float(services.shelf.n_misses),
    }
    text = services.metrics.render(gauges, counters, services.versions.n_landed)
    return Response(text, media_type="text/plain; version=0.0.4", headers={"cache-control": "no-store"})


async def _probe(services: Wired) -> Response[Health]:
    try:
        async with services.pool.acquire(timeout=PROBE_TIMEOUT_S) as connection:
            await connection.fetchval("select version_num from alembic_version", timeout=PROBE_TIMEOUT_S)
    except AWAY as exc:
        return _answer(Health(status="unavailable", database="away", reason=type(exc).__name__))
    except asyncpg.PostgresError as exc:  # it answers, and not as a database of ours: never migrated, rights missing
        return _answer(Health(status="unavailable", database="unusable", reason=type(exc).__name__))
    redis = await _redis_state(services)
    if redis == "away":
        return _answer(Health(status="degraded", database="ok", redis=redis, reason="redis does not answer"))
    return _answer(Health(status="ok", database="ok", redis=redis))


async def _redis_state(services: Services) -> str | None:
    if services.redis is None:
        return None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await cast("Awaitable[bool]", Redis(connection_pool=services.redis).ping())
    except (RedisError, OSError, TimeoutError):
        return "away"
    return "ok"


def _answer(state: Health) -> Response[Health]:
    status_code = 200 if state.status in {"ok", "degraded"} else 503
    return Response(state, status_code=status_code, headers={"cache-control": "no-store"})
