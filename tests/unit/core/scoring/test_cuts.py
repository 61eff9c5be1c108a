"""Leaderboards of parts of the questions: which there are, and that nothing in one counts as evidence."""

from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from agent.core.scoring.cuts import all_boards, cuts, time_frame
from agent.core.scoring.measures import MIN_EVENTS
from agent.core.scoring.shapes import Leaderboard, Sort
from sync.records import BenchmarkReport, Evidence, TimeFrame
from tests.unit.core.scoring.made import NOON, fair_worlds, make_row

DRAWS = 200


def boards_by_scope(rows) -> dict[str, Leaderboard]:
    return {
        BenchmarkReport.leaderboard(board.sort, board.category, board.frame): board
        for board in all_boards(rows, now=NOON, n_draws=DRAWS)
    }


@pytest.mark.parametrize(
    ("days", "frame"),
    [
        (1, TimeFrame.DAY),
        (1.01, TimeFrame.DAYS_3),
        (3, TimeFrame.DAYS_3),
        (7, TimeFrame.WEEK),
        (30, TimeFrame.MONTH),
        (30.01, TimeFrame.LATER),
    ],
)
def test_a_boundary_belongs_to_the_shorter_frame(days, frame):
    """The same edges as the report's own slices, so that the two agree on every question."""
    assert time_frame(make_row(closes_at=NOON + timedelta(days=days))) is frame


def test_a_question_without_an_end_is_in_no_frame():
    """Nobody knew how far away it was; it still counts in its category."""
    rows = [make_row(n, closes_at=None) for n in range(MIN_EVENTS)]

    assert time_frame(rows[0]) is None
    assert set(cuts(rows)) == {("politics", None)}


def test_a_part_is_ordered_from_thirty_events_of_one_arm_on():
    """Two arms of 29 events each are not sixty: neither could have a rank."""
    few = [make_row(n, model=model) for n in range(MIN_EVENTS - 1) for model in ("a", "b")]
    enough = [*few, make_row(MIN_EVENTS - 1, model="a")]

    assert cuts(few) == {}
    assert set(cuts(enough)) == {("politics", None), (None, TimeFrame.MONTH), ("politics", TimeFrame.MONTH)}


def test_spelling_of_a_category_makes_no_second_part():
    """The venues write Politics and politics; a reader asks in either."""
    rows = [make_row(n, category=name, closes_at=None) for n, name in enumerate(["Politics", "POLITICS"] * 20)]

    assert {cut: len(part) for cut, part in cuts(rows).items()} == {("politics", None): 40}


def test_a_skill_in_one_category_shows_there_and_is_no_evidence():
    """Its order is by that category alone; BETTER, a badge or a p would be one of many looks."""
    sports = [replace(row, category="Sports", model="s") for row in fair_worlds(120, seed=1, knows=1.0)]
    politics = [
        replace(
            row, category="Politics", model="s", prediction_id=f"p{n}", event_key=f"p{n}", market_key=f"kalshi:P{n}"
        )
        for n, row in enumerate(fair_worlds(120, seed=2))
    ]
    plain = [replace(row, category="Sports", model="plain") for row in fair_worlds(120, seed=3)]

    boards = boards_by_scope([*sports, *politics, *plain])
    board = boards["leaderboard:recent:any:sports"]

    assert [(entry.rank, entry.model) for entry in board.entries] == [(1, "s"), (2, "plain")]
    assert board.entries[0].n == len(sports)
    assert {entry.state for entry in board.entries} == {Evidence.SHOWN}
    assert {entry.recent.state for entry in board.entries} == {Evidence.SHOWN}
    assert all(entry.recent.p is None and not entry.badge for entry in board.entries)
    assert {entry.brier_skill.state for entry in board.entries} == {Evidence.SHOWN}
    whole = {entry.brier_skill.state for entry in boards["leaderboard:recent"].entries}
    assert Evidence.SHOWN not in whole  # all of them together are judged


def test_each_board_names_the_parts_beside_it():
    """What a page offers to choose from must answer when it is chosen."""
    rows = [
        *(make_row(n) for n in range(40)),
        *(make_row(100 + n, category="Sports", closes_at=NOON + timedelta(hours=5)) for n in range(40)),
    ]

    boards = boards_by_scope(rows)

    assert boards["leaderboard:recent"].categories == ("politics", "sports")
    assert boards["leaderboard:recent"].frames == (TimeFrame.DAY, TimeFrame.MONTH)
    for board in boards.values():
        for category in board.categories:
            assert BenchmarkReport.leaderboard(board.sort, category, board.frame) in boards
        for frame in board.frames:
            assert BenchmarkReport.leaderboard(board.sort, board.category, frame) in boards
    assert len(boards) == len(Sort) * 7  # all; two categories; two frames; two of both
    assert msgspec.convert(msgspec.to_builtins(boards["leaderboard:recent:1d:sports"]), Leaderboard).frame == "1d"
