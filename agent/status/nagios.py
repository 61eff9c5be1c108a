"""The report as a monitor reads it: one line, an exit code, figures with thresholds. Pure.

Law: the level is the report's own; -w and -c can only make it worse. Form: the monitoring plug-ins' guidelines.
"""

import msgspec

from agent.status.contract import Report
from agent.status.report import status_line
from agent.status.statements import Level, worst

WORDS = {Level.OK: "OK", Level.DEGRADED: "WARNING", Level.CRITICAL: "CRITICAL"}
CODES = {Level.OK: 0, Level.DEGRADED: 1, Level.CRITICAL: 2}
UNKNOWN = 3


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the monitor gets."""

    line: str
    code: int


def verdict(report: Report, *, warn_s: float | None = None, crit_s: float | None = None) -> Verdict:
    """Judge a report.

    Args:
        warn_s: the age of the last tick from which it is a warning.
        crit_s: the same for critical.
    """
    figures = report.figures
    age_s = None if figures.last_tick is None else (report.at - figures.last_tick).total_seconds()
    level = worst((report.level, _of_age(age_s, warn_s, crit_s)))
    late = "" if level is report.level else f" (last tick {age_s:.0f} s ago)"
    perf = " ".join(
        filter(
            None,
            (
                _datum("tick_age", age_s, "s", warn_s, crit_s),
                _datum("pending_rows", figures.pending_rows),
                _datum("oldest_pending", figures.oldest_pending_age, "s"),
                _datum("batches_held", figures.batches_held),
                _datum("dead_letters", figures.dead_letters),
                _datum("markets", figures.markets_tracked),
                _datum("spent_usd", round(figures.llm_spent_usd, 6)),
                _datum("predictions", figures.predictions_active),
                _datum("buffer", figures.buffer_size, "MB"),
                _datum("skew", None if figures.clock_skew is None else figures.clock_skew / 1000, "s"),
            ),
        )
    )
    text = status_line(report).replace("|", "/")  # the sign that begins the figures
    return Verdict(line=f"ODDSD {WORDS[level]} - {text}{late} | {perf}", code=CODES[level])


def _of_age(age_s: float | None, warn_s: float | None, crit_s: float | None) -> Level:
    if age_s is None:
        return Level.OK  # the report itself says when a first tick is overdue
    if crit_s is not None and age_s >= crit_s:
        return Level.CRITICAL
    return Level.DEGRADED if warn_s is not None and age_s >= warn_s else Level.OK


def _datum(
    name: str, value: float | None, unit: str = "", warn: float | None = None, crit: float | None = None
) -> str | None:
    """One figure: 'name=value[unit];warn;crit;min'. What is not known is left out."""
    if value is None:
        return None
    limits = "" if warn is None and crit is None else f";{_plain(warn)};{_plain(crit)};0"
    return f"{name}={_plain(value)}{unit}{limits}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:f}".rstrip("0").rstrip(".") if value % 1 else f"{int(value)}"
