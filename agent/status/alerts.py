"""Which troubles the operator is told of, and when. Pure: incidents and now in, notices out. Called by teller.py.

Law: a trouble is told once when it has lasted, once more if it becomes critical, and once when it has stayed over;
one that was never told ends in silence. Quiet hours hold back all but what is critical, and what they held is told
after them if it still stands. Nothing is told about telling itself.
"""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from enum import StrEnum

import msgspec

from agent.status.incidents import SETTLE
from agent.status.spans import span
from agent.status.statements import Level
from agent.store.incidents import Incident

_ITSELF = "alerts"
_ORDER = list(Level)


class Manners(msgspec.Struct, frozen=True, kw_only=True):
    """When the operator wants to hear."""

    level: Level = Level.DEGRADED  # milder ones are not told
    after: timedelta = timedelta(minutes=10)  # a trouble must have lasted so long
    critical_after: timedelta = timedelta(minutes=1)
    quiet: tuple[time, time] | None = None  # UTC, from and to; may pass midnight


class Kind(StrEnum):
    """What a notice says about its incident."""

    PROBLEM = "problem"
    WORSE = "worse"
    OVER = "over"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the operator is to be told."""

    kind: Kind
    incident: Incident


def notices(incidents: Iterable[Incident], manners: Manners, now: datetime) -> list[Notice]:
    """What is to be told now, the worst first, what is over last."""
    found = [Notice(kind=kind, incident=one) for one in incidents if (kind := _due(one, manners, now)) is not None]
    return sorted(found, key=lambda notice: (notice.kind is Kind.OVER, -_rank(notice.incident.level)))


def _due(one: Incident, manners: Manners, now: datetime) -> Kind | None:
    if one.key == _ITSELF or _rank(one.level) < _rank(manners.level) or one.level == Level.OK:
        return None
    quiet = is_quiet(now, manners.quiet)
    if one.ended_at is not None:
        untold = one.told_at is not None and one.end_told_at is None
        return Kind.OVER if untold and now - one.ended_at >= SETTLE and not quiet else None
    if quiet and one.level != Level.CRITICAL:
        return None
    if one.told_level is not None:
        return Kind.WORSE if _rank(one.level) > _rank(one.told_level) else None
    after = manners.critical_after if one.level == Level.CRITICAL else manners.after
    return Kind.PROBLEM if now - one.began_at >= after else None


def is_quiet(now: datetime, quiet: tuple[time, time] | None) -> bool:
    """Whether this is a quiet hour; the first moment is, the last is not."""
    if quiet is None:
        return False
    start, end = quiet
    at = now.timetz().replace(tzinfo=None)
    return start <= at < end if start <= end else at >= start or at < end


def _rank(level: str) -> int:
    return _ORDER.index(Level(level))


def title(told: list[Notice], host_id: str) -> str:
    """The subject: "oddsd home-1: CRITICAL collect", "oddsd home-1: collect.kalshi is over"."""
    first = told[0]
    more = f" and {len(told) - 1} more" if len(told) > 1 else ""
    if first.kind is Kind.OVER:
        return f"oddsd {host_id}: {first.incident.key} is over{more}"
    return f"oddsd {host_id}: {first.incident.level.upper()} {first.incident.key}{more}"


def body(told: list[Notice], now: datetime) -> str:
    """Each notice in words: what, since when, why, and what to do."""
    return "\n\n".join(_words(notice, now) for notice in told)


def _words(notice: Notice, now: datetime) -> str:
    one = notice.incident
    began = f"{one.began_at:%Y-%m-%d %H:%M} UTC"
    if notice.kind is Kind.OVER and one.ended_at is not None:
        times = f", came {one.n_times} times" if one.n_times > 1 else ""
        return f"{one.key} is over: it lasted {span(one.ended_at - one.began_at)} from {began}{times} ({one.why})"
    head = f"{one.level.upper()} {one.key}: {one.text}" + (" (it became worse)" if notice.kind is Kind.WORSE else "")
    lines = [
        head,
        f"why: {one.why}",
        f"do: {one.advice}" if one.advice else "",
        f"since {began}, {span(now - one.began_at)}",
    ]
    return "\n".join(line for line in lines if line)
