"""What the store says, read from a real one: every number against rows put there for it."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from agent.core.instants import to_ms
from agent.status.state import Chain, JobState, State, VenueState, failure, load_state
from agent.store.db import Store
from sync.records import Pattern, Venue

NOW = datetime(2026, 3, 17, 14, 15, 43, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 17, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def store(tmp_path) -> AsyncIterator[Store]:
    async with await Store.open(tmp_path / "house.db", clock=lambda: NOW) as opened:
        yield opened


class Rows:
    """Puts rows into the store, naming only the columns a test is about; the rest is anything that fits."""

    DEFAULTS: ClassVar[dict[str, dict[str, Any]]] = {
        "markets": {
            "venue": "kalshi", "status": "open", "digest": b"d", "first_seen_at": 0, "changed_at": 0, "body": b"{}",
        },
        "rejects": {"venue": "kalshi", "path": "$", "reason": "r", "body": b"", "n_seen": 1, "first_seen_at": 0},
        "patterns": {"market_id": 1, "detector": "d", "score": 60, "body": b"{}"},
        "insights": {"market_id": 1, "pattern_id": "p", "expires_at": 0, "body": b"{}"},
        "predictions": {
            "market_id": 1, "experiment": "e", "experiment_version": "1", "model": "", "state": "active", "body": b"{}",
        },
        "job_runs": {"trigger": "timer", "state": "ok"},
        "llm_calls": {
            "purpose": "a", "model": "m", "state": "booked", "reserved_nano": 0, "prompt_hash": "", "prompt_version": "", "started_at": 0,
        },
    }  # fmt: skip

    def __init__(self, store: Store) -> None:
        self._store = store
        self._n = 0

    async def add(self, table: str, **columns: Any) -> None:
        self._n += 1
        row = self.DEFAULTS[table] | {
            key: to_ms(value) if isinstance(value, datetime) else value for key, value in columns.items()
        }
        names = ", ".join(row)
        async with self._store.write() as tx:
            await tx.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))

    async def run(self, job: str, ended_at: datetime, state: str = "ok", **columns: Any) -> None:
        """A finished run of a job."""
        ended = None if state == "running" else ended_at
        counts = json.dumps(columns.pop("counts", {}))
        await self.add(
            "job_runs", run_id=f"run-{self._n}", job=job, slot=self._n, state=state,
            started_at=ended_at - SECOND, ended_at=ended, counts=counts, **columns,
        )  # fmt: skip


@pytest.fixture
async def rows(store) -> Rows:
    made = Rows(store)
    await made.add("markets", market_key="kalshi:FIRST")
    return made


async def state_of(store: Store) -> State:
    return await load_state(store.reader, now=NOW)


def venue_of(state: State, venue: Venue) -> VenueState:
    return next(each for each in state.venues if each.venue is venue)


async def test_empty_store_knows_nothing_and_says_so(store) -> None:
    """A fresh install: zero where we counted, None where nothing was ever measured."""
    state = await state_of(store)

    assert (state.n_pending_rows, state.n_patterns_today, state.n_active_predictions) == (0, 0, 0)
    assert state.chain is state.last_pattern_at is state.last_collected_at is state.oldest_pending_at is None
    assert state.n_checks_today is state.held_reason is state.last_acked_at is None
    assert state.jobs == ()
    assert state.llm_spent_usd == 0
    assert state.buffer_bytes > 0
    assert len(state.stream_id) == 36


async def test_only_open_markets_of_the_venue_are_counted(store, rows) -> None:
    """Closed markets stay in the store for ever and are not what we track."""
    for n, (venue, status) in enumerate([("kalshi", "open"), ("kalshi", "closed"), ("polymarket", "open")]):
        await rows.add("markets", market_key=f"{venue}:{n}", venue=venue, status=status)
    state = await state_of(store)

    assert [(each.venue, each.n_open) for each in state.venues] == [(Venue.POLYMARKET, 1), (Venue.KALSHI, 2)]


async def test_rejects_count_for_a_day(store, rows) -> None:
    """Yesterday's unreadable record is history."""
    await rows.add("rejects", digest="new", last_seen_at=NOW - DAY)
    await rows.add("rejects", digest="old", last_seen_at=NOW - DAY - SECOND)

    assert venue_of(await state_of(store), Venue.KALSHI).n_rejects_day == 1


async def test_today_begins_at_midnight_utc(store, rows) -> None:
    """What happened a second before midnight is yesterday's, yet it is the newest one known."""
    for n, at in enumerate([MIDNIGHT - SECOND, MIDNIGHT, NOW - HOUR]):
        await rows.add("patterns", pattern_id=str(n), detected_at=at)
        await rows.add(
            "predictions", chain_seq=n + 1, prediction_id=str(n), run_day=str(n), predicted_at=at, record_hash=f"h{n}"
        )
    await rows.add("insights", insight_id="i", created_at=MIDNIGHT - SECOND)
    state = await state_of(store)

    assert (state.n_patterns_today, state.last_pattern_at) == (2, NOW - HOUR)
    assert (state.n_insights_today, state.last_insight_at) == (0, MIDNIGHT - SECOND)
    assert (state.n_predictions_today, state.n_active_predictions) == (2, 3)
    assert state.chain == Chain(chain_seq=3, record_hash="h2", predicted_at=NOW - HOUR)


async def test_whole_record_of_today_is_counted(store, rows) -> None:
    """On the first day no link is older than midnight."""
    for n in (1, 2):
        await rows.add(
            "predictions", chain_seq=n, prediction_id=str(n), run_day=str(n), predicted_at=NOW, record_hash="h"
        )

    assert (await state_of(store)).n_predictions_today == 2


