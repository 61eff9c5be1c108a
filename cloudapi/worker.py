"""The storage duties, on time and once: partitions ahead, hours rolled up, days packed, retention, the ledger trimmed.

Law: a duty happens once per slot, however many workers run: whoever holds its advisory lock and finds its slot not
finished does it (`worker_run`). A worker killed at work leaves its slot unfinished and its lock free: the next one does
it again, which is harmless, for every duty does only what is still to do. Time is the database's. Called by
`oddsd-cloud worker`; signals set a flag, the duty under way ends first.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog

from cloudapi.db import AWAY, Connection
from cloudapi.errors import CloudError
from cloudapi.sessions import recover as recover_sessions
from cloudapi.settings import CloudSettings
from cloudapi.storage.base import StorageBackend
from cloudapi.storage.choice import load_storage

log = structlog.get_logger(__name__)

LOCK_CLASS = 0x0DD5  # the advisory locks of duties: (this, number of the duty)
CONNECT_TIMEOUT_S = 5.0
LOOK_EVERY_S = 15.0  # how late a duty may be
RETRY_S = 5.0
LEDGER_DAYS = 14

# Taken if it is new, or was begun by a worker that is gone (we hold the lock, so nobody is at it).
BEGIN = """
insert into worker_run (duty, slot, worker) values ($1, $2, $3)
on conflict (duty, slot) do update set worker = excluded.worker, started_at = now()
    where worker_run.finished_at is null
