"""Marks and scores over a real store: written once, by the right look, whatever an operator or a market does."""

from datetime import timedelta

import msgspec
import pytest

from agent.store.outbox import load_backlog
from agent.store.score_rows import load_rows
from agent.store.standings import set_state
from sync.records import (
    BenchmarkStatus,
    Exclusion,
    FeeTerms,
    Horizon,
    MarketStatus,
    Movement,
    NoQuote,
    Resolution,
    Score,
)
from tests.conftest import ManualClock
from tests.factories import NOON
from tests.integration.bench_house import Bench

HOUR = timedelta(hours=1)


@pytest.fixture
async def bench(store, clock: ManualClock) -> Bench:
    """An open market at 0.60 that ends in a week, nothing predicted."""
    made = Bench(store, clock)
    await made.market(0.60)
    return made


async def scores(bench: Bench) -> list[Score]:
    rows = await bench.store.reader.fetch("SELECT body FROM scores ORDER BY chain_seq")
    return [msgspec.json.decode(row["body"], type=Score) for row in rows]


async def test_a_book_that_did_not_change_serves_the_horizon_too(bench, clock):
    """Quotes are stored on change; leaving out the calm markets would leave out the moves of nothing."""
    await bench.predict(0.75)
    for _ in range(3):  # not yet an hour after the last stored row: no heartbeat
        clock.forward(minutes=18)
        await bench.market(0.60)
    clock.forward(minutes=3)

    await bench.run("horizons")

    mark = (await bench.marks())[Horizon.H1]
    assert (mark.mid, mark.signed_move, mark.missing) == (0.60, 0.0, None)
    assert mark.seen_at == NOON + timedelta(minutes=54)


async def test_a_book_out_of_a_cache_is_as_old_as_the_cache_says(bench, clock):
    """Fetched within the window, made before it opened: not the price of that hour."""
    await bench.predict(0.75)
    clock.forward(minutes=52)
    await bench.market(0.63)
    async with bench.store.write() as tx:
        await tx.execute("UPDATE quotes SET age_s = 300 WHERE bid > 0.6")
        await tx.execute("UPDATE sights SET shown_at = seen_at - 300000")
    clock.forward(minutes=1)
    early = await bench.run("horizons")
    clock.forward(minutes=20)
    late = await bench.run("horizons")

    assert (early.counts["marks"], late.counts["missing"]) == (0, 1)


async def test_a_mark_is_written_once(bench, clock):
    """Later looks within the window change nothing, and the run after that asks for nothing."""
    await bench.predict(0.75)
    clock.forward(minutes=52)
    await bench.market(0.63)
    first = await bench.run("horizons")
    clock.forward(minutes=10)
    await bench.market(0.70)
    again = await bench.run("horizons")

    assert (first.counts["marks"], again.counts["marks"]) == (1, 0)
    assert (await bench.marks())[Horizon.H1].mid == 0.63


async def test_a_horizon_passed_while_we_were_away_is_missing_and_counted(bench, clock):
    """A server that slept has seen nothing; the next look is not that of an hour ago."""
    await bench.predict(0.75)
    clock.forward(hours=3)
    await bench.market(0.70)

    result = await bench.run("horizons")

    assert (result.counts["marks"], result.counts["missing"]) == (1, 1)
    assert (await bench.marks())[Horizon.H1].missing is NoQuote.MISSED


async def test_a_pause_stops_the_checks_and_not_the_marks(bench, clock):
    """An operator must not be able to choose which forecasts count."""
    await bench.predict(0.75)
    async with bench.store.write() as tx:
        assert await set_state(tx, BenchmarkStatus.PAUSED) == 1
    clock.forward(hours=1)
    await bench.market(0.66)

    result = await bench.run("benchmark")

    assert result.counts["checks"] == 0
    assert (await bench.marks())[Horizon.H1].mid == 0.66


async def test_a_closed_market_completes_its_predictions_and_freezes_close(bench, clock):
    """What came after the last hour but one is the answer arriving; the rest of the horizons is missing, not pending."""
    end = NOON + timedelta(hours=30)
    await bench.market(0.60, close_time=end)
    await bench.predict(0.75)
    for hours, mid in [(24, 0.66), (3, 0.70), (1, 0.72), (1.5, 0.95)]:
        clock.forward(hours=hours)
        await bench.market(mid, close_time=end)
        await bench.run("horizons")
    clock.forward(hours=1)
    await bench.market(close_time=end, closed_time=end, status=MarketStatus.CLOSED)
    await bench.run("benchmark")

    marks = await bench.marks()
    assert len(marks) == len(Horizon)
    assert (marks[Horizon.CLOSE].mid, marks[Horizon.H24].mid) == (0.72, 0.66)
    assert marks[Horizon.H72].missing is NoQuote.NOT_TRADING
    assert await bench.store.reader.fetch_value("SELECT state FROM predictions") == "completed"
    assert (await bench.checks())[-1].movement_direction is Movement.SETTLED
    assert (await scores(bench)) == []


async def test_a_market_resolving_between_two_checks_is_scored_and_gives_no_movement(bench, clock):
    """It was open at the last pass and decided at this one: no price in between, and none is made up."""
    await bench.predict(0.75)
    clock.forward(hours=1)
    await bench.market(0.66)
    await bench.run()
    clock.forward(minutes=50)
    await bench.market(
        0.99,
        status=MarketStatus.RESOLVED,
        resolution=Resolution.YES,
        resolution_value=1.0,
        closed_time=NOON + 1.5 * HOUR,
    )
    await bench.run("horizons")  # comes before the pass: the check must not be lost by it
    clock.forward(minutes=10)
    await bench.run()
    clock.forward(hours=1)
    again = await bench.run()

    first, last = await bench.checks()
    assert (last.movement_direction, last.closed, last.resolved, last.yes_price) == (Movement.SETTLED, True, True, None)
    (score,) = await scores(bench)
    assert score.brier_score == pytest.approx(0.0625)
    assert score.market_brier_score == pytest.approx(0.16)
    assert (again.counts["checks"], again.counts["marks"], again.counts["scores"]) == (0, 0, 0)
    assert first.yes_price == 0.66


