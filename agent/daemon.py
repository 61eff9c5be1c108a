"""The process: one named task per loop, signals, systemd, an orderly end.

Law: READY once store and control socket are there, never waiting for network, broker or cloud. A loop that raises
takes the process down and systemd starts it again: recovery is the normal start. SIGTERM stops the intake, lets what
runs finish within its limit, sends what is sealed once more, and leaves. SIGHUP does the same and opens the house
again with the configuration as it then stands; a wrong one leaves everything as it is.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from agent.app import VERSION, House, collect_interval, open_house, utc_now
from agent.delivery import audit, sync_now
from agent.desk.base import verbs
from agent.desk.table import QUESTIONS
from agent.distrust import noted, trusted
from agent.errors import ControlRefused, OddsdError, ReloadRefused
from agent.jobs.backfill import DEFAULT_DAYS, backfill
from agent.jobs.clock import JobClock
from agent.jobs.pauses import load_pauses, pause_of
from agent.jobs.predict_now import predict_now
from agent.jobs.predict_window import Wish
from agent.jobs.redrive import redrive
from agent.jobs.sessions import SESSIONS
from agent.log import Redactor, configure
from agent.reload import Wishes, read_again
from agent.sentry import watch_errors
from agent.settings import Settings
from agent.status.contract import Report
from agent.status.control import ControlServer, call
from agent.status.report import report, standing, status_line
from agent.status.snapshot import save_snapshot
from agent.status.state import CloudLive, Disk, Live, LlmLive, load_state
from agent.status.systemd import ServiceManager
from agent.status.timesync import synchronised
from agent.store.lock import data_dir_lock
from agent.store.relief import Relief
from agent.surfaces import Surfaces, masked
from sync.pulse import Pulse
from sync.records import Venue
from sync.sender import Link, SenderState

JOBS_STOP_S = 8.0  # a run cut off here is recovered at the next start
SENDER_STOP_S = 5.0  # what is sealed and unsent waits on disk anyway
CLOCK_SILENT_S = 60.0  # it looks every few seconds
CONTROL_SILENT_S = 60.0  # several knocks in a row that nobody answered
KNOCK_S = 2.0
TEND_S = 10.0  # snapshot, STATUS= and watchdog; more often where systemd's patience is short

Reread = Callable[[], Settings]

log = structlog.get_logger("daemon")


class Daemon:
    """One running oddsd. `run` returns when asked to stop, or to go on with other settings."""

    def __init__(
        self, settings: Settings, house: House, systemd: ServiceManager, wishes: Wishes, reread: Reread
    ) -> None:
        self._settings, self._house = settings, house
        self._wishes, self._reread = wishes, reread
        self._started_at = house.clock()
        self._systemd = systemd
        self._fed_at: datetime | None = None
        self._ticking, self._control = Pulse("job-clock", CLOCK_SILENT_S), Pulse("control", CONTROL_SILENT_S)
        self._clock = JobClock(house.runner, house.clock, beat=self._ticking.beat)
        self._surfaces: Surfaces  # made by `run`, which knows the verbs
        self._redactor = Redactor(settings.secrets())
        self._relief = Relief(house.store)
        self._refused: str | None = None  # why the last reload was not taken

    async def run(self, *, refused: str | None = None) -> Settings | None:
        """Serve until told otherwise; returns the settings to go on with, None to end.

        Args:
            refused: why the configuration that was to be taken is not, for the status line.
        Raises: what a loop raised, as an ExceptionGroup.
        """
        self._refused = refused
        works = {
            "run_now": self._verb_run_now,
            "retry_dead_letters": self._verb_retry_dead_letters,
            "take_over": self._verb_take_over,
            "backfill": self._verb_backfill,
            "predict": self._verb_predict,
            "sync_now": self._verb_sync_now,
            "audit": self._verb_audit,
        }
        asked = verbs(QUESTIONS, self._house.store, self._settings, self._house.clock)
        long = {question.verb for question in QUESTIONS if question.deadline_s is None} | set(works)
        served = {"status": self._verb_status, "ping": self._verb_ping, **works, **asked}
        self._surfaces = Surfaces(self._settings, self._house, self.report, served)
        server = ControlServer(self._settings.control_socket, served, long_verbs=long)
        with self._surfaces:
            async with server:
                await self._tend_once()
                self._systemd.tell("READY=1")
                log.info("ready", action="ready", version=VERSION, host_id=self._settings.host_id)
                return await self._serve()

    async def _serve(self) -> Settings | None:
        house = self._house
        async with asyncio.TaskGroup() as group:
            timers = group.create_task(self._clock.run(), name="job-clock")
            others = [group.create_task(self._tend(), name="tend")]
            others += [group.create_task(loop, name=name) for name, loop in self._surfaces.tasks()]
            if house.runner.specs["models"].enabled:
                others.append(group.create_task(self._look_at_models(), name="models-at-start"))
            if house.downlink is not None:
                others.append(group.create_task(house.downlink.run(), name="downlink"))
            if house.sessions is not None and house.runner.specs[SESSIONS].enabled:
                others.append(group.create_task(house.sessions.begin_forever(house.runner), name="sessions"))
            sending = None if house.sender is None else group.create_task(house.sender.run(), name="sender")
            wanted = await self._until_told()
            if wanted is None:
                self._systemd.tell("STOPPING=1")
                log.info("stopping", action="stopping")
            self._clock.stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(JOBS_STOP_S):
                    await house.runner.settled()
            if house.sender is not None and sending is not None:
                house.sender.stop()
                await asyncio.wait({sending}, timeout=SENDER_STOP_S)
                others.append(sending)
            for task in (timers, *others):
                task.cancel()
        return wanted

    async def _until_told(self) -> Settings | None:
        """Until a stop (None), or a reload that changes something (the settings it found)."""
        while await self._wishes.next():
            self._systemd.reloading()
            try:
                found, self._refused = read_again(self._reread, self._settings), None
            except ReloadRefused as exc:
                self._refused = str(exc)
                log.error("configuration refused, the running one stays", action="reload_refused", reason=str(exc))
            else:
                changed = found is not self._settings
                log.info("configuration read again", action="reload", changed=changed)
                if changed:
                    return found  # READY follows when the house is open again
            await self._tend_once()
            self._systemd.tell("READY=1")
        return None

    # What people and machines ask

    async def _verb_status(self, _: dict[str, object]) -> Report:
        return await self.report()

    async def _verb_ping(self, _: dict[str, object]) -> None:
        """Nothing is asked but whether anybody listens."""

    async def _verb_run_now(self, request: dict[str, object]) -> object:
        return await self._house.runner.run(str(request.get("job")), trigger="hand")

    async def _verb_retry_dead_letters(self, request: dict[str, object]) -> object:
        words = request.get("words")
        return await redrive(self._house.runner, str(request.get("job")), None if words is None else str(words))

    async def _verb_take_over(self, request: dict[str, object]) -> object:
        return await self._house.runner.take_over(str(request.get("host")))

    async def _verb_backfill(self, request: dict[str, object]) -> object:
        house, days = self._house, request.get("days")
        return await backfill(
            house.store,
            house.details,
            str(request.get("market")),
            days=days if isinstance(days, int) else DEFAULT_DAYS,
            now=house.clock(),
        )

    async def _verb_predict(self, request: dict[str, object]) -> object:
        try:
            wish = msgspec.convert(request, Wish)
        except msgspec.ValidationError as exc:
            raise ControlRefused(f"predict: {exc}", advice="use a command of the same version") from exc
        return await predict_now(self._house.runner, self._house.predictor, wish, now=self._house.clock())

    async def _verb_sync_now(self, request: dict[str, object]) -> object:
        return await sync_now(self._house.store, self._house.sender, held=bool(request.get("held")))

    async def _verb_audit(self, _: dict[str, object]) -> object:
        return await audit(self._house.store, self._house.road)

    async def report(self) -> Report:
        """What the house says about itself now."""
        now, watch = self._house.clock(), self._settings.selection.watch
        told = report(await load_state(self._house.store.reader, now=now, watch=watch), self._live(), now)
        return masked(told, self._redactor)

    def _live(self) -> Live:
        house, settings = self._house, self._settings
        return Live(
            started_at=self._started_at,
            version=VERSION,
            host_id=settings.host_id,
            cloud=CloudLive() if house.sender is None else _cloud(house.sender.state, house.sender.road),
            mqtt=self._surfaces.mqtt,
            alerts=self._surfaces.alerts,
            metrics_error=self._surfaces.metrics_error,
            disk=_disk(settings.data_dir),
            synchronised=synchronised(),
            llm=LlmLive(off_reason=house.gateway.off_reason, daily_cap_usd=settings.ai_daily_cap_usd),
            venues=tuple(Venue(name) for name in settings.venues),
            next_due=self._clock.next_due(),
            collect_every_s=collect_interval(house.runner).total_seconds(),
            watchdog_at=self._fed_at,
        )

    # What the daemon does for itself

    async def _look_at_models(self) -> None:
        """A model that was retired while nobody looked is known before the first paid call."""
        if pause_of(await load_pauses(self._house.store.reader), "models") is None:
            await self._house.runner.run("models")

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(min(TEND_S, (self._systemd.watchdog_s or TEND_S) / 3))
            await self._tend_once()

    async def _tend_once(self) -> None:
        """Write the snapshot, tell systemd, and feed the watchdog while every loop keeps its deadline."""
        await self._relief.tend()
        async with self._house.store.write() as tx:  # a writer that hangs stops us here, and the watchdog starves
            await tx.fetch_value("SELECT 1")
        now = self._house.clock()
        present = await self.report()
        refused = f" · reload refused: {self._refused}" if self._refused else ""
        self._systemd.tell(f"STATUS={status_line(present)}{refused}")
        try:
            save_snapshot(self._settings.snapshot_path, present, now=now)
        except OSError as exc:
            log.warning("snapshot not written", action="snapshot_failed", reason=str(exc))
        await self._surfaces.note(present, now=now)
        if self._house.downlink is not None:
            self._house.downlink.standing = standing(present)
        await self._knock()
        late = [pulse.name for pulse in self._pulses() if pulse.is_late()]
        if late:
            log.error("a loop hangs, the watchdog is not fed", action="loop_overdue", loops=late)
        else:
            self._fed_at = now
            self._systemd.tell("WATCHDOG=1")

    async def _knock(self) -> None:
        """Ask ourselves through the control socket: a file that somebody swept away answers nobody."""
        with contextlib.suppress(OddsdError):
            await call(self._settings.control_socket, "ping", KNOCK_S)
            self._control.beat()

    def _pulses(self) -> Iterator[Pulse]:
        yield self._ticking
        yield self._control
        yield from (loop.pulse for loop in (self._house.sender, self._house.downlink) if loop is not None)
        yield from self._surfaces.pulses()


def _disk(folder: Path) -> Disk | None:
    """What is left where the data lies; None where even that cannot be asked."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return Disk(free_bytes=usage.free, total_bytes=usage.total)


