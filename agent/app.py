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

import structlog

from agent.build import commit
from agent.core.instants import Clock
from agent.core.patterns.registry import guard
from agent.core.routing import Rules
from agent.core.selection import Thresholds
from agent.errors import ConfigError, StoreBroken
from agent.experiments.registry import Registry
from agent.jobs.analyse import AnalyseOptions, analyse_job
from agent.jobs.arbitrage import arbitrage_job
from agent.jobs.benchmark import benchmark_job
from agent.jobs.collect import collect_job
from agent.jobs.context import Job
from agent.jobs.detectors import load_detectors
from agent.jobs.digest import digest_job
from agent.jobs.errands import handlers
from agent.jobs.forecast_door import Turns
from agent.jobs.heartbeats import Heartbeats
from agent.jobs.horizons import horizons_job
from agent.jobs.models import models_job
from agent.jobs.pairs import PairOptions, pairs_job
from agent.jobs.predict import Predictor
from agent.jobs.predict_window import BATCH, DAILY, PredictOptions
from agent.jobs.refresh import catalogue_job, refresh_events_job
from agent.jobs.reports import reports_job
from agent.jobs.resolve import resolve_job
from agent.jobs.retention import RetentionOptions, retention_job
from agent.jobs.runner import JobSpec, Runner, Watcher
from agent.jobs.sessions import KIND, SESSIONS, Sessions
from agent.jobs.signals import signals_job
from agent.jobs.table import TIMERS
from agent.llm.gateway import Gateway
from agent.llm.killswitch import file_switch
from agent.llm.models import chain_of
from agent.llm.options import GatewayOptions
from agent.road import cloud_road
from agent.settings import JobSettings, Settings
from agent.store.answers import StoreJournal
from agent.store.db import Store
from agent.store.recover import recover
from agent.store.sending import StoreOutbox
from agent.venues.base import VenueClient, VenueDetails
from agent.venues.http import VenueHttp
from agent.venues.kalshi import Kalshi
from agent.venues.kalshi_details import KalshiDetails
from agent.venues.polymarket import BASE_URL as GAMMA_URL
from agent.venues.polymarket import Polymarket
from agent.venues.polymarket_details import CLOB_URL, DATA_URL, PolymarketDetails
from sync.downlink import Downlink
from sync.duty import Duty
from sync.protocol import DownTransport, Transport
from sync.records import Venue
from sync.sender import Sender

VERSION = version("oddsd")

log = structlog.get_logger("house")


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
    predictor: Predictor
    details: Mapping[Venue, VenueDetails]
    sender: Sender | None  # None: no cloud configured
    downlink: Downlink | None = None
    road: DownTransport | None = None  # the same way, for questions
    sessions: Sessions | None = None


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
        store = await stack.enter_async_context(await _open_store(settings.database_path, clock))
        http = await stack.enter_async_context(VenueHttp())
        gateway = await stack.enter_async_context(_gateway(store, settings))
        venues, details = _venues(settings, http), _details(settings, http)
        turns = Turns(_lanes(settings, gateway.models)[0])
        predictor = Predictor(store, _registry(settings), gateway, _predict_options(settings), turns)
        await predictor.assert_frozen()
        sessions = Sessions(store, predictor)
        jobs: dict[str, Job] = {
            "collect": collect_job(store, venues, load_detectors(settings.patterns), guard(settings.patterns)),
            "pairs": pairs_job(store, gateway, PairOptions(list_path=settings.pairs_path)),
            "arbitrage": arbitrage_job(store, details),
            "analyse": analyse_job(store, gateway, _analyse_options(settings)),
            "benchmark": benchmark_job(store),
            "horizons": horizons_job(store),
            "reports": reports_job(store),
            "signals": signals_job(store),
            "resolve": resolve_job(store, details),
            "refresh-events": refresh_events_job(store, details, settings.selection.watch),
            "catalogue": catalogue_job(store, venues, details),
            DAILY: predictor.daily,
            BATCH: predictor.batch,
            SESSIONS: sessions.job,
            "digest": digest_job(store, gateway),
            "retention": retention_job(store, RetentionOptions(**settings.retention.model_dump())),
            "models": models_job(gateway),
        }
        heartbeats = await stack.enter_async_context(Heartbeats(_heartbeat_urls(settings)))
        specs = _specs(settings, jobs)
        runner = await _runner(stack, settings, specs, gateway.models, store=store, clock=clock, told=(heartbeats,))
        road = cloud_road(settings)
        sender = _sender(settings, store, clock, transport or road)
        downlink = None
        if road is not None:
            journal = StoreJournal(store)
            runner.duty = Duty(settings.host_id, standby=settings.standby, has_met=await journal.has_met())
            asked_for = dict(handlers(runner))
            if runner.specs[SESSIONS].enabled:
                asked_for[KIND] = sessions.take
            downlink = Downlink(road, journal, asked_for, runner.duty)
        yield House(settings, clock, store, runner, gateway, predictor, details, sender, downlink, road, sessions)


