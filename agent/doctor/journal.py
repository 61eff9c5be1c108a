"""What the last day of the daemon's log says, read from systemd's journal: how much it writes, and clock jumps.

Law: a journal that cannot be read, or has no line of ours, is no quiet day: that is said as "not recorded".
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agent.doctor.findings import Finding, good, skipped, unknown, warning

_NAMES = (("D29", "log rate"), ("D30", "clock jumps"))
_COMMAND = (
    "journalctl", "-u", "oddsd.service", "--since", "-24h", "-o", "cat", "-q", "--no-pager", "-n", "200000",
)  # fmt: skip
_LIMIT_S = 20.0
_MOST_LINES = 50_000  # a day; info writes a few for each unit of work, debug many


class _Line(msgspec.Struct, frozen=True):
    action: str | None = None
    jumped_s: float | None = None


def journal() -> list[Finding]:
    """D29, D30."""
    if shutil.which("journalctl") is None or not Path("/run/systemd/system").is_dir():
        return [skipped(id_, name, "not recorded: systemd's journal is not here") for id_, name in _NAMES]
    try:
        done = subprocess.run(  # noqa: S603 - ours
            _COMMAND, capture_output=True, encoding="utf-8", errors="replace", timeout=_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        fix = "run journalctl -u oddsd by hand"
        return [unknown(id_, name, f"not recorded: {type(exc).__name__}", fix) for id_, name in _NAMES]
    return read(done.stdout.splitlines())


def read(lines: Sequence[str]) -> list[Finding]:
    """What the lines of one day tell. Pure."""
    if not lines:
        text, fix = "not recorded: no line of the last day can be read", "join the group systemd-journal, or use sudo"
        return [unknown(id_, name, text, fix) for id_, name in _NAMES]
    return [_rate(len(lines)), _jumps(lines)]


def _rate(n_lines: int) -> Finding:
    text = f"{n_lines:,} lines in the last day"
    if n_lines > _MOST_LINES:
        return warning("D29", "log rate", text, 'log_level = "info", and see what repeats: journalctl -u oddsd')
    return good("D29", "log rate", text)


def _jumps(lines: Sequence[str]) -> Finding:
    jumps = [line.jumped_s for line in map(_decoded, lines) if line.action == "clock_jumped"]
    if not jumps:
        return good("D30", "clock jumps", "none in the last day's log")
    last = "" if jumps[-1] is None else f", the last by {jumps[-1]:+,.0f} s"
    text = f"{len(jumps)} in the last day{last}"
    return warning("D30", "clock jumps", text, "keep the machine from sleeping, and its clock set (see D21)")


def _decoded(line: str) -> _Line:
    try:
        return msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError:  # systemd's own words, or a traceback
        return _Line()
