"""Builds the house: settings in, everything that works in it out. The only place of the edge that sees everything.

Tests replace what stands for the outside world: the clock, the transport to the cloud, the venues, the gateway's
address. Nothing is built anywhere else.
"""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from agent.core.instants import Clock
from agent.core.patterns.registry import guard
from agent.core.selection import Thresholds
from agent.experiments.registry import Registry
from agent.jobs.analyse import AnalyseOptions, analyse_job
from agent.jobs.benchmark import benchmark_job
from agent.jobs.collect import collect_job
from agent.jobs.context import Job
from agent.jobs.detectors import load_detectors
from agent.jobs.digest import digest_job
from agent.jobs.models import models_job
from agent.jobs.predict import PredictOptions, predict_job
from agent.jobs.refresh import catalogue_job, refresh_events_job
from agent.jobs.resolve import resolve_job
from agent.jobs.retention import RetentionOptions, retention_job
from agent.jobs.runner import JobSpec, Runner
from agent.jobs.table import TIMERS
from agent.llm.gateway import Gateway
from agent.llm.killswitch import file_switch
from agent.llm.options import GatewayOptions
from agent.settings import Settings
from agent.store.db import Store
from agent.store.sending import StoreOutbox
from agent.venues.base import VenueClient, VenueDetails
from agent.venues.http import VenueHttp
from agent.venues.kalshi import Kalshi
from agent.venues.kalshi_details import KalshiDetails
from agent.venues.polymarket import BASE_URL as GAMMA_URL
from agent.venues.polymarket import Polymarket
from agent.venues.polymarket_details import CLOB_URL, DATA_URL, PolymarketDetails
from sync.protocol import Transport
from sync.records import Venue
from sync.sender import Sender
from sync.transports.postgres import PostgresTransport

VERSION = version("oddsd")


