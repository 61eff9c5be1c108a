"""Where the benchmark stands, on a screen of 80 columns."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.desk.benchmark import BenchmarkState
from sync.records import BenchmarkPass, Check


def check_line(check: Check) -> str:
    """One check in words; a number that is missing is not there."""
    price = "no usable quote" if check.yes_price is None else f"market {check.yes_price:.3f}"
    parts = [f"{check.prediction_id}  {check.movement_direction}", f"said {check.predicted_probability:.3f}, {price}"]
    if check.cumulative_convergence is not None:
        parts.append(f"closed {100 * check.cumulative_convergence:+.1f} points in {check.hours_since_prediction:.1f} h")
    if check.convergence_rate is not None:
        parts.append(f"{100 * check.convergence_rate:+.2f} points/h")
    return ", ".join(parts)


def render_state(state: BenchmarkState) -> RenderableType:
    """Counts, the last pass, and each experiment."""
    standing = f"{state.n_active:,} active, {state.n_paused:,} paused, {state.n_completed:,} completed"
    head = Text(f"benchmark {state.status}: {standing}")
    last = Text("no pass yet") if state.last is None else _pass(state.last)
    if not state.experiments:
        return Group(head, last, Text("nothing has been forecast yet"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("experiment", overflow="fold")
    for name in ("active", "paused", "completed", "scored", "excluded"):
        table.add_column(name, justify="right")
    for one in state.experiments:
        numbers = (one.n_active, one.n_paused, one.n_completed, one.n_scored, one.n_excluded)
        table.add_row(one.experiment, *(f"{n:,}" for n in numbers))
    return Group(head, last, table)


def _pass(one: BenchmarkPass) -> Text:
    words = {
        "converging": one.n_converging, "diverging": one.n_diverging, "stable": one.n_stable,
        "overshot": one.n_overshot, "stale": one.n_stale, "settled": one.n_settled,
    }  # fmt: skip
    said = ", ".join(f"{n:,} {word}" for word, n in words.items() if n) or "nothing to check"
    lines = [f"last pass {one.checked_at:%Y-%m-%d %H:%M} UTC: {said} (descriptive, no evidence of skill)"]
    if one.mean_rate is not None and one.max_rate is not None:
        rates = f"rate {100 * one.mean_rate:+.2f} points/h on average, {100 * one.max_rate:+.2f} at most"
        share = one.convergence_percentage
        lines.append(rates + ("" if share is None else f"; median {share:+.0f} % of gaps of 5 points and more closed"))
    lines.append(f"{one.n_marks:,} horizons read, {one.n_scores:,} scored, {one.n_excluded:,} of them excluded")
    return Text("\n".join(lines))
