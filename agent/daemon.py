"""The process: one named task per loop, signals, systemd, an orderly end.

Law: READY once store and control socket are there, never waiting for network, broker or cloud. A loop that raises
takes the process down and systemd starts it again: recovery is the normal start. SIGTERM stops the intake, lets what
runs finish within its limit, sends what is sealed once more, and leaves.
"""

import asyncio
import contextlib
import os
import signal
from datetime import datetime, timedelta

import structlog

from agent.app import VERSION, House, collect_interval, open_house
from agent.desk.base import verbs
from agent.desk.table import QUESTIONS
from agent.jobs.backfill import DEFAULT_DAYS, backfill
from agent.jobs.clock import JobClock
from agent.settings import Settings
from agent.status.control import ControlServer
from agent.status.liveness import Pulse, overdue
from agent.status.mqtt import MqttOptions, MqttPublisher
from agent.status.report import Report, report, status_line
from agent.status.snapshot import save_snapshot
from agent.status.state import CloudLive, Live, LlmLive, MqttLive, load_state
from agent.status.systemd import ServiceManager
from agent.store.lock import data_dir_lock
from sync.records import Venue
from sync.sender import Link, SenderState

JOBS_STOP_S = 8.0  # a run cut off here is recovered at the next start
SENDER_STOP_S = 5.0  # what is sealed and unsent waits on disk anyway
TEND_S = 10.0  # snapshot, STATUS= and watchdog; a third of the shortest sensible WatchdogSec

log = structlog.get_logger("daemon")


class Daemon:
    """One running oddsd. `run` returns when asked to stop."""

    def __init__(self, settings: Settings, house: House, systemd: ServiceManager) -> None:
        self._settings, self._house = settings, house
        self._started_at = house.clock()
        self._systemd = systemd
        self._stopping = asyncio.Event()
        self._clock_beat_at: datetime | None = None
        self._fed_at: datetime | None = None
        self._clock = JobClock(house.runner, house.clock, beat=self._beat)
        self._mqtt: MqttPublisher | None = None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises: what a loop raised, as an ExceptionGroup."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self._mqtt = self._publisher()
        own = {"status": self._verb_status, "run_now": self._verb_run_now, "backfill": self._verb_backfill}
        asked = verbs(QUESTIONS, self._house.store, self._settings, self._house.clock)
        long = {question.verb for question in QUESTIONS if question.deadline_s is None} | {"run_now", "backfill"}
        async with ControlServer(self._settings.control_socket, {**own, **asked}, long_verbs=long):
            await self._tend_once()
            self._systemd.tell("READY=1")
            log.info("ready", action="ready", version=VERSION, host_id=self._settings.host_id)
            await self._serve()

    async def _serve(self) -> None:
        house = self._house
        async with asyncio.TaskGroup() as group:
            timers = group.create_task(self._clock.run(), name="job-clock")
            others = [group.create_task(self._tend(), name="tend")]
            if self._mqtt is not None:
                others.append(group.create_task(self._mqtt.run(), name="mqtt"))
            if house.runner.specs["models"].enabled:
                others.append(group.create_task(self._look_at_models(), name="models-at-start"))
            sending = None if house.sender is None else group.create_task(house.sender.run(), name="sender")
            await self._stopping.wait()
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

    # What people and machines ask

    async def _verb_status(self, _: dict[str, object]) -> Report:
        return await self.report()

    async def _verb_run_now(self, request: dict[str, object]) -> object:
        return await self._house.runner.run(str(request.get("job")), trigger="hand")

    async def _verb_backfill(self, request: dict[str, object]) -> object:
        house, days = self._house, request.get("days")
        return await backfill(
            house.store,
            house.details,
            str(request.get("market")),
            days=days if isinstance(days, int) else DEFAULT_DAYS,
            now=house.clock(),
        )

    async def report(self) -> Report:
        """What the house says about itself now."""
        now = self._house.clock()
        return report(await load_state(self._house.store.reader, now=now), self._live(), now)

    def _live(self) -> Live:
        house, settings = self._house, self._settings
        return Live(
            started_at=self._started_at,
            version=VERSION,
            host_id=settings.host_id,
            cloud=CloudLive() if house.sender is None else _cloud(house.sender.state),
            mqtt=MqttLive() if self._mqtt is None else self._mqtt.live,
            llm=LlmLive(off_reason=house.gateway.off_reason, daily_cap_usd=settings.ai_daily_cap_usd),
            venues=tuple(Venue(name) for name in settings.venues),
            next_due=self._clock.next_due(),
            collect_every_s=collect_interval(house.runner).total_seconds(),
            watchdog_at=self._fed_at,
        )

    # What the daemon does for itself

    async def _look_at_models(self) -> None:
        """A model that was retired while nobody looked is known before the first paid call."""
        await self._house.runner.run("models")

    def _beat(self) -> None:
        self._clock_beat_at = self._house.clock()

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(TEND_S)
            await self._tend_once()

    async def _tend_once(self) -> None:
        """Write the snapshot, tell systemd, and feed the watchdog while every loop keeps its deadline."""
        async with self._house.store.write() as tx:  # a writer that hangs stops us here, and the watchdog starves
            await tx.fetch_value("SELECT 1")
        now = self._house.clock()
        present = await self.report()
        self._systemd.tell(f"STATUS={status_line(present)}")
        try:
            save_snapshot(self._settings.snapshot_path, present, now=now)
        except OSError as exc:
            log.warning("snapshot not written", action="snapshot_failed", reason=str(exc))
        if self._mqtt is not None:
            self._mqtt.note_level(present.level)
        late = overdue(self._pulses(), now)
        if late:
            log.error("a loop hangs, the watchdog is not fed", action="loop_overdue", loops=late)
        else:
            self._fed_at = now
            self._systemd.tell("WATCHDOG=1")

    def _pulses(self) -> list[Pulse]:
        pulses = [Pulse("job-clock", self._clock_beat_at, timedelta(seconds=60))]
        if self._house.sender is not None:
            state = self._house.sender.state
            # The longest attempt: connect, hello and the largest batch on the slowest line we wait for.
            pulses.append(Pulse("sender", state.beat_at, timedelta(seconds=180), state.wakes_at))
        return pulses

    def _publisher(self) -> MqttPublisher | None:
        settings = self._settings
        if settings.mqtt_host is None:
            return None
        options = MqttOptions(
            host=settings.mqtt_host,
            port=settings.mqtt_port,
            username=settings.mqtt_username,
            password=None if settings.mqtt_password is None else settings.mqtt_password.get_secret_value(),
            tls_ca=None if settings.mqtt_tls_ca is None else str(settings.mqtt_tls_ca),
            prefix=settings.mqtt_prefix,
        )
        return MqttPublisher(options, self.report)


def _cloud(state: SenderState) -> CloudLive:
    return CloudLive(
        configured=True,
        connected=state.link is Link.CONNECTED,
        transport="postgres",
        last_batch_at=state.last_batch_at,
        round_trip_ms=state.round_trip_ms,
        skew_s=state.skew_s,
        held_reason=state.last_error if state.link is Link.HELD else None,
        last_error=state.last_error,
    )


async def run(settings: Settings) -> None:
    """Own the data directory, open the house, serve. Raises: OddsdError, or an ExceptionGroup of loops' errors."""
    os.umask(0o027)
    with data_dir_lock(settings.data_dir):
        settings.runtime_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        async with open_house(settings) as house:
            with contextlib.closing(ServiceManager()) as systemd:
                await Daemon(settings, house, systemd).run()
