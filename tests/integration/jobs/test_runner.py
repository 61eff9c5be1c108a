"""Runs and units against a real store: what is kept, what is tried again, what stops what."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from agent.errors import StoreBusy, StoreError, UnitDead, UnknownJob, VenueRejected, VenueUnavailable
from agent.jobs.context import CHUNK, TRIES, Lanes, RunContext, Unit
from agent.jobs.ledger import load_kept, load_runs
from agent.store.db import Store
from agent.store.tx import Tx
from tests.integration.jobs.conftest import broken_disk

SLOT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
async def table(store: Store) -> Store:
    """The store with a table for what units save."""
    async with store.write() as tx:
        await tx.execute("CREATE TABLE paid (key TEXT NOT NULL, n INTEGER NOT NULL)")
    return store


def paid(key: str, n: int = 1) -> Unit:
    """A unit that saves one row."""

    async def save(tx: Tx) -> None:
        await tx.execute("INSERT INTO paid VALUES (?, ?)", (key, n))

    return Unit(n, save)


async def test_a_run_is_recorded_with_its_counts(store, clock, make_runner):
    """The timeline is read from the ledger, so the ledger must know how each run went."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        ctx.count(markets=2)
        ctx.count(markets=3, rejects=1)
        clock.forward(seconds=7)

    result = await make_runner(job).run("job", SLOT)

    (run,) = await load_runs(store.reader, "job")
    assert (run.state, run.counts, run.slot, run.trigger) == ("ok", {"markets": 5, "rejects": 1}, SLOT, "timer")
    assert (result.run_id, result.state, result.duration_s) == (run.run_id, "ok", 7.0)


async def test_a_slot_that_went_well_is_not_run_again(store, make_runner):
    """A clock that went back asks for it again and gets the old result."""
    begun = []

    async def job(ctx: RunContext, slot: datetime) -> None:
        begun.append(slot)

    runner = make_runner(job)
    first = await runner.run("job", SLOT)
    second = await runner.run("job", SLOT)

    assert begun == [SLOT]
    assert second.run_id == first.run_id


async def test_a_failed_run_begun_again_keeps_what_it_has_paid_for(table, make_runner):
    """The second attempt finds the finished units and asks only for the rest."""
    asked, broken = [], True

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask(key: str) -> Unit:
            asked.append(key)
            if key == "c" and broken:
                raise ValueError("a bug")
            return paid(key)

        for key in "abc":
            await ctx.step(key, lambda key=key: ask(key))

    runner = make_runner(job)
    first = await runner.run("job", SLOT)
    broken = False
    second = await runner.run("job", SLOT, "hand")

    assert (first.state, second.state, second.run_id) == ("failed", "ok", first.run_id)
    assert asked == ["a", "b", "c", "c"]
    assert [tuple(r) for r in await table.reader.fetch("SELECT key, n FROM paid")] == [("a", 1), ("b", 1), ("c", 1)]
    assert (await load_runs(table.reader))[0].attempt == 2


async def test_a_timer_does_not_begin_a_failed_slot_again(make_runner):
    """Only a person or the recovery does: a clock that went back must not re-run anything."""
    begun = []

    async def job(ctx: RunContext, slot: datetime) -> None:
        begun.append(slot)
        raise ValueError("a bug")

    runner = make_runner(job)
    await runner.run("job", SLOT)
    result = await runner.run("job", SLOT)

    assert (len(begun), result.state) == (1, "failed")


async def test_a_kept_value_reads_the_same_fresh_and_kept(make_runner):
    """A job that works on the first run and breaks on the second would be the worst kind of bug."""
    seen = []

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask() -> Unit:
            return Unit({"at": SLOT, "pair": (1, 2)})

        seen.append(await ctx.step("key", ask))

    runner = make_runner(job)
    await runner.run("job", trigger="hand")
    await runner.run("job", trigger="hand")

    assert seen == [{"at": "2026-11-21T12:00:00Z", "pair": [1, 2]}] * 2


