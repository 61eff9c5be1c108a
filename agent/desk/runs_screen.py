"""Draws runs for a terminal: a table of many, a timeline of one.

Law: word and symbol say the state together, never colour alone; 80 columns are enough; what came from outside (keys,
reasons) is text and never markup. Called by commands/runs.py.
"""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agent.desk.runs import RunLine, Timeline, UnitLine

MOST_UNITS = 40  # drawn; the longest and the dead ones stay, the rest is counted
BAR_COLUMNS = 24
_STYLE = {"ok": "green", "partial": "yellow", "failed": "bold red", "running": "cyan", "missed": "dim"}
_SYMBOL = {"ok": "●", "partial": "▲", "failed": "✖", "running": "…", "missed": "○"}


def draw_runs(runs: Sequence[RunLine]) -> RenderableType:
    """One line for each run, its reason below it."""
    if not runs:
        return Text("no runs yet")
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in ("run", "job", "slot", "state", "took"):
        table.add_column(column, no_wrap=True, justify="right" if column == "took" else "left")
    table.add_column("counts", ratio=1, overflow="fold")
    table.add_row(*(Text(word, style="bold") for word in ("run", "job", "slot (UTC)", "state", "took", "counts")))
    for run in runs:
        table.add_row(
            run.run_id[-8:],
            Text(run.job),
            f"{run.slot:%m-%d %H:%M}",
            _state(run),
            "" if run.duration_s is None else _span(run.duration_s),
            Text(_counts(run.counts)),
        )
        if run.reason:
            table.add_row("", "", "", "", "", Text(run.reason, style="italic"))
    return table


def draw_timeline(found: Timeline) -> RenderableType:
    """The run's head, then a bar for each unit over the run's time."""
    run, units = found.run, found.units
    head = Text.assemble(
        (run.job, "bold"), f"  slot {run.slot:%Y-%m-%d %H:%M:%S} UTC  ", _state(run),
        f"\nrun {run.run_id}  trigger {run.trigger}, attempt {run.attempt}",
        f"\nbegan {run.started_at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
        " UTC, still running" if run.duration_s is None else f" UTC, took {_span(run.duration_s)}",
    )  # fmt: skip
    if run.reason:
        head.append(f"\n{run.reason}", style="italic")
    if run.counts:
        head.append(f"\n{_counts(run.counts)}")
    if not units:
        return Group(head, Text("no units of its own", style="dim"))
    shown = _worth_drawing(units)
    parts: list[RenderableType] = [head, Padding(_bars(shown, found), (1, 0, 0, 0))]
    if hidden := len(units) - len(shown):
        parts.append(Text(f"and {hidden} shorter ones; --json has all", style="dim"))
    return Group(*parts)


def _bars(units: Sequence[UnitLine], found: Timeline) -> Table:
    begin = min(found.run.started_at, *(unit.started_at for unit in found.units))
    end = max(found.run.ended_at or found.at, *(unit.ended_at for unit in found.units))
    table = Table.grid(padding=(0, 1, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, width=BAR_COLUMNS)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(ratio=1, overflow="fold")
    for unit in units:
        dead = unit.error is not None
        tries = f" ({unit.attempts} tries)" if unit.attempts > 1 else ""
        symbol, style = ("✖", "bold red") if dead else ("●", "green")
        name = Text.assemble(unit.key, (tries, "dim"))
        if unit.error is not None:
            name.append(f"\n{'dropped' if unit.dropped else 'dead'}: {unit.error}", style="red")
        table.add_row(Text(symbol, style), Text(_bar(unit, begin, end), style), _span(unit.duration_s), name)
    return table


def _bar(unit: UnitLine, begin: datetime, end: datetime) -> str:
    """Where in the run's time the unit lies, at least one column wide."""
    whole = max((end - begin).total_seconds(), 1e-9)
    first = min(int((unit.started_at - begin).total_seconds() / whole * BAR_COLUMNS), BAR_COLUMNS - 1)
    width = max(1, round(unit.duration_s / whole * BAR_COLUMNS))
    return (" " * first + "━" * min(width, BAR_COLUMNS - first)).ljust(BAR_COLUMNS)


def _worth_drawing(units: Sequence[UnitLine]) -> Sequence[UnitLine]:
    """All where they fit; else the dead and the longest, in their order."""
    if len(units) <= MOST_UNITS:
        return units
    ranked = sorted(units, key=lambda unit: (unit.error is None, -unit.duration_s))
    keys = {unit.key for unit in ranked[:MOST_UNITS]}
    return [unit for unit in units if unit.key in keys]


def _state(run: RunLine) -> Text:
    return Text(f"{_SYMBOL[run.state]} {run.state}", style=_STYLE[run.state])


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items()) if n)


def _span(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min"