async def test_a_void_market_is_counted_as_excluded(bench, clock):
    """It stays in the numbers of the pass, without a score."""
    await bench.predict(0.75, 0.40)
    clock.forward(hours=2)
    await bench.market(status=MarketStatus.RESOLVED, resolution=Resolution.VOID, resolution_value=0.5)
    result = await bench.run()

    assert (result.counts["scores"], result.counts["excluded"]) == (2, 2)
    assert {score.excluded for score in await scores(bench)} == {Exclusion.VOID}


async def test_a_completed_prediction_is_scored_when_its_answer_comes(bench, clock):
    """An operator's "enough" ends the hourly rows; the forecast still counts."""
    await bench.predict(0.75)
    async with bench.store.write() as tx:
        await set_state(tx, BenchmarkStatus.COMPLETED)
    clock.forward(hours=5)
    await bench.market(status=MarketStatus.RESOLVED, resolution=Resolution.NO, resolution_value=0.0)
    await bench.run("horizons")

    assert [score.brier_score for score in await scores(bench)] == [pytest.approx(0.5625)]


async def test_fees_of_the_listing_make_a_mark_executable(bench, clock):
    """Bought at 0.61, sold at 0.65, and 0.05 p (1 - p) paid at both."""
    await bench.market(0.60, fees=FeeTerms(enabled=True), category="Economics")
    await bench.predict(0.75)
    clock.forward(hours=1)
    await bench.market(0.66, fees=FeeTerms(enabled=True), category="Economics")
    await bench.run("horizons")

    mark = (await bench.marks())[Horizon.H1]
    assert mark.signed_move_exec == pytest.approx(0.04 - 0.05 * (0.61 * 0.39 + 0.65 * 0.35), abs=1e-9)


async def test_a_clock_that_went_back_writes_nothing_twice(bench, clock):
    """An hour set back repeats an hour: the mark is there, the check of that moment too."""
    await bench.predict(0.75)
    clock.forward(hours=1)
    await bench.market(0.66)
    await bench.run()
    clock.forward(minutes=-50)
    result = await bench.run()

    checks = await bench.checks()
    assert result.state == "ok"
    assert [check.convergence_rate for check in checks if check.checked_at < NOON + HOUR] == [None]
    assert result.counts["marks"] == 0


async def test_marks_and_scores_travel(bench, clock):
    """Seven marks, one score, sealed with their data."""
    await bench.predict(0.75)
    clock.forward(hours=2)
    await bench.market(status=MarketStatus.RESOLVED, resolution=Resolution.YES, resolution_value=1.0)
    before = (await load_backlog(bench.store.reader)).n_rows
    await bench.run("horizons")

    assert (await load_backlog(bench.store.reader)).n_rows == before + len(Horizon) + 1


async def test_a_pass_cut_off_between_marks_and_scores_goes_on(bench, clock, monkeypatch):
    """What is written stays, what is not is done by the next run."""
    from agent.jobs import horizons

    await bench.predict(0.75)
    clock.forward(hours=2)
    await bench.market(status=MarketStatus.RESOLVED, resolution=Resolution.YES, resolution_value=1.0)

    async def breaks(*_: object) -> int:
        raise ValueError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(horizons, "save_scores", breaks)
        first = await bench.run("horizons")
    clock.forward(minutes=15)
    second = await bench.run("horizons")

    assert (first.state, second.state) == ("failed", "ok")
    assert (second.counts["marks"], second.counts["scores"]) == (0, 1)


async def test_the_scores_rows_tell_arrival_and_censoring(bench, clock):
    """One forecast was reached in the second hour, the other never while we watched."""
    await bench.predict(0.65, 0.90)
    for mid in (0.62, 0.65, 0.63):
        clock.forward(hours=1)
        await bench.market(mid)
        await bench.run()

    reached, watched = await load_rows(bench.store.reader)
    assert (reached.hours_to_convergence, reached.hours_watched) == (2.0, 3.0)
    assert (watched.hours_to_convergence, watched.hours_watched) == (None, 3.0)
    assert (reached.latest_mid, reached.initial_mid, reached.movement) == (0.63, 0.60, Movement.DIVERGING)
    assert reached.horizons[Horizon.H1].mid == 0.62
    assert reached.event_key == "polymarket:9001"
    assert reached.resolution is None


async def test_reports_are_made_once_a_day_of_what_there_is(bench, clock):
    """Each experiment's report and one order per way to sort travel as they were worked out."""
    await bench.predict(0.75)
    clock.forward(hours=1)
    await bench.market(0.66)
    await bench.run()

    first = await bench.run("reports")
    clock.forward(minutes=5)
    again = await bench.run("reports")

    rows = await bench.store.reader.fetch("SELECT scope, body FROM benchmark_reports ORDER BY scope")
    assert first.counts["reports"] == 5
    assert again.state == "ok"
    assert [row["scope"] for row in rows] == [
        "experiment:blind", "leaderboard:brier_skill", "leaderboard:confidence", "leaderboard:convergence",
        "leaderboard:recent",
    ]  # fmt: skip
    body = msgspec.json.decode(rows[0]["body"])["body"]
    assert (body["n"], body["arms"][0]["state"]) == (1, "TOO_EARLY")