async def _open_store(path: Path, clock: Clock) -> Store:
    """The store; a damaged one is moved aside, for collecting must go on, and what waited in it is carried over."""
    try:
        return await Store.open(path, clock=clock)
    except StoreBroken as exc:
        done = await recover(path, backup=None, clock=clock, force=True)
        log.critical(
            "the database is damaged and was moved aside", action="store_recovered", reason=str(exc), aside=done.aside,
            carried_rows=done.carried_rows, unreadable_batches=done.unreadable_batches,
        )  # fmt: skip
        return await Store.open(path, clock=clock)


def _specs(settings: Settings, jobs: dict[str, Job]) -> list[JobSpec]:
    """Each job with its timer, as the settings want it."""
    specs = list[JobSpec]()
    for name, timer in TIMERS.items():
        wish = settings.jobs.get(name, JobSettings())
        specs.append(
            JobSpec(
                name=name,
                run=jobs[name],
                schedule=wish.schedule or timer.schedule,
                missed=wish.missed or timer.missed,
                timeout_s=wish.timeout_s or timer.timeout_s,
                enabled=wish.enabled is not False,
                jitter_s=timer.jitter_s if wish.jitter_s is None else wish.jitter_s,
                shared=timer.shared,
            )
        )
    return specs


async def _runner(
    stack: AsyncExitStack,
    settings: Settings,
    specs: Sequence[JobSpec],
    models: Sequence[str],
    *,
    store: Store,
    clock: Clock,
    told: Sequence[Watcher],
) -> Runner:
    """The engine: our own ledger, or DBOS on the Postgres that several machines share."""
    limits, rates = _lanes(settings, models)
    if settings.jobs_database_url is None:
        return Runner(store, clock, specs, limits, rates=rates, watchers=told)
    try:
        from agent.jobs.dbos import DbosRunner, on_dbos
    except ImportError as exc:
        raise ConfigError(["jobs_database_url: needs the extra: pip install 'oddsd[dbos]'"]) from exc
    shared = DbosRunner(store, clock, specs, limits, rates=rates, watchers=told, host_id=settings.host_id)
    return await stack.enter_async_context(on_dbos(shared, settings.jobs_database_url.get_secret_value()))


def _lanes(settings: Settings, models: Sequence[str]) -> tuple[dict[str, int], dict[str, float]]:
    """How much runs at once by lane, and what begins per minute: a model is a lane."""
    asked = settings.lanes
    limits = {"all": 32, "default": 8} | dict.fromkeys(models, 4)
    limits |= {name: lane.at_once for name, lane in asked.items() if lane.at_once is not None}
    return limits, {name: lane.per_minute for name, lane in asked.items() if lane.per_minute is not None}


def _heartbeat_urls(settings: Settings) -> dict[str, str]:
    asked = {name: job.heartbeat_url for name, job in settings.jobs.items()}
    return {name: url.get_secret_value() for name, url in asked.items() if url is not None}


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
    revisions = {name: one.revision for name, one in settings.experiments.items() if one.revision is not None}
    return Registry.load(settings.processing_experiments, revisions)


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
        batch_days=settings.batch_within_days,
        batch_limit=settings.batch_limit,
        models=chain_of(settings.predict_models)[0] if settings.predict_models else (),
        thresholds=_thresholds(settings),
        version=VERSION,
        commit=commit(),
        rules=Rules(
            share=settings.experiment_share,
            retire_after=settings.experiment_retire_after,
            pinned=frozenset(name for name, one in settings.experiments.items() if one.pinned),
        ),
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
        return None
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