def _cloud(state: SenderState, road: str) -> CloudLive:
    return CloudLive(
        configured=True,
        connected=state.link is Link.CONNECTED,
        transport=road,
        last_batch_at=state.last_batch_at,
        round_trip_ms=state.round_trip_ms,
        skew_s=state.skew_s,
        held_reason=state.last_error if state.link is Link.HELD else None,
        last_error=state.last_error,
        too_new=state.too_new,
    )


async def run(settings: Settings, reread: Reread | None = None) -> None:
    """Own the data directory and serve until told to stop.

    Args:
        reread: reads the configuration again, for a reload; without it a reload changes nothing.
    Raises: OddsdError, or an ExceptionGroup of loops' errors.
    """
    os.umask(0o027)
    reread = reread or (lambda: settings)
    wishes = Wishes()
    with (
        data_dir_lock(settings.data_dir),
        contextlib.closing(ServiceManager()) as systemd,
        wishes.heard(),
        noted(settings.data_dir, utc_now),
    ):
        settings.runtime_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        if not await trusted(settings.data_dir, systemd, wishes, utc_now):
            return
        if settings.sentry_dsn is not None:
            dsn = settings.sentry_dsn.get_secret_value()
            watch_errors(dsn, release=VERSION, host_id=settings.host_id, secrets=settings.secrets())
        wanted: Settings | None = settings
        running: Settings | None = None
        while wanted is not None:
            async with _open(wanted, running, systemd) as (house, refused):
                if running is not None:
                    now = house.settings
                    configure(json=now.log_json, level=now.log_level, secrets=now.secrets())
                running = house.settings
                wanted = await Daemon(running, house, systemd, wishes, reread).run(refused=refused)


@contextlib.asynccontextmanager
async def _open(
    wanted: Settings, running: Settings | None, systemd: ServiceManager
) -> AsyncIterator[tuple[House, str | None]]:
    """The house, and why it is by the settings that ran before where the wanted ones are good on paper only."""
    async with contextlib.AsyncExitStack() as stack:
        refused: str | None = None
        async with systemd.more_time():
            try:
                house = await stack.enter_async_context(open_house(wanted))
            except OddsdError as exc:
                if running is None:
                    raise
                refused = str(exc)
                log.error("configuration refused, the old one goes on", action="reload_refused", reason=refused)
                house = await stack.enter_async_context(open_house(running))
        try:
            yield house, refused
        finally:
            async with systemd.more_time():
                await stack.aclose()