returning true
"""
FINISH = "update worker_run set finished_at = clock_timestamp(), said = $3 where duty = $1 and slot = $2"
TRIM = "delete from worker_run where slot < now() - make_interval(days => $1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a duty works with."""

    storage: StorageBackend
    db: Connection
    price_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One thing to do in every slot; `number` names its lock and is never given to another."""

    name: str
    number: int
    every: timedelta
    at: timedelta  # into the slot: nightly duties wait for the night
    run: Callable[[Work], Awaitable[str]]

    def slot(self, now: datetime) -> datetime:
        """The slot that began last."""
        midnight = datetime(2000, 1, 1, tzinfo=UTC) + self.at
        return midnight + (now - midnight) // self.every * self.every


async def _ensure_ahead(work: Work) -> str:
    return f"{await work.storage.ensure_ahead()} days made"


async def _roll_up(work: Work) -> str:
    return f"{await work.storage.roll_up()} hours written"


async def _compact(work: Work) -> str:
    packed = await work.storage.compact()
    return ", ".join(f"{day}: {n} rows" for day, n in packed.items()) or "nothing to pack"


async def _retain(work: Work) -> str:
    return f"{await work.storage.retain(work.price_days)} rows taken"


async def _trim_ledger(work: Work) -> str:
    return f"ledger: {await work.db.execute(TRIM, LEDGER_DAYS)}"


async def _recover_sessions(work: Work) -> str:
    did = await recover_sessions(work.db)
    return f"sessions: {did.expired} expired, {did.again} asked for again, {did.given_up} given up"


# In this order within a pass: a day is packed when it has been rolled up.
DUTIES = (
    Duty(name="ensure_ahead", number=1, every=timedelta(hours=1), at=timedelta(), run=_ensure_ahead),
    Duty(name="roll_up", number=2, every=timedelta(minutes=5), at=timedelta(), run=_roll_up),
    Duty(name="compact", number=3, every=timedelta(hours=1), at=timedelta(minutes=10), run=_compact),
    Duty(name="retain", number=4, every=timedelta(days=1), at=timedelta(hours=2, minutes=20), run=_retain),
    Duty(name="trim_ledger", number=5, every=timedelta(days=1), at=timedelta(hours=2, minutes=40), run=_trim_ledger),
    Duty(name="recover_sessions", number=6, every=timedelta(minutes=10), at=timedelta(), run=_recover_sessions),
)


class Worker:
    """One worker process; `stop` is set by the signal."""

    def __init__(
        self,
        settings: CloudSettings,
        *,
        name: str | None = None,
        duties: tuple[Duty, ...] = DUTIES,
        stop: asyncio.Event | None = None,
    ) -> None:
        self.settings = settings
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self.duties = duties
        self.stop = stop or asyncio.Event()
        self._failing: set[str] = set()

    async def run(self) -> None:
        """Pass after pass until stopped; a database that is away is waited for. Raises: StorageMismatch."""
        is_away = False
        while not self.stop.is_set():
            try:
                await self._stay()
            except AWAY as exc:
                if not is_away:
                    cause = str(exc) or type(exc).__name__
                    log.warning("the database is away", action="worker_away", cause=cause)
                is_away = True
                await self._rest(RETRY_S)
            else:
                is_away = False

    async def run_once(self) -> dict[str, str]:
        """One pass. Returns: what each duty said that was ours to do. Raises: what `AWAY` lists; StorageMismatch."""
        connection = await self._connect()
        try:
            return await self._pass(connection)
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)

    async def _stay(self) -> None:
        """Passes over one connection until stopped. Raises when it is lost."""
        connection = await self._connect()
        try:
            log.info("at work", action="worker_ready", worker=self.name)
            while not self.stop.is_set():
                await self._pass(connection)
                await self._rest(LOOK_EVERY_S)
        finally:
            connection.terminate()  # frees every lock it holds

    async def _connect(self) -> Connection:
        return await asyncpg.connect(
            self.settings.database_url.get_secret_value(),
            timeout=CONNECT_TIMEOUT_S,
            server_settings={"application_name": "oddsd-cloud worker", "timezone": "UTC"}
            | ({"role": "worker"} if self.settings.database_roles else {}),
        )

    async def _pass(self, connection: Connection) -> dict[str, str]:
        storage = await load_storage(connection, self.settings.storage_backend)
        work = Work(storage=storage, db=connection, price_days=self.settings.price_days)
        now: datetime = await connection.fetchval("select now()")
        said = {}
        for duty in self.duties:
            if self.stop.is_set():
                break
            answer = await self._do(duty, duty.slot(now), work)
            if answer is not None:
                said[duty.name] = answer
        return said

    async def _do(self, duty: Duty, slot: datetime, work: Work) -> str | None:
        """Do a duty if its slot is open and nobody is at it. A failure is told once and the slot stays open."""
        if not await work.db.fetchval("select pg_try_advisory_lock($1, $2)", LOCK_CLASS, duty.number):
            return None
        try:
            if not await work.db.fetchval(BEGIN, duty.name, slot, self.name):
                return None
            said = await duty.run(work)
            await work.db.execute(FINISH, duty.name, slot, said)
        except AWAY:
            raise  # the connection is gone, and its locks with it
        except (asyncpg.PostgresError, CloudError) as exc:
            if duty.name not in self._failing:
                log.warning("a duty failed", action="duty_failed", duty=duty.name, cause=str(exc))
            self._failing.add(duty.name)
            return None
        finally:
            if not work.db.is_closed():
                await work.db.execute("select pg_advisory_unlock($1, $2)", LOCK_CLASS, duty.number)
        if duty.name in self._failing:
            self._failing.discard(duty.name)
            log.info("a duty works again", action="duty_back", duty=duty.name)
        log.info("duty done", action="duty_done", duty=duty.name, slot=slot.isoformat(), said=said)
        return said

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stop.wait()


async def serve(settings: CloudSettings) -> None:
    """Work until SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await work(settings, stop)


async def work(settings: CloudSettings, stop: asyncio.Event) -> None:
    """Work until `stop`: the duties of storage, and beside them what subscribers are owed."""
    from cloudapi.courier import Courier

    worker, courier = Worker(settings, stop=stop), Courier(settings)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run(), name="duties")
        group.create_task(courier.run(stop), name="courier")
