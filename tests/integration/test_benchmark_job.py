"""The benchmark job over a real store: what it reads, what it writes, what it sends."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.jobs import benchmark
from agent.store import standings
from agent.store.db import Store
from agent.store.outbox import load_backlog
from agent.store.passes import load_passes
from agent.store.tx import Tx
from sync.records import BenchmarkStatus, Check, MarketStatus, Movement
from tests.conftest import ManualClock
from tests.integration.bench_house import Bench

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
async def bench(store: Store, clock: ManualClock) -> Bench:
    """An open market at 0.60, nothing predicted."""
    made = Bench(store, clock)
    await made.market(0.60)
    return made


async def test_hourly_passes_give_the_worked_example(bench, clock):
    """Predicted 0.75 at 0.60; 0.63, 0.66, then two missed hours and 0.73: gaps 0.12, 0.09, 0.02, 86 % closed."""
    await bench.predict(0.75)

    for hours, mid in [(1, 0.63), (1, 0.66), (3, 0.73)]:
        clock.forward(hours=hours)
        await bench.market(mid)
        await bench.run()

    checks = await bench.checks()
    assert [c.abs_delta for c in checks] == [0.12, 0.09, 0.02]
    assert [c.movement_direction for c in checks] == [Movement.CONVERGING] * 3
    assert [c.convergence_rate for c in checks] == [0.03, 0.03, pytest.approx(0.07 / 3)]
    assert [c.cumulative_convergence for c in checks] == [0.03, 0.06, 0.13]
    assert [c.hours_since_prediction for c in checks] == [1, 2, 5]
    assert [c.signed_move for c in checks] == [0.03, 0.06, 0.13]
    assert (checks[-1].yes_price, checks[-1].no_price) == (0.73, 0.27)


async def test_an_hour_without_a_quote_is_counted_and_bridged(bench, clock):
    """The next rate divides by the time since the last check that had a price."""
    await bench.predict(0.75)

    clock.forward(hours=1)
    await bench.market(0.63)
    await bench.run()
    clock.forward(hours=1)  # nobody looked at the book for an hour
    stale = await bench.run()
    clock.forward(hours=1)
    await bench.market(0.69)
    await bench.run()

    first, second, third = await bench.checks()
    assert second.movement_direction is Movement.STALE
    assert (second.abs_delta, second.yes_price) == (None, None)
    assert stale.counts["stale"] == 1
    assert third.convergence_rate == pytest.approx((first.abs_delta - 0.06) / 2)


async def test_a_book_that_was_seen_unchanged_is_not_stale(bench, clock):
    """Quotes are stored on change only; what counts is when somebody last looked."""
    await bench.predict(0.75)

    for _ in range(3):  # not yet an hour: the heartbeat would store it again
        clock.forward(minutes=15)
        await bench.market(0.60)
    await bench.run()

    assert [c.movement_direction for c in await bench.checks()] == [Movement.STABLE]


async def test_the_run_counts_each_kind_and_keeps_a_summary(bench, clock):
    """The status screen and the report read the pass without reading its checks."""
    await bench.predict(0.75, 0.40, 0.60)

    clock.forward(hours=1)
    await bench.market(0.66)
    result = await bench.run()

    (summary,) = await load_passes(bench.store.reader)
    assert result.state == "ok"
    counts = {name: n for name, n in result.counts.items() if n}
    assert counts == {"checks": 3, "converging": 1, "diverging": 2, "marks": 3}
    assert (summary.n_checks, summary.max_rate, summary.mean_rate) == (3, 0.06, pytest.approx(-0.02))
    assert (summary.status, summary.n_active, summary.n_paused) == (BenchmarkStatus.ACTIVE, 3, 0)


async def test_the_price_table_never_reads_the_whole_history(bench):
    """A left join of the view of newest quotes built it for every market there is: minutes in a store of a year."""
    sql = standings._BOOKS.format(markets="SELECT DISTINCT market_id FROM standings WHERE settled < 2")
    plan = [row["detail"] for row in await bench.store.reader.fetch(f"EXPLAIN QUERY PLAN {sql}")]

    assert not [step for step in plan if step.startswith(("SCAN q", "MATERIALIZE quotes"))]


async def test_checks_travel(bench, clock):
    """Sealed into the outbox in the transaction that stores them: two checks, two marks of the first hour, the pass."""
    await bench.predict(0.75, 0.40)
    before = (await load_backlog(bench.store.reader)).n_rows

    clock.forward(hours=1)
    await bench.market(0.60)
    market_rows = (await load_backlog(bench.store.reader)).n_rows - before
    await bench.run()

    assert (await load_backlog(bench.store.reader)).n_rows == before + market_rows + 2 + 2 + 1


async def test_a_resolved_market_completes_its_predictions(bench, clock):
    """One last check says so; after that the prediction is the scorer's."""
    await bench.predict(0.75)

    clock.forward(hours=1)
    await bench.market(0.99, status=MarketStatus.RESOLVED)
    await bench.run()
    clock.forward(hours=1)
    again = await bench.run()

    (check,) = await bench.checks()
    assert (check.movement_direction, check.closed, check.resolved) == (Movement.SETTLED, True, True)
    assert (check.abs_delta, check.signed_move) == (None, None)
    assert again.counts.get("checks", 0) == 0
    assert await bench.store.reader.fetch_value("SELECT state FROM predictions") == "completed"


