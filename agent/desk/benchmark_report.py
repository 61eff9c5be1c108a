"""An experiment's report and the leaderboard as tables of 80 columns.

Law: a number stands with its interval, what no skill would give, n and events, or it does not stand; "too early" is a
verdict like any other.
"""

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.core.scoring.measures import Measure
from agent.core.scoring.shapes import (
    ArmReport,
    ExperimentReport,
    HorizonReport,
    Leaderboard,
    LeaderboardEntry,
    ReferenceReport,
    Slice,
    Sort,
)
from sync.records import Evidence

_POINTS = 100  # moves are shown in points, hundredths of a contract
_STYLE = {Evidence.BETTER: "green", Evidence.WORSE: "red", Evidence.TOO_EARLY: "yellow"}


def render_report(report: ExperimentReport) -> RenderableType:
    """Arm by arm: never pooled."""
    head = Text(f"{report.experiment}: {report.n:,} predictions in {report.events:,} events", style="bold")
    if not report.arms:
        return Group(head, Text("nothing to report yet"))
    return Group(head, *(part for arm in report.arms for part in _arm(arm)))


def _arm(arm: ArmReport) -> Iterable[RenderableType]:
    saw = "saw the price" if arm.saw_price else "blind"
    yield Text(f"\nversion {arm.version}, {arm.model or 'no model'}, {saw}: {_word(arm.state)}", style="bold")
    left_out = ", ".join(f"{n:,} {reason}" for reason, n in arm.n_excluded.items() if n)
    counted = f"{arm.n:,} predictions, {arm.n_markets:,} markets, {arm.events:,} events, {arm.n_resolved:,} resolved"
    yield Text(f"{counted}; left out of some measure: {left_out or 'none'}")
    scores = _table("at resolution")
    for name, measure in (
        ("Brier (market beside)", arm.brier),
        ("log score", arm.log_score),
        ("market, 24 h before end", arm.market_brier_before_close),
        ("Brier skill", arm.brier_skill),
        ("direction hit", arm.hit_at_resolution),
        ("lift over price", arm.lift_at_resolution),
    ):
        _row(scores, name, measure)
    yield scores
    yield _references(arm.references)
    for horizon in arm.horizons:
        if horizon.n_due:
            yield _horizon(horizon)
    if slices := [one for one in (*arm.by_category, *arm.by_days_to_close, arm.recent) if one.n]:
        yield _slices(slices)


def _references(references: Iterable[ReferenceReport]) -> Table:
    title = "without skill, on the same rows: who does not beat these has learned nothing"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("reference", overflow="fold", max_width=25)
    for name in ("Brier", "log score", "Brier skill", "95 %", "move 24 h"):
        table.add_column(name, justify="right")
    for one in references:
        skill = one.brier_skill
        scores = _number(one.brier, 1), _number(one.log_score, 1), _number(skill.value, 1), _interval(skill, 1)
        table.add_row(one.name.replace("_", " "), *scores, _number(one.signed_move.value, _POINTS))
    return table


def _horizon(report: HorizonReport) -> Table:
    declared = "declared in advance" if report.primary else "corrected for their number"
    missing = sum(report.n_missing.values())
    table = _table(f"{report.horizon} ({declared}): {report.n_due:,} due, {missing:,} without a usable quote")
    for name, measure, scale in (
        ("signed move, points", report.signed_move, _POINTS),
        ("after spread and fees", report.signed_move_exec, _POINTS),
        ("closure slope", report.closure_slope, 1),
        ("direction hit", report.direction_hit, 1),
        ("lift", report.lift, 1),
        ("converging (descriptive)", report.converging, 1),
    ):
        _row(table, name, measure, scale)
    return table


def _slices(slices: Iterable[Slice]) -> Table:
    table = Table(title="parts: shown, never tested", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("part", overflow="fold", max_width=28)
    for name in ("n", "events", "Brier skill", "move 24 h"):
        table.add_column(name, justify="right")
    for one in slices:
        values = _number(one.brier_skill.value, 1), _number(one.signed_move.value, _POINTS)
        table.add_row(one.name, f"{one.n:,}", f"{one.events:,}", *values)
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("measure", overflow="fold", max_width=25)
    for name in ("value", "95 %", "no skill", "n", "events"):
        table.add_column(name, justify="right")
    table.add_column("verdict", no_wrap=True)
    return table


def _row(table: Table, name: str, measure: Measure, scale: float = 1) -> None:
    table.add_row(
        name,
        _number(measure.value, scale),
        _interval(measure, scale),
        _number(measure.null, scale),
        f"{measure.n:,}",
        f"{measure.events:,}",
        Text(_word(measure.state), style=_STYLE.get(measure.state, "")),
    )


_SORTED_BY = {
    Sort.BRIER_SKILL: "Brier skill against the market",
    Sort.CONVERGENCE: "convergence (descriptive: bold forecasts and quiet markets look good)",
    Sort.CONFIDENCE: "confidence: partial rank correlation with the move",
    Sort.RECENT: "signed move at 24 h, predictions of the last 30 days",
}


def render_leaderboard(board: Leaderboard) -> RenderableType:
    """One line an arm; what it is too early to rank has no rank."""
    head = Text(f"by {_SORTED_BY[board.sort]}", style="bold")
    if not board.entries:
        return Group(head, Text("nothing has been forecast yet"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("#", justify="right")
    table.add_column("experiment", overflow="fold", max_width=24)
    scale = _POINTS if board.sort is Sort.RECENT else 1
    for name in ("value", "95 %", "no skill", "n", "events"):
        table.add_column(name, justify="right")
    table.add_column("verdict", no_wrap=True)
    for entry in board.entries:
        measure = _sorted_by(entry, board.sort)
        table.add_row(
            "-" if entry.rank is None else str(entry.rank),
            _named(entry),
            _number(measure.value, scale),
            _interval(measure, scale),
            _number(measure.null, scale),
            f"{measure.n:,}",
            f"{measure.events:,}",
            Text(_word(measure.state), style=_STYLE.get(measure.state, "")),
        )
    return Group(head, table)


def _named(entry: LeaderboardEntry) -> str:
    details = [
        f"v{entry.version}",
        *([entry.model] if entry.model else []),
        *(["saw price"] if entry.saw_price else []),
    ]
    return f"{entry.experiment}\n  {', '.join(details)}"


def _sorted_by(entry: LeaderboardEntry, sort: Sort) -> Measure:
    return {
        Sort.CONVERGENCE: entry.convergence,
        Sort.CONFIDENCE: entry.confidence,
        Sort.RECENT: entry.recent,
        Sort.BRIER_SKILL: entry.brier_skill,
    }[sort]


def _interval(measure: Measure, scale: float) -> str:
    if measure.low is None or measure.high is None:
        return "-"
    return f"{_number(measure.low, scale)} {_number(measure.high, scale)}"


def _number(value: float | None, scale: float) -> str:
    """Three decimals, or two of points; a dash where there is none."""
    if value is None:
        return "-"
    return f"{scale * value:.2f}" if scale != 1 else f"{value:.3f}"


def _word(state: Evidence) -> str:
    return state.value.lower().replace("_", " ")
