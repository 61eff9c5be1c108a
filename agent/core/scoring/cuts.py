"""Leaderboards of a part of the questions: one category, one time frame, or both.

Law: a cut is made once one of its arms has enough events to be ranked, and its numbers are shown, never tested: among
many cuts one always looks good, so nothing in one is BETTER or WORSE and nobody has a badge there. Pure. Called by the
reports job.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from agent.core.scoring.bootstrap import N_DRAWS
from agent.core.scoring.measures import MIN_EVENTS, Measure, described
from agent.core.scoring.report import entries, leaderboards, order
from agent.core.scoring.rows import Row
from agent.core.scoring.shapes import Leaderboard, LeaderboardEntry, Sort
from sync.records import Evidence, TimeFrame

Cut = tuple[str | None, TimeFrame | None]  # category in lower case, time frame; None: all of them

ENDS = (
    (timedelta(days=1), TimeFrame.DAY),
    (timedelta(days=3), TimeFrame.DAYS_3),
    (timedelta(days=7), TimeFrame.WEEK),
    (timedelta(days=30), TimeFrame.MONTH),
)


def all_boards(rows: Sequence[Row], *, now: datetime, n_draws: int = N_DRAWS) -> list[Leaderboard]:
    """Every order of all questions and of each cut; each board names the cuts that lie beside it."""
    parts = cuts(rows)
    boards = list(leaderboards(rows, now=now, n_draws=n_draws).values())
    for (category, frame), part in sorted(parts.items(), key=lambda one: (one[0][0] or "", one[0][1] or "")):
        lines = [_shown(entry) for entry in entries(part, now=now, n_draws=n_draws)]
        boards += [replace(order(lines, sort, now), category=category, frame=frame) for sort in Sort]
    return [_with_neighbours(board, parts) for board in boards]


def cuts(rows: Iterable[Row]) -> dict[Cut, list[Row]]:
    """The rows of each cut in which at least one arm can be ranked."""
    found = defaultdict[Cut, list[Row]](list)
    for row in rows:
        for cut in _cuts_of(row):
            found[cut].append(row)
    return {cut: part for cut, part in found.items() if _most_events(part) >= MIN_EVENTS}


def time_frame(row: Row) -> TimeFrame | None:
    """How far the market's end was; None where nobody knew."""
    if row.closes_at is None:
        return None
    ahead = row.closes_at - row.predicted_at
    return next((frame for most, frame in ENDS if ahead <= most), TimeFrame.LATER)


def _cuts_of(row: Row) -> Iterator[Cut]:
    category = row.category.lower() if row.category else None
    frame = time_frame(row)
    if category is not None:
        yield category, None
    if frame is not None:
        yield None, frame
    if category is not None and frame is not None:
        yield category, frame


def _most_events(rows: Iterable[Row]) -> int:
    events = defaultdict[tuple[str, str, str, bool], set[str]](set)
    for row in rows:
        events[row.experiment, row.version, row.model or "", row.saw_price].add(row.event_key)
    return max(len(keys) for keys in events.values())


def _shown(entry: LeaderboardEntry) -> LeaderboardEntry:
    state = Evidence.TOO_EARLY if entry.events < MIN_EVENTS else Evidence.SHOWN
    measures = {
        name: _untested(getattr(entry, name))
        for name in ("brier_skill", "signed_move", "closure_slope", "convergence", "confidence", "recent")
    }
    return replace(entry, state=state, badge=False, **measures)


def _untested(measure: Measure) -> Measure:
    return replace(measure, state=described(measure), p=None, corrected=False)


def _with_neighbours(board: Leaderboard, parts: Iterable[Cut]) -> Leaderboard:
    known = set(parts)
    return replace(
        board,
        categories=tuple(sorted({c for c, frame in known if c is not None and frame == board.frame})),
        frames=tuple(f for f in TimeFrame if (board.category, f) in known),
    )
