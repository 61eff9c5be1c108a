"""The only place that builds things: settings to pool, cache, limiter, routes. Takes replacements for tests.

Law: called inside the running event loop, which the pool belongs to; nothing connects while building. Background tasks
have names and an owner (the lifespan), and one that dies makes /healthz fail, so that the platform starts us anew.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version

import structlog
from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from cloudapi import problems
from cloudapi.accounts import Accounts
from cloudapi.auth import MAX_BODY_BYTES, AuthMiddleware, KeyRing
from cloudapi.cache import Cache, MemoryCache, RedisCache, Shelf, make_redis_pool
from cloudapi.cursors import CursorSigner
from cloudapi.db import keep_partitions, make_pool
from cloudapi.feed import Feed
from cloudapi.hot import HotAnswers, Service
from cloudapi.live import Versions, listen_forever
from cloudapi.metrics import Metrics
from cloudapi.passwords import Passwords
from cloudapi.payments import Payments
from cloudapi.places import Places
from cloudapi.quota import Quota
from cloudapi.ratelimit import RateLimiter
from cloudapi.reference import without_examples
from cloudapi.routes import (
    accounts,
    arbitrage,
    benchmark,
    billing,
    digests,
    docs,
    edge,
    health,
    hosts,
    insights,
    live,
    markets,
    matches,
    predictions,
    privacy,
    record,
    returned,
    sessions,
    signals,
    watch,
    webhooks,
)
from cloudapi.services import Services
from cloudapi.sessions import Bells
from cloudapi.settings import CloudSettings, Environment
from cloudapi.sweep import sweep_forever
from cloudapi.tokens import AccessTokens
from cloudapi.web.pages import PAGES
from cloudapi.web.render import handlers_by_address, missing_assets

log = structlog.get_logger(__name__)

HANDLERS = (
    health.health,
    health.liveness,
    health.readiness,
    health.metrics,
    *edge.HANDLERS,
    docs.documentation,
    markets.list_markets,
    markets.search_markets,
    markets.get_market,
    markets.get_price,
    markets.list_prices,
    markets.list_series,
    markets.get_series,
    insights.list_insights,
    insights.get_insight,
    insights.list_ai_insights,
    digests.list_digests,
    arbitrage.list_arbitrage,
    matches.list_matches,
    signals.list_signals,
    predictions.list_predictions,
    predictions.get_prediction,
    predictions.list_benchmarks,
    predictions.get_path,
    record.get_head,
    record.list_record,
    benchmark.list_marks,
    benchmark.list_passes,
    benchmark.list_experiments,
    benchmark.get_report,
    benchmark.get_leaderboard,
    benchmark.get_named_leaderboard,
    accounts.register,
    accounts.log_in,
    accounts.refresh,
    accounts.log_out,
    accounts.change_password,
    accounts.get_me,
    accounts.get_usage,
    accounts.list_keys,
    accounts.create_key,
    accounts.delete_key,
    *sessions.HANDLERS,
    *billing.HANDLERS,
    *watch.HANDLERS,
    *webhooks.HANDLERS,
    *privacy.HANDLERS,
    *returned.HANDLERS,
    hosts.list_hosts,
    live.listen,
    live.listen_socket,
    live.make_ticket,
)

DESCRIPTION = (
    "Prediction markets of Polymarket and Kalshi: what is quoted, what moved, what it means and how forecasts fare. "
    "Every answer was worked out beforehand; none waits for a model or an exchange. A market's id is its market_key "
    "(`kalshi:<ticker>`, `polymarket:<id>`). A price or probability is a number from 0 to 1; what is missing is absent."
)


def create_app(
    settings: CloudSettings,
    *,
    cache: Cache | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Service:
    """The service, wired. `cache` and `now` are replaced in tests; `app.state.services` holds what was built."""
    services = _make_services(settings, cache, now)
    answered = problems.Answered(services.metrics)
    app = Service(
        route_handlers=[*without_examples(HANDLERS), PAGES],
        middleware=[
            AuthMiddleware(
                services.ring,
                services.limiter,
                services.quota,
                cookie=session_cookie(settings),
                address_header=services.address_header,
            )
        ],
        before_send=[problems.make_send_hook(answered, services.quota)],
        exception_handlers=handlers_by_address(),
        dependencies={"services": Provide(lambda: services, sync_to_thread=False)},
        lifespan=[_lifespan(services)],
        openapi_config=_openapi(),
        cors_config=_cors(settings),
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,  # ours is set up by the command, one line per event
        state=State({"services": services}),
    )
    app.hot = HotAnswers(services, answered)
    return app


def _make_services(settings: CloudSettings, cache: Cache | None, now: Callable[[], datetime]) -> Services:
    pool = make_pool(settings)
    redis = None if settings.redis_url is None else make_redis_pool(settings.redis_url.get_secret_value())
    if cache is None:
        cache = MemoryCache() if redis is None else RedisCache(redis)
    # Without a secret cursors last as long as the process: right for one laptop, refused in production by settings.
    secret = settings.jwt_secret.get_secret_value().encode() if settings.jwt_secret else secrets.token_bytes(32)
    before = [settings.jwt_secret_before.get_secret_value().encode()] if settings.jwt_secret_before else []
    tokens, passwords = AccessTokens([secret, *before]), Passwords()
    return Services(
        settings=settings,
        pool=pool,
        redis=redis,
        shelf=Shelf(cache),
        versions=Versions(),
        ring=KeyRing(pool, tokens),
        limiter=RateLimiter(redis),
        quota=Quota(pool, now),
        passwords=passwords,
        accounts=Accounts(pool, tokens, passwords, now=now, registration=settings.registration),
        feed=Feed(pool),
        places=Places(redis),
        bells=Bells(),
        payments=Payments(settings, pool, now=now),
        cursors=CursorSigner(secret),
        metrics=Metrics(),
        now=now,
    )


def _lifespan(services: Services) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def live(_: Litestar) -> AsyncIterator[None]:
        await services.pool  # opens nothing yet: the pool has no minimum
        if missing := missing_assets():
            log.warning("pages have drawings only: make assets was not run", action="assets_absent", missing=missing)
        dsn = services.settings.database_url.get_secret_value()
        tasks = [
            _start("listener", _listen(services, dsn), services),
            _start("partitions", keep_partitions(services.pool), services),
            _start("feed", services.feed.run(), services),
            _start("places", services.places.run(), services),
            _start("sweep", sweep_forever(services.pool), services),
            _start("farewell", _say_farewell(services), services),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await services.quota.close()
            services.passwords.close()
            await services.shelf.close()
            await services.payments.close()
            if services.redis is not None:
                await services.redis.disconnect()
            services.pool.terminate()

    return live


async def _listen(services: Services, dsn: str) -> None:
    await listen_forever(
        dsn,
        services.versions,
        on_landed=services.feed.call,
        on_keys_changed=services.ring.forget,
        on_session_moved=services.bells.ring,
    )


async def _say_farewell(services: Services) -> None:
    """Streams end as soon as the process was asked to stop: the server waits for them."""
    await services.stopping.wait()
    services.feed.close()


def session_cookie(settings: CloudSettings) -> str:
    """The name of a browser's session. `__Host-` binds it to one host over TLS, which a laptop has not."""
    return "__Host-oddsd" if settings.env is Environment.PRODUCTION else "oddsd_session"


def _start(name: str, work: Awaitable[None], services: Services) -> asyncio.Task[None]:
    async def run() -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            services.broken = name
            log.critical("a task of the service ended", action="task_died", task=name, exc_info=exc)

    return asyncio.create_task(run(), name=name)


def _openapi() -> OpenAPIConfig:
    bearer = SecurityScheme(type="http", scheme="bearer", description="An API key: odds_live_...")
    return OpenAPIConfig(
        title="oddsd",
        version=version("oddsd"),
        description=DESCRIPTION,
        use_handler_docstrings=True,
        components=Components(security_schemes={"key": bearer}),
        security=[{"key": []}],
        render_plugins=[JsonRenderPlugin(path="/")],
        openapi_router=Router(path="/openapi.json", route_handlers=[], opt={"public": True}, include_in_schema=False),
    )


def _cors(settings: CloudSettings) -> CORSConfig | None:
    """Off unless origins are listed; reading only, without credentials."""
    if not settings.cors_origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET"],
        allow_headers=["authorization", "if-none-match"],
        expose_headers=["etag", "x-request-id", "ratelimit-policy", "retry-after"],
    )
