"""What the doctor says: one finding per check, each with a stable id, a level, one sentence and one fix. Pure.

Law: ids are never given to another check (docs/operate.md lists them); a check that could not be made is neither
good nor bad and says why; what does not apply here is skipped in words.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How a check ended."""

    GOOD = "good"
    SKIPPED = "skipped"  # does not apply here, or was not asked for
    WARNING = "warning"
    FAILED = "failed"
    UNKNOWN = "unknown"  # could not be checked


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check's result."""

    id: str
    name: str
    verdict: Verdict
    text: str
    fix: str | None = None


_SIGN = {
    Verdict.GOOD: "ok",
    Verdict.SKIPPED: "--",
    Verdict.WARNING: "WARN",
    Verdict.FAILED: "FAIL",
    Verdict.UNKNOWN: "??",
}


def good(id_: str, name: str, text: str) -> Finding:
    """As it should be."""
    return Finding(id=id_, name=name, verdict=Verdict.GOOD, text=text)


def skipped(id_: str, name: str, text: str) -> Finding:
    """Not for this house, or not now."""
    return Finding(id=id_, name=name, verdict=Verdict.SKIPPED, text=text)


def warning(id_: str, name: str, text: str, fix: str) -> Finding:
    """Works, and should be looked at."""
    return Finding(id=id_, name=name, verdict=Verdict.WARNING, text=text, fix=fix)


def failed(id_: str, name: str, text: str, fix: str) -> Finding:
    """Does not work."""
    return Finding(id=id_, name=name, verdict=Verdict.FAILED, text=text, fix=fix)


def unknown(id_: str, name: str, text: str, fix: str) -> Finding:
    """Nobody can tell."""
    return Finding(id=id_, name=name, verdict=Verdict.UNKNOWN, text=text, fix=fix)


def exit_code(findings: Sequence[Finding]) -> int:
    """0 clean, 1 warnings, 2 failures, 3 where something could not be checked and nothing is worse."""
    verdicts = {finding.verdict for finding in findings}
    if Verdict.FAILED in verdicts:
        return 2
    return 3 if Verdict.UNKNOWN in verdicts else 1 if Verdict.WARNING in verdicts else 0


def render(findings: Sequence[Finding]) -> str:
    """A line for each, the fix below; then the sum."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines = list[str]()
    for one in findings:
        lines.append(f"{one.id}  {_SIGN[one.verdict]:<4}  {one.name:<{width}}  {one.text}")
        if one.fix:
            lines.append(f"{'':<11}{'':<{width}}  fix: {one.fix}")
    counts = [f"{n} {verdict.value}" for verdict in Verdict if (n := sum(f.verdict is verdict for f in findings))]
    return "\n".join([*lines, "", ", ".join(counts)])