async def test_another_key_is_another_question(make_runner):
    """Prompt and model version belong to the key: a changed prompt must not get the old answer."""
    asked = []

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask(version: str) -> Unit:
            asked.append(version)
            return Unit(version)

        version = "v1" if not asked else "v2"
        assert await ctx.step(f"predict:{version}", lambda: ask(version)) == version

    runner = make_runner(job)
    await runner.run("job", trigger="hand")
    await runner.run("job", trigger="hand")

    assert asked == ["v1", "v2"]


async def test_data_and_kept_row_are_one_transaction(table, make_runner):
    """A save that breaks leaves neither half; the unit is asked for again, not believed done."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask() -> Unit:
            async def save(tx: Tx) -> None:
                await tx.execute("INSERT INTO paid VALUES ('x', 1)")
                raise ValueError("a bug after the insert")

            return Unit(1, save)

        await ctx.step("x", ask)

    result = await make_runner(job).run("job", SLOT)

    assert result.state == "failed"
    assert await table.reader.fetch_value("SELECT count(*) FROM paid") == 0
    assert await load_kept(table.reader, result.run_id) == []


async def test_units_that_save_at_once_do_not_slip_into_each_others_transaction(table, make_runner):
    """Two coroutines on one connection once did: a rollback here took rows from there."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask(n: int) -> Unit:
            async def save(tx: Tx) -> None:
                await tx.execute("INSERT INTO paid VALUES (?, ?)", (str(n), n))
                await asyncio.sleep(0)
                if n % 10 == 0:
                    raise VenueRejected(f"unit {n}")

            return Unit(n, save)

        for n in range(100):
            try:
                await ctx.map([n, n + 1000], key=str, fn=ask, lane="wide")
            except VenueRejected:
                ctx.count(broken=1)

    result = await make_runner(job, lanes={"wide": 32}).run("job", SLOT)

    kept = {k.key for k in await load_kept(table.reader, result.run_id)}
    stored = {row["key"] for row in await table.reader.fetch("SELECT key FROM paid")}
    assert result.counts == {"broken": 10}
    assert stored == kept
    assert {str(n) for n in range(100) if n % 10} <= stored


async def test_an_error_that_may_pass_is_tried_again(make_runner):
    """One 503 in the night is not worth a dead unit."""
    tries = 0

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask() -> Unit:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise VenueUnavailable("503")
            return Unit("here")

        assert await ctx.step("key", ask) == "here"

    result = await make_runner(job).run("job", SLOT)

    assert (result.state, tries) == ("ok", 3)


@pytest.mark.parametrize(
    ("error", "tries"), [(VenueUnavailable("503"), TRIES), (TimeoutError(), TRIES), (VenueRejected("404"), 1)]
)
async def test_a_dead_unit_is_kept_with_its_reason_and_its_neighbours_live(store, make_runner, error, tries):
    """The last try, or an error that will not pass, is a recorded failure; the run is partial and says why."""
    asked = []

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask(key: str) -> Unit:
            asked.append(key)
            if key == "bad":
                raise error
            return Unit(key)

        outcomes = await ctx.map(["bad", "good"], key=str, fn=ask)
        assert [(o.key, o.value, o.error is None) for o in outcomes] == [("bad", None, False), ("good", "good", True)]

    result = await make_runner(job).run("job", SLOT)

    reason = str(error) or "no answer in time"
    kept = {k.key: k for k in await load_kept(store.reader, result.run_id)}
    assert (result.state, result.reason) == ("partial", f"bad: {reason}")
    assert asked.count("bad") == kept["bad"].attempts == tries
    assert (kept["bad"].error, kept["good"].error) == (reason, None)


async def test_a_dead_unit_is_asked_again_only_when_a_person_asks(make_runner):
    """The timer would pay for the same refusal every quarter hour."""
    asked = []

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask() -> Unit:
            asked.append(ctx.slot)
            if len(asked) < 2:
                raise VenueRejected("404")
            return Unit("here")

        await ctx.step("key", ask)

    runner = make_runner(job)
    states = [(await runner.run("job", SLOT.replace(hour=hour), by)).state for hour, by in
              [(1, "timer"), (2, "timer"), (3, "hand"), (4, "timer")]]  # fmt: skip

    assert states == ["failed", "failed", "ok", "ok"]
    assert len(asked) == 2