def utc_now() -> datetime:
    """The world's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class House:
    """Everything that works together, open and ready."""

    settings: Settings
    clock: Clock
    store: Store
    runner: Runner
    gateway: Gateway
    details: Mapping[Venue, VenueDetails]
    sender: Sender | None  # None: no cloud configured


@asynccontextmanager
async def open_house(
    settings: Settings, *, clock: Clock = utc_now, transport: Transport | None = None
) -> AsyncIterator[House]:
    """Open store, clients and jobs; close them in reverse order.

    Args:
        transport: replaces the way to the cloud.
    Raises: StoreError, ConfigError.
    """
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(settings.database_path, clock=clock))
        http = await stack.enter_async_context(VenueHttp())
        gateway = await stack.enter_async_context(_gateway(store, settings))
        venues, details = _venues(settings, http), _details(settings, http)
        jobs: dict[str, Job] = {
            "collect": collect_job(store, venues, load_detectors(settings.patterns), guard(settings.patterns)),
            "analyse": analyse_job(store, gateway, _analyse_options(settings)),
            "benchmark": benchmark_job(store),
            "resolve": resolve_job(store, details),
            "refresh-events": refresh_events_job(store, details),
            "catalogue": catalogue_job(store, venues, details),
            "predict": predict_job(store, _registry(settings), gateway, _predict_options(settings)),
            "digest": digest_job(store, gateway),
            "retention": retention_job(store, RetentionOptions(**settings.retention.model_dump())),
            "models": models_job(gateway),
        }
        lanes = {"all": 32, "default": 8} | dict.fromkeys(gateway.models, 4)
        runner = Runner(store, clock, _specs(settings, jobs), lanes)
        yield House(settings, clock, store, runner, gateway, details, _sender(settings, store, clock, transport))


def _specs(settings: Settings, jobs: dict[str, Job]) -> list[JobSpec]:
    """Each job with its timer, as the settings want it."""
    specs = list[JobSpec]()
    for name, timer in TIMERS.items():
        wish = settings.jobs.get(name)
        specs.append(
            JobSpec(
                name=name,
                run=jobs[name],
                schedule=(wish.schedule if wish else None) or timer.schedule,
                missed=timer.missed,
                timeout_s=timer.timeout_s,
                enabled=wish is None or wish.enabled is not False,
            )
        )
    return specs


def _venues(settings: Settings, http: VenueHttp) -> Sequence[VenueClient]:
    clients: dict[str, VenueClient] = {
        "polymarket": Polymarket(http, base_url=settings.polymarket_url),
        "kalshi": Kalshi(http, base_url=settings.kalshi_url),
    }
    return [clients[name] for name in settings.venues]


def _details(settings: Settings, http: VenueHttp) -> Mapping[Venue, VenueDetails]:
    """A replaced Gamma stands alone: its ids mean nothing to the public hosts beside it."""
    public = settings.polymarket_url == GAMMA_URL
    clients: dict[str, VenueDetails] = {
        "polymarket": PolymarketDetails(
            http,
            base_url=settings.polymarket_url,
            clob_url=settings.polymarket_clob_url or (CLOB_URL if public else None),
            data_url=settings.polymarket_data_url or (DATA_URL if public else None),
        ),
        "kalshi": KalshiDetails(http, base_url=settings.kalshi_url),
    }
    return {clients[name].venue: clients[name] for name in settings.venues}


def _registry(settings: Settings) -> Registry:
    return Registry.load(settings.processing_experiments)


def _thresholds(settings: Settings) -> Thresholds:
    table = settings.selection.model_dump()
    table["watch"] = frozenset(table["watch"])
    table["leave_out"] = frozenset(category.lower() for category in table["leave_out"])
    return Thresholds(**table)


def _analyse_options(settings: Settings) -> AnalyseOptions:
    return AnalyseOptions(per_run=settings.ai_insights_per_tick, thresholds=_thresholds(settings))


def _predict_options(settings: Settings) -> PredictOptions:
    return PredictOptions(
        window_days=settings.target_close_window_days,
        within=settings.predict_within,
        limit=settings.predict_limit,
        thresholds=_thresholds(settings),
    )


def _gateway(store: Store, settings: Settings) -> Gateway:
    """The door to the models, with the operator's switch in the data directory beside it."""
    return Gateway(store, _gateway_options(settings), kill_switch=file_switch(settings.kill_switch_path))


def _gateway_options(settings: Settings) -> GatewayOptions:
    return GatewayOptions(
        api_key=None if settings.groq_api_key is None else settings.groq_api_key.get_secret_value(),
        base_url=settings.groq_base_url,
        path_prefix=settings.groq_path_prefix,
        models=(settings.ai_model, *settings.ai_fallback_models),
        timeout_s=settings.ai_timeout_s,
        daily_cap_usd=settings.ai_daily_cap_usd,
        daily_tokens=settings.ai_daily_tokens,
        daily_calls=settings.ai_daily_calls,
        enabled=settings.ai_analysis_enabled,
    )


def _sender(settings: Settings, store: Store, clock: Clock, transport: Transport | None) -> Sender | None:
    if transport is None:
        if settings.database_url is None:
            return None
        transport = PostgresTransport(settings.database_url.get_secret_value(), host_id=settings.host_id)
    return Sender(
        StoreOutbox(store),
        transport,
        host_id=settings.host_id,
        boot_id=boot_id(),
        agent_version=VERSION,
        clock=clock,
    )


def boot_id() -> str:
    """Which boot of the machine this is; systemd hands it over where /proc is hidden."""
    given = os.environ.get("ODDSD_BOOT_ID")
    if given:
        return given
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def collect_interval(runner: Runner) -> timedelta:
    """How far apart two collect slots are now; a quarter hour unless the operator changed it."""
    from cronsim import CronSim

    slots = CronSim(runner.specs["collect"].schedule, runner.clock())
    return abs(next(slots) - next(slots))
