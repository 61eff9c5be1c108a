"""The same jobs on DBOS over Postgres, for who has outgrown one machine (`pip install oddsd[dbos]`).

Every unit of work becomes a DBOS workflow named after its job and key: whoever inserts the row first does the work,
the others wait for its result. Units of a named lane (a model) are shared by all workers on the database, so what
costs money is paid for once among them; all others are a machine's own. Slots, runs and data stay in each machine's
store: its clock and its ledger work as ever, and a result is kept there in the transaction of its data.

Law: one registered workflow, which finds its work by id; a name that was given back (its machine stopped, or no longer
wants it) is None and the next number of it is free. The settings below each avoid a trap that was seen.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

import msgspec
from dbos import DBOS, DBOSConfig, Serializer, SetWorkflowID

from agent.core.instants import Clock
from agent.jobs import ledger
from agent.jobs.context import DEFAULT_LANE
from agent.jobs.ledger import Kept, Run, Trigger
from agent.jobs.runner import JobSpec, Runner, RunResult
from agent.store.db import Store

WORKFLOW = "oddsd.unit"
POLL_S = 0.2  # how often another machine's result is looked for
MOST_FORGOTTEN = 1000  # workflows deleted at a time

_runners: dict[str, "DbosRunner"] = {}  # by host: DBOS itself is one per process


class _Json(Serializer):
    """Not pickle: whoever may write to the database must not run code here."""

    def serialize(self, data: Any) -> str:
        return msgspec.json.encode(data, enc_hook=repr).decode()

    def deserialize(self, serialized_data: str) -> Any:
        return msgspec.json.decode(serialized_data)

    def name(self) -> str:
        return "oddsd_json"


@dataclass(slots=True)
class _Offer:
    """Work this process would do, for whichever way DBOS starts it."""

    work: Callable[[], Awaitable[Kept]]
    lane: str
    has_place: bool = True  # in the lane, held by who asks
    here: bool = False  # it was done by this process
    failure: Exception | None = None  # of the engine: raised where it was asked for, never recorded
    task: asyncio.Task[Kept] | None = None


@DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
async def _unit(host: str, job: str, key: str, name: str) -> Any:
    """The one workflow; None gives the name back."""
    runner = _runners.get(host) or next(iter(_runners.values()), None)
    return None if runner is None else await runner.do(job, key, name)


class DbosRunner(Runner):
    """A Runner whose units are shared. `on_dbos` starts it."""

    remember = timedelta(days=90)  # results, in the shared database; each machine's own ledger has its own rule

    def __init__(
        self,
        store: Store,
        clock: Clock,
        specs: Iterable[JobSpec],
        lanes: Mapping[str, int],
        *,
        host_id: str,
        **over: Any,
    ) -> None:
        """`over`: what else a Runner takes."""
        super().__init__(store, clock, specs, lanes, **over)
        self.host_id = host_id
        self._offers: dict[str, _Offer] = {}

    def arranged(self, keys: Collection[str], lane: str) -> Iterable[str]:
        """Each machine in an order of its own where they share: two that begin alike would claim alike."""
        return keys if lane == DEFAULT_LANE else sorted(keys, key=lambda key: crc32(f"{self.host_id} {key}".encode()))

    async def unit(self, run: Run, key: str, lane: str, work: Callable[[], Awaitable[Kept]]) -> tuple[Kept, bool]:
        """Do the unit, unless another worker does or did."""
        shared = f"{run.job}:{key}" if lane != DEFAULT_LANE else f"{self.host_id}/{run.job}:{key}"
        dead = await ledger.load_results(self.store.reader, run.job, [key])  # asked again: the old answer is no answer
        for number in itertools.count():
            name, offer = f"{shared}#{number}", _Offer(work, lane)
            self._offers[name] = offer
            try:
                told = await self._ask(run.job, key, name, offer)
            finally:
                self._offers.pop(name, None)
            if offer.failure is not None:
                raise offer.failure
            if told is None:
                continue
            kept = msgspec.convert(told, Kept)
            if offer.here or kept.error is None or key not in dead:
                return kept, offer.here
        raise AssertionError("unreachable: the numbers do not end")

    async def _ask(self, job: str, key: str, name: str, offer: _Offer) -> Any:
        async with self.lanes.place(offer.lane):
            with SetWorkflowID(name):
                handle = await DBOS.start_workflow_async(_unit, self.host_id, job, key, name)
            if (task := getattr(handle, "task", None)) is not None:  # it runs here; any other handle only looks
                try:
                    return await asyncio.shield(task)
                except asyncio.CancelledError:
                    if offer.task is not None:
                        offer.task.cancel()
                        await asyncio.wait([offer.task])  # for what is paid
                    raise
            offer.has_place = False
        return await handle.get_result(polling_interval_sec=POLL_S)

    async def do(self, job: str, key: str, name: str) -> Any:
        """The body of the workflow: what is kept, else what is offered, else None."""
        kept = (await ledger.load_results(self.store.reader, job, [key])).get(key)
        if kept is not None and kept.error is None:
            return msgspec.to_builtins(kept)
        if (offer := self._offers.get(name)) is None:
            return None
        offer.here = True
        offer.task = asyncio.create_task(self._place_and_work(offer), name=f"dbos:{name}")
        try:
            return msgspec.to_builtins(await offer.task)
        except asyncio.CancelledError:
            if offer.task.cancelled():
                return None  # whoever asked went away
            raise
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is raised again where the work was asked for
            offer.failure = exc
            return None

    async def _place_and_work(self, offer: _Offer) -> Kept:
        if offer.has_place:
            return await offer.work()
        async with self.lanes.place(offer.lane):  # DBOS began it on its own, after a restart
            return await offer.work()

    async def run(
        self,
        name: str,
        slot: datetime | None = None,
        trigger: Trigger = "timer",
        *,
        again: Collection[str] | None = None,
    ) -> RunResult:
        """As ever; the daily retention also forgets what no machine will ask for any more."""
        result = await super().run(name, slot, trigger, again=again)
        if name == "retention":
            await self.forget(self.clock() - self.remember)
        return result

    async def forget(self, before: datetime) -> int:
        """Delete what ended before then; DBOS itself keeps everything for ever. Returns how many."""
        n = 0
        while old := await DBOS.list_workflows_async(
            completed_before=before.isoformat(), status=["SUCCESS", "ERROR", "CANCELLED"],
            limit=MOST_FORGOTTEN, load_input=False, load_output=False,
        ):  # fmt: skip
            await DBOS.delete_workflows_async([one.workflow_id for one in old])
            n += len(old)
        return n

    async def take_over(self, host_id: str) -> int:
        """Free what a machine that will not come back had begun; somebody must decide that it is dead."""
        left = await DBOS.list_workflows_async(status="PENDING", executor_id=host_id, load_input=False)
        await DBOS.resume_workflows_async([one.workflow_id for one in left])
        return len(left)


@asynccontextmanager
async def on_dbos(runner: DbosRunner, url: str) -> AsyncIterator[DbosRunner]:
    """The runner at work on the Postgres at `url`; one per process, with a host_id no other machine has."""
    DBOS(config=_config(url, runner.host_id))
    _runners[runner.host_id] = runner
    try:
        DBOS.launch()  # on the loop's own thread: DBOS then runs what it recovers on this loop
        yield runner
    finally:
        del _runners[runner.host_id]
        await asyncio.to_thread(DBOS.destroy)


def _config(url: str, host_id: str) -> DBOSConfig:
    return DBOSConfig(
        name="oddsd",
        system_database_url=url,
        executor_id=host_id,  # what this machine left running is its own to recover
        application_version="oddsd-1",  # by itself a hash of the source: every edit would strand what is running
        max_executor_threads=8,  # without limit otherwise, and it becomes everybody's thread pool
        serializer=_Json(),
        log_level="WARNING",  # 73 lines at a first launch
        console_log_level="WARNING",
        sys_db_pool_size=8,
    )