async def test_a_step_that_died_raises_in_the_job_and_fails_the_run(make_runner):
    """A job that cannot go on without its first step need not check for it."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask() -> Unit:
            raise VenueRejected("market list: 404")

        with pytest.raises(UnitDead, match="market list: 404"):
            await ctx.step("list", ask)
        await ctx.step("list", ask)

    result = await make_runner(job).run("job", SLOT)

    assert result.state == "failed"
    assert "market list: 404" in (result.reason or "")


async def test_items_of_one_key_are_one_unit(make_runner):
    """Paying twice within one map would be as bad as paying twice across runs."""
    asked = []

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask(item: tuple[str, int]) -> Unit:
            asked.append(item)
            return Unit(item[1])

        outcomes = await ctx.map([("a", 1), ("b", 2), ("a", 3)], key=lambda item: item[0], fn=ask)
        assert [outcome.value for outcome in outcomes] == [1, 2, 1]

    result = await make_runner(job).run("job", SLOT)

    assert result.state == "ok"
    assert sorted(asked) == [("a", 1), ("b", 2)]


async def test_a_map_takes_its_items_in_chunks(make_runner):
    """Ten thousand tasks at once hold the loop for 52 ms; five hundred do not."""
    drawn, most_ahead = 0, 0

    async def job(ctx: RunContext, slot: datetime) -> None:
        done = 0

        def items():
            nonlocal drawn
            for n in range(2 * CHUNK + 10):
                drawn += 1
                yield n

        async def ask(n: int) -> Unit:
            nonlocal done, most_ahead
            most_ahead = max(most_ahead, drawn - done)
            done += 1
            return Unit(n)

        outcomes = await ctx.map(items(), key=str, fn=ask, lane="wide")
        assert [outcome.value for outcome in outcomes] == list(range(2 * CHUNK + 10))

    result = await make_runner(job, lanes={"wide": 32}).run("job", SLOT)

    assert result.state == "ok"
    assert most_ahead == CHUNK


async def test_a_lane_bounds_what_runs_at_once(make_runner):
    """A model's limit is kept exactly, and so is the limit over all lanes."""
    running, full = {"narrow": 0, "other": 0}, asyncio.Event()
    most = {"narrow": 0, "sum": 0}

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask(lane: str) -> Unit:
            running[lane] += 1
            most["narrow"] = max(most["narrow"], running["narrow"])
            most["sum"] = max(most["sum"], sum(running.values()))
            if most["sum"] == 7:
                full.set()
            await full.wait()  # nobody leaves before all places are taken,
            await asyncio.sleep(0)  # nor before one too many had its chance
            running[lane] -= 1
            return Unit(None)

        async with asyncio.TaskGroup() as group:
            for lane in ("narrow", "other"):
                keys = [f"{lane}:{n}" for n in range(20)]
                group.create_task(ctx.map(keys, key=str, fn=lambda _, lane=lane: ask(lane), lane=lane))

    result = await make_runner(job, lanes={"narrow": 2, "other": 10, "all": 7}).run("job", SLOT)

    assert result.state == "ok"
    assert most == {"narrow": 2, "sum": 7}


async def test_a_unit_may_not_start_units(make_runner):
    """It would wait for a place in the lane it occupies itself: a hang, not an error."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def inner() -> Unit:
            return Unit(1)

        async def outer() -> Unit:
            return Unit(await ctx.step("inner", inner))

        await ctx.step("outer", outer)

    result = await make_runner(job, lanes={"default": 1}).run("job", SLOT)

    assert result.state == "failed"
    assert "unit outer starts units of its own" in (result.reason or "")


async def test_a_bug_fails_its_run_with_the_traceback_in_the_log(make_runner):
    """One job's mistake must not take the daemon with it, and must not go unseen."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        ctx.count(markets=1)
        raise KeyError("price")

    with capture_logs() as logs:
        result = await make_runner(job).run("job", SLOT)

    assert (result.state, result.counts) == ("failed", {"markets": 1})
    assert result.reason == "KeyError: 'price' (a bug: the log has the traceback)"
    assert [line["exc_info"] for line in logs if line.get("action") == "job_raised"] == [True]