async def test_spend_is_what_could_be_owed_today(store, rows) -> None:
    """Booked cost and open reservations count against the cap; released ones and other days do not."""
    day = {"day": "2026-03-17"}
    await rows.add("llm_calls", call_id="1", **day, state="booked", reserved_nano=9, cost_nano=1_500_000)
    await rows.add("llm_calls", call_id="2", **day, state="reserved", reserved_nano=2_000_000)
    await rows.add("llm_calls", call_id="3", **day, state="released", reserved_nano=7_000_000)
    await rows.add("llm_calls", call_id="4", day="2026-03-16", state="booked", cost_nano=9_000_000)
    state = await state_of(store)

    assert (state.llm_spent_usd, state.n_llm_calls_today) == (Decimal("0.0035"), 2)


async def test_checks_are_summed_over_todays_benchmark_runs(store, rows) -> None:
    """The benchmark says how many it made; the table itself is too large to count."""
    await rows.run("benchmark", MIDNIGHT, counts={"checks": 100})
    await rows.run("benchmark", NOW - HOUR, counts={"checks": 20})
    await rows.run("benchmark", NOW, counts={"checks": 3, "stale": 9})

    assert (await state_of(store)).n_checks_today == 23


async def test_each_job_shows_its_last_finished_run(store, rows) -> None:
    """A run under way or a missed slot must not hide that the last real run failed."""
    await rows.run("analyse", NOW - 3 * HOUR)
    await rows.run("analyse", NOW - 2 * HOUR, "failed", reason="401")
    await rows.run("analyse", NOW - HOUR, "missed", reason="was down")
    await rows.run("analyse", NOW, "running")
    await rows.run("sync", NOW, "running")
    await rows.run("predict", NOW - HOUR)
    state = await state_of(store)

    assert state.jobs == (
        JobState(job="analyse", state="failed", ended_at=NOW - 2 * HOUR, reason="401", running_since=NOW - SECOND),
        JobState(job="predict", state="ok", ended_at=NOW - HOUR),
        JobState(job="sync", running_since=NOW - SECOND),
    )


async def test_failing_venue_is_told_from_the_one_that_works(store, rows) -> None:
    """From the runs' reasons: since when, how often in a row, why, and when it was last good."""
    await rows.run("collect", NOW - 4 * HOUR, "partial", reason="polymarket: 500")
    await rows.run("collect", NOW - 3 * HOUR, counts={"kalshi_quotes": 7})
    await rows.run("collect", NOW - 2 * HOUR, "partial", reason="kalshi: HTML where JSON belongs")
    await rows.run(
        "collect", NOW - HOUR, "partial", reason="kalshi: 503 after 5 tries", counts={"polymarket_quotes": 12}
    )
    await rows.run("collect", NOW, "running")
    state = await state_of(store)

    assert venue_of(state, Venue.KALSHI) == VenueState(
        venue=Venue.KALSHI,
        n_open=1,
        n_rejects_day=0,
        last_good_at=NOW - 3 * HOUR,
        failing_since=NOW - 2 * HOUR - SECOND,
        n_failed_runs=2,
        reason="503 after 5 tries",
    )
    working = venue_of(state, Venue.POLYMARKET)
    assert (working.failing_since, working.n_quotes, working.last_good_at) == (None, 12, NOW - HOUR)
    assert state.last_collected_at == NOW - HOUR


async def test_tick_in_which_every_venue_failed_is_no_tick(store, rows) -> None:
    """The clock ticked, but nothing was collected: that is what "last tick" must not hide."""
    await rows.run("collect", NOW - HOUR)
    await rows.run("collect", NOW, "partial", reason="kalshi: 503; polymarket: 500")

    assert (await state_of(store)).last_collected_at == NOW - HOUR


@pytest.mark.parametrize(
    ("state", "reason", "kalshi"),
    [
        ("ok", None, None),
        ("partial", "kalshi: 503", "503"),
        ("partial", "polymarket: 500", None),
        ("partial", "polymarket: 500; kalshi: 503; gave up after 5 tries", "503; gave up after 5 tries"),
        ("partial", "kalshi: 503; polymarket: 500; gave up", "503"),
        ("partial", "kalshi:2026-03-17T14:15:00+00:00: disk full", "disk full"),
        ("partial", "one detector was skipped", None),
        ("failed", "timeout after 600 s", "timeout after 600 s"),
        ("failed", None, "the run failed without a reason"),
    ],
)
def test_reason_is_read_for_one_venue(state, reason, kalshi) -> None:
    """One sentence may speak of several venues; each gets its own part, a failed run speaks of all."""
    assert failure(state, reason, Venue.KALSHI) == kalshi


async def test_buffer_counts_what_waits_and_what_is_held(store) -> None:
    """Sealed rows wait until they are acknowledged; one refused for good keeps its reason."""
    for n in range(3):
        async with store.write() as tx:
            tx.emit(make_pattern(n), make_pattern(n + 10))
    async with store.write() as tx:
        await tx.execute("UPDATE batches SET acked_at = ? WHERE lo = 1", (to_ms(NOW - SECOND),))
        await tx.execute("UPDATE batches SET held_reason = '22003: out of range' WHERE lo = 3")
    state = await state_of(store)

    assert (state.n_pending_rows, state.n_pending_batches, state.n_held_batches) == (4, 2, 1)
    assert state.held_reason == "22003: out of range"
    assert (state.oldest_pending_at, state.last_acked_at) == (NOW, NOW - SECOND)


def make_pattern(n: int) -> Pattern:
    return Pattern(pattern_id=str(n), market_key="kalshi:FIRST", detector="d", score=60, evidence={}, detected_at=NOW)