async def test_a_closed_market_is_settled_once_and_again_when_it_resolves(bench, clock):
    """A dispute may last for weeks; a row each hour would say nothing new."""
    await bench.predict(0.75)

    for status in (MarketStatus.CLOSED, MarketStatus.CLOSED, MarketStatus.RESOLVED):
        clock.forward(hours=1)
        await bench.market(status=status)
        await bench.run()

    assert [(c.closed, c.resolved) for c in await bench.checks()] == [(True, False), (True, True)]


async def test_a_paused_prediction_is_left_alone(bench, clock):
    """The operator's pause holds."""
    await bench.predict(0.75)
    async with bench.store.write() as tx:
        await tx.execute("UPDATE predictions SET state = 'paused'")

    clock.forward(hours=1)
    result = await bench.run()

    assert result.state == "ok"
    assert await bench.checks() == []


async def test_a_pass_cut_off_in_the_middle_goes_on_without_repeating(bench, clock, monkeypatch):
    """Chunks are stretches of the record, so those that are saved are found again, even with fewer left to do."""
    monkeypatch.setattr(benchmark, "CHUNK", 2)
    await bench.predict(0.75, 0.70, 0.65, 0.55, 0.50)
    clock.forward(hours=1)
    await bench.market(0.63)
    real, calls = benchmark.save_checks, list[int]()

    async def breaks_at_the_second(tx: Tx, checks: list[Check]) -> None:
        calls.append(len(checks))
        if len(calls) == 2:
            raise ValueError("cut off")
        await real(tx, checks)

    monkeypatch.setattr(benchmark, "save_checks", breaks_at_the_second)
    first = await bench.run()
    async with bench.store.write() as tx:
        await tx.execute("UPDATE predictions SET state = 'completed' WHERE prediction_id = 'p0'")
    clock.forward(seconds=30)
    second = await bench.runner.run("benchmark", NOON + timedelta(hours=1), "recovery")

    assert (first.state, second.state) == ("failed", "ok")
    checks = await bench.checks()
    assert sorted(c.prediction_id for c in checks) == ["p0", "p1", "p2", "p3", "p4"]
    kept = await bench.store.reader.fetch("SELECT key FROM kept WHERE key LIKE 'benchmark:%'")
    assert len(kept) == len({n // 2 for n in range(1, 6)}) + 1
    assert second.counts["checks"] == 4
    (summary,) = await load_passes(bench.store.reader)
    assert summary.n_checks == 5