async def test_a_bug_in_one_unit_fails_the_run_and_keeps_what_was_done(store, make_runner):
    """The finished neighbours were paid for."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask(key: str) -> Unit:
            if key == "bug":
                raise TypeError("a bug")
            return Unit(key)

        await ctx.step("before", lambda: ask("before"))
        await ctx.map(["bug"], key=str, fn=ask)

    result = await make_runner(job).run("job", SLOT)

    assert (result.state, result.reason) == ("failed", "TypeError: a bug (a bug: the log has the traceback)")
    assert [k.key for k in await load_kept(store.reader, result.run_id)] == ["before"]


async def test_a_fault_of_the_store_leaves_the_runner(store, make_runner):
    """Without its store the daemon can record nothing: it must end and be started again."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask(n: int) -> Unit:
            raise broken_disk()

        await ctx.map([1], key=str, fn=ask)

    with pytest.raises(StoreError, match="disk I/O error"):
        await make_runner(job).run("job", SLOT)
    assert (await load_runs(store.reader))[0].state == "running"


async def test_a_broken_constraint_is_the_jobs_fault(table, make_runner):
    """A daemon that died of it would die again at each recovery."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask() -> Unit:
            async def save(tx: Tx) -> None:
                await tx.execute("INSERT INTO paid VALUES (NULL, 1)")

            return Unit(1, save)

        await ctx.step("x", ask)

    result = await make_runner(job).run("job", SLOT)

    assert result.state == "failed"
    assert "NOT NULL" in (result.reason or "")


async def test_a_rule_of_our_own_that_a_job_breaks_is_the_jobs_fault(make_runner):
    """The store works; only this job asked it for something that cannot be."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        raise StoreError("prediction p1: its market is not in the store")

    result = await make_runner(job).run("job", SLOT)

    assert (result.state, result.reason) == ("failed", "prediction p1: its market is not in the store")


async def test_an_answer_already_paid_is_saved_when_the_file_is_held_by_another(table, make_runner):
    """Only the transaction is tried again, never the call."""

    class HeldStore:
        """The store, its file held by another process for the first two writes of an answer."""

        def __init__(self) -> None:
            self.refusals = 0

        def __getattr__(self, name: str):
            return getattr(table, name)

        @asynccontextmanager
        async def write(self) -> AsyncIterator[Tx]:
            if asked and self.refusals < 2:
                self.refusals += 1
                raise StoreBusy("another process holds the file")
            async with table.write() as tx:
                yield tx

    asked, held = [], HeldStore()

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask() -> Unit:
            asked.append("x")
            return paid("x")

        await ctx.step("x", ask)

    result = await make_runner(job, store=held).run("job", SLOT)

    assert (result.state, asked, held.refusals) == ("ok", ["x"], 2)
    assert await table.reader.fetch_value("SELECT count(*) FROM paid") == 1


async def test_another_process_that_holds_the_file_only_delays(table, make_runner):
    """With too short a timeout units were left behind as running."""
    holder = sqlite3.connect(table.path, isolation_level=None, check_same_thread=False)

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask(n: int) -> Unit:
            if n == 0:
                holder.execute("BEGIN IMMEDIATE")
                asyncio.get_running_loop().call_later(0.2, holder.execute, "COMMIT")
            return paid(str(n))

        await ctx.map(range(8), key=str, fn=ask)

    with closing(holder):
        result = await make_runner(job).run("job", SLOT)

    assert result.state == "ok"
    assert await table.reader.fetch_value("SELECT count(*) FROM paid") == 8


