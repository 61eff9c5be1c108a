"""The benchmark over HTTP: marks, scores, passes and reports as the edge worked them out."""

from datetime import timedelta

import msgspec

from sync.records import BenchmarkPass, BenchmarkReport, Exclusion, Horizon, Mark, NoQuote, Resolution, Score
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import (
    NOW,
    make_benchmark_pass,
    make_benchmark_report,
    make_mark,
    make_prediction,
    make_score,
)
from tests.integration.cloud.test_api import Replica, land


async def test_marks_and_score_of_a_prediction_are_served_as_they_landed(edge: HandEdge, replica: Replica) -> None:
    """A missing horizon is told with its reason, not left out: it stays in the denominators."""
    day = make_mark()
    missed = make_mark(
        horizon=Horizon.H1, due_at=NOW - timedelta(hours=23), missing=NoQuote.WIDE, seen_at=None, bid=None, ask=None,
        mid=None, signal=None, signed_move=None, signed_move_exec=None,
    )  # fmt: skip
    await land(edge, replica, [make_prediction(), day, missed])

    before = (await replica.get("/v1/predictions/prd-1/marks")).json()
    await land(edge, replica, [score := make_score()])
    after = (await replica.get("/v1/predictions/prd-1/marks")).json()

    assert msgspec.convert(before["data"], list[Mark]) == [missed, day]
    assert "score" not in before
    assert msgspec.convert(after["score"], Score) == score


async def test_a_mark_is_written_once(edge: HandEdge, replica: Replica) -> None:
    """The first one stays: nobody can come back with a better look."""
    await land(edge, replica, [make_prediction(), make_mark()])
    receipt = await edge.send([make_mark(mid=0.99, bid=0.98, ask=0.995, signed_move=0.57)])

    assert (receipt["inserted"], receipt["known"]) == (0, 1)
    (mark,) = (await replica.get("/v1/predictions/prd-1/marks")).json()["data"]
    assert mark["mid"] == 0.47


async def test_a_horizon_the_market_did_not_live_to_see_lands(edge: HandEdge, replica: Replica) -> None:
    """It is due in the future, which for a stamp of the edge would be a wrong clock."""
    late = make_mark(
        horizon=Horizon.H168, due_at=NOW + timedelta(days=6), missing=NoQuote.NOT_TRADING, seen_at=None, bid=None,
        ask=None, mid=None, signal=None, signed_move=None, signed_move_exec=None,
    )  # fmt: skip
    await land(edge, replica, [make_prediction(), late])

    assert len((await replica.get("/v1/predictions/prd-1/marks")).json()["data"]) == 1


async def test_a_void_market_is_served_without_a_number(edge: HandEdge, replica: Replica) -> None:
    """Counted, excluded, and never a zero."""
    void = make_score(
        resolution=Resolution.VOID, resolution_value=0.5, excluded=Exclusion.VOID, brier_score=None, log_score=None,
        market_brier_score=None, day_before_brier_score=None,
    )  # fmt: skip
    await land(edge, replica, [make_prediction(), void])

    told = (await replica.get("/v1/predictions/prd-1/marks")).json()["score"]

    assert (told["excluded"], told["resolution"]) == ("void", "void")
    assert "brier_score" not in told


async def test_passes_page_newest_first(edge: HandEdge, replica: Replica) -> None:
    """A day of them is the default page."""
    passes = [make_benchmark_pass(pass_id=f"b{n}", checked_at=NOW - timedelta(hours=n)) for n in range(5)]
    await land(edge, replica, passes)

    first = (await replica.get("/v1/benchmark/summary?limit=3")).json()
    rest = (await replica.get(f"/v1/benchmark/summary?limit=3&cursor={first['next_cursor']}")).json()

    assert msgspec.convert(first["data"] + rest["data"], list[BenchmarkPass]) == passes
    assert not rest["has_more"]


async def test_the_newest_report_of_each_experiment_is_served(edge: HandEdge, replica: Replica) -> None:
    """Reports are made again and again; a reader wants what is known now."""
    old = make_benchmark_report(made_at=NOW - timedelta(days=1), body={"n": 1})
    new = make_benchmark_report(report_id="bre-2", body={"n": 2})
    other = make_benchmark_report(report_id="bre-3", scope="experiment:coin", body={"n": 9})
    board = make_benchmark_report(report_id="bre-4", scope="leaderboard:recent", body={"entries": []})
    await land(edge, replica, [new, old, other, board])

    listed = (await replica.get("/v1/experiments")).json()["data"]
    single = (await replica.get("/v1/experiments/single_model/report")).json()
    ordered = (await replica.get("/v1/leaderboard?sort=recent")).json()

    assert msgspec.convert(listed, list[BenchmarkReport]) == [other, new]
    assert msgspec.convert(single, BenchmarkReport) == new
    assert msgspec.convert(ordered, BenchmarkReport) == board


async def test_a_part_of_the_leaderboard_is_asked_for_by_category_and_frame(edge: HandEdge, replica: Replica) -> None:
    """Each part is its own report, by whatever spelling of the category; one nobody could order is not there yet."""
    cuts = {
        "": "leaderboard:recent",
        "&category=weather": "leaderboard:recent:any:weather",
        "&frame=7d": "leaderboard:recent:7d:",
        "&category=Weather&frame=7d": "leaderboard:recent:7d:weather",
    }
    made = {
        query: make_benchmark_report(report_id=f"bre-{n}", scope=scope, body={"n": n})
        for n, (query, scope) in enumerate(cuts.items())
    }
    await land(edge, replica, list(made.values()))

    served = {query: await replica.get(f"/v1/leaderboard?sort=recent{query}") for query in cuts}
    named = await replica.get("/v1/leaderboards/recent?category=weather&frame=7d")
    absent = await replica.get("/v1/leaderboard?sort=recent&category=sports")
    refused = await replica.get("/v1/leaderboard?frame=2h")

    assert {query: msgspec.convert(answer.json(), BenchmarkReport) for query, answer in served.items()} == made
    assert msgspec.convert(named.json(), BenchmarkReport) == made["&category=Weather&frame=7d"]
    assert (absent.status_code, refused.status_code) == (404, 422)
    assert "30 independent events" in absent.json()["detail"]
