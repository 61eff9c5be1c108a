"""The ledger's own rows: begin, keep, miss, forget."""

from datetime import UTC, datetime, timedelta

from agent.jobs import ledger
from agent.jobs.ledger import PRUNED_AT_ONCE, Kept, load_kept, load_last_slot, load_results, load_runs, prune

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


async def run_at(store, slot, *, job="job", trigger="timer", state="ok"):
    """A finished run with one kept result named after its slot."""
    async with store.write() as tx:
        run, _ = await ledger.begin(tx, job, slot, trigger, now=slot)
        await ledger.keep(tx, run, Kept(
            key=f"{slot}", run_id=run.run_id, value=1, error=None, attempts=1, started_at=slot, ended_at=slot,
        ))  # fmt: skip
        await tx.execute("UPDATE job_runs SET state = ? WHERE run_id = ?", (state, run.run_id))
    return run


async def test_two_requests_in_one_millisecond_are_two_runs(store):
    """A slot by hand is the moment of asking; the second takes the next free millisecond."""
    async with store.write() as tx:
        first, began_first = await ledger.begin(tx, "job", None, "hand", now=NOON)
        second, began_second = await ledger.begin(tx, "job", None, "hand", now=NOON)

    assert began_first
    assert began_second
    assert second.slot - first.slot == timedelta(milliseconds=1)


async def test_a_running_slot_belongs_to_its_process(store):
    """Only the recovery, which knows that the process is dead, takes it."""
    async with store.write() as tx:
        run, _ = await ledger.begin(tx, "job", NOON, "timer", now=NOON)
        for trigger in ("timer", "hand", "once"):
            assert await ledger.begin(tx, "job", NOON, trigger, now=NOON) == (run, False)
        recovered, ours = await ledger.begin(tx, "job", NOON, "recovery", now=NOON)

    assert (ours, recovered.attempt) == (True, 2)


async def test_a_missed_slot_is_free(store):
    """It never ran, so running it now is the first attempt. What is written down of its stretch stays."""
    async with store.write() as tx:
        await ledger.save_missed(tx, "job", NOON, n_slots=3, reason="asleep", now=NOON)
        run, ours = await ledger.begin(tx, "job", NOON, "timer", now=NOON)
        await ledger.save_missed(tx, "job", NOON, n_slots=9, reason="asleep again", now=NOON)

    assert (ours, run.attempt, run.state, run.reason) == (True, 1, "running", None)
    assert {run.reason for run in await load_runs(store.reader)} == {None, "asleep", "asleep again"}


async def test_a_first_look_counts_until_a_slot_does_and_only_an_earlier_one_replaces_it(store):
    """A clock that was ahead when it first looked must not forgive what came before."""
    async with store.write() as tx:
        await ledger.save_first_look(tx, "job", NOON + timedelta(days=900))
        assert await load_last_slot(store.reader, "job", NOON) is None
        await ledger.save_first_look(tx, "job", NOON)
        await ledger.save_first_look(tx, "job", NOON + timedelta(hours=1))

    assert await load_last_slot(store.reader, "job", NOON + timedelta(hours=1)) == NOON
    assert await load_last_slot(store.reader, "other", NOON + timedelta(hours=1)) is None
    await run_at(store, NOON + timedelta(minutes=15))
    assert await load_last_slot(store.reader, "job", NOON + timedelta(hours=1)) == NOON + timedelta(minutes=15)


async def test_the_last_slot_is_the_timers_and_not_in_the_future(store):
    """A request by hand is no slot, and a clock that was wrong must not count."""
    await run_at(store, NOON)
    await run_at(store, NOON + timedelta(minutes=3), trigger="hand")
    await run_at(store, NOON + timedelta(days=3650))

    assert await load_last_slot(store.reader, "job", NOON + timedelta(hours=1)) == NOON


async def test_results_are_found_by_job_and_key(store):
    """Two jobs may use the same word for different work."""
    await run_at(store, NOON)
    await run_at(store, NOON, job="other")

    found = await load_results(store.reader, "job", [f"{NOON}", "unknown"])

    assert list(found) == [f"{NOON}"]
    assert found[f"{NOON}"].value == 1


async def test_the_timeline_is_newest_first(store):
    """Whoever looks wants to know what happened last."""
    for hour in (1, 3, 2):
        await run_at(store, NOON + timedelta(hours=hour))

    assert [run.slot.hour for run in await load_runs(store.reader, limit=2)] == [15, 14]


async def test_prune_forgets_old_runs_with_their_results_but_never_the_last_slot(store):
    """Without its last slot a job would look like one that never ran, and run at once."""
    old = [await run_at(store, NOON + timedelta(days=day)) for day in range(3)]
    hand = await run_at(store, NOON + timedelta(days=2, minutes=1), trigger="hand")
    running = await run_at(store, NOON, job="other", state="running")
    other = await run_at(store, NOON + timedelta(hours=1), job="other")

    async with store.write() as tx:
        n_gone = await prune(tx, older_than=timedelta(days=90), now=NOON + timedelta(days=200))

    assert n_gone == 3
    assert {run.run_id for run in await load_runs(store.reader)} == {old[2].run_id, running.run_id, other.run_id}
    assert await load_kept(store.reader, old[0].run_id) == []
    assert await load_kept(store.reader, hand.run_id) == []
    assert len(await load_kept(store.reader, old[2].run_id)) == 1


async def test_a_year_of_runs_is_forgotten_in_small_transactions(store):
    """Retention that was off for long must not hold the writer while a collect waits for it."""
    for hour in range(2 * PRUNED_AT_ONCE + 2):
        await run_at(store, NOON + timedelta(hours=hour))

    gone = list[int]()
    while not gone or gone[-1]:
        async with store.write() as tx:
            gone.append(await prune(tx, older_than=timedelta(days=90), now=NOON + timedelta(days=200)))

    assert gone == [PRUNED_AT_ONCE, PRUNED_AT_ONCE, 1, 0]