async def test_a_job_never_runs_beside_itself(make_runner):
    """A request by hand waits for the run under way, then runs."""
    order, entered, leave = [], asyncio.Event(), asyncio.Event()

    async def job(ctx: RunContext, slot: datetime) -> None:
        order.append("begin")
        entered.set()
        await leave.wait()
        order.append("end")

    runner = make_runner(job)
    timer = asyncio.create_task(runner.run("job", SLOT))
    await entered.wait()
    assert runner.busy("job")
    assert runner.running["job"].slot == SLOT
    hand = asyncio.create_task(runner.run("job", trigger="hand"))
    leave.set()
    first, second = await timer, await hand

    assert order == ["begin", "end", "begin", "end"]
    assert first.run_id != second.run_id
    assert not runner.running


async def test_a_job_over_its_limit_is_stopped_and_failed(make_runner):
    """A call that hangs must not hold its job's lock for ever."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        await asyncio.Event().wait()

    result = await make_runner(job, timeout_s=0.01).run("job", SLOT)

    assert (result.state, result.reason) == ("failed", "stopped after 0.01 s, its limit")


async def test_a_unit_over_its_limit_is_tried_again(make_runner):
    """A hung try costs its own limit, not the run."""
    tries = []

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask() -> Unit:
            tries.append(1)
            if len(tries) == 1:
                await asyncio.Event().wait()
            return Unit("here")

        assert await ctx.step("key", ask) == "here"

    result = await make_runner(job, unit_timeout_s=0.01).run("job", SLOT)

    assert (result.state, len(tries)) == ("ok", 2)


async def test_a_cancelled_run_stays_running_and_passes_the_cancellation_on(store, make_runner):
    """Shutdown is not a failure: the next start recovers the run."""
    entered = asyncio.Event()

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask() -> Unit:
            entered.set()
            await asyncio.Event().wait()
            return Unit(None)

        await ctx.step("key", ask)

    task = asyncio.create_task(make_runner(job).run("job", SLOT))
    await entered.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await load_runs(store.reader))[0].state == "running"


async def test_an_answer_that_has_arrived_is_kept_through_a_cancellation(table, make_runner):
    """It is paid; stopping the daemon at that moment must not throw it away."""
    saving, go_on = asyncio.Event(), asyncio.Event()

    async def job(ctx: RunContext, slot: datetime) -> None:
        async def ask() -> Unit:
            async def save(tx: Tx) -> None:
                saving.set()
                await go_on.wait()
                await tx.execute("INSERT INTO paid VALUES ('x', 1)")

            return Unit(1, save)

        await ctx.step("x", ask)

    task = asyncio.create_task(make_runner(job).run("job", SLOT))
    await saving.wait()
    task.cancel()
    await asyncio.sleep(0)  # the cancellation reaches the unit before the save goes on
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    run = (await load_runs(table.reader))[0]
    assert [k.key for k in await load_kept(table.reader, run.run_id)] == ["x"]
    assert await table.reader.fetch_value("SELECT count(*) FROM paid") == 1


async def test_the_reason_of_a_run_stays_readable(make_runner):
    """Ten thousand dead units are a number, not a page."""

    async def job(ctx: RunContext, slot: datetime) -> None:
        for n in range(100):
            ctx.partial(f"unit {n % 10}")

    result = await make_runner(job).run("job", SLOT)

    assert result.reason == "unit 0; unit 1; unit 2; unit 3; unit 4; and 5 more"


async def test_an_unknown_job_is_refused_with_the_names_that_exist(make_runner):
    """A typing error in a command deserves an answer, not a traceback."""

    async def job(ctx: RunContext, slot: datetime) -> None: ...

    with pytest.raises(UnknownJob, match="'colect'") as refused:
        await make_runner(job).run("colect")
    assert refused.value.advice == "the jobs are: job"


async def test_a_rate_spreads_what_begins(make_runner, store, clock):
    """A lane with a rate begins its units evenly, however many places it has."""
    began = list[float]()

    async def ask(n: int) -> Unit:
        began.append(asyncio.get_running_loop().time())
        return Unit(n)

    async def job(ctx: RunContext, slot: datetime) -> None:
        await ctx.map(range(5), key=str, fn=ask, lane="model")

    runner = make_runner(job)
    runner.lanes = Lanes({}, {"model": 1200})
    await runner.run("job")

    assert began[-1] - began[0] >= 4 * 0.05 * 0.9  # 1,200 a minute are 50 ms apart
