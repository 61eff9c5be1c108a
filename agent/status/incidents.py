"""What went wrong and when it was over: the statements of successive reports, folded into incidents. Pure.

Law: an incident begins with the first report that is not ok about a key and ends with the first that is; one that
comes back within SETTLE is the same incident, so flapping is one story. Its level is the worst it has had. A cloud
that is merely away is told as an event and is no trouble. Stored by store/incidents.py, told by alerts.py.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from agent.status.contract import Report
from agent.status.spans import span
from agent.status.statements import Level, worst
from agent.store.incidents import Incident

# Five minutes: a link that comes and goes within one tick is one trouble.
SETTLE = timedelta(minutes=5)
# Shorter ones that are over are not worth a line on the screen: the reports of one minute disagreed.
_BLIP = timedelta(minutes=1)
AWAY = "cloud"


class Concern(msgspec.Struct, frozen=True, kw_only=True):
    """One key that is not as it should be now."""

    key: str
    level: Level
    text: str
    why: str
    advice: str | None


def concerns(report: Report) -> list[Concern]:
    """What a report complains of, and a cloud that is away."""
    found = [
        Concern(key=line.key, level=line.level, text=line.text, why=line.why or "", advice=line.advice)
        for line in report.lines()
        if line.level is not Level.OK
    ]
    away = next((line for line in report.lines() if line.key == AWAY and line.text.startswith("away")), None)
    if away is not None and away.level is Level.OK:
        found.append(Concern(key=AWAY, level=Level.OK, text="cloud away", why=away.text, advice=None))
    return found


def fold(recent: Sequence[Incident], now_bad: Iterable[Concern], now: datetime) -> list[Incident]:
    """The incidents that begin, change or end with this report; those that stay as they are do not appear.

    Args:
        recent: every incident that is open, or ended within SETTLE; the newest of a key counts.
    """
    latest = {incident.key: incident for incident in sorted(recent, key=lambda one: one.began_at)}
    bad = {concern.key: concern for concern in now_bad}
    changed = [after for key, concern in bad.items() if (after := _seen(latest.get(key), concern, now)) is not None]
    over = [one for key, one in latest.items() if key not in bad and one.ended_at is None]
    return changed + [msgspec.structs.replace(one, ended_at=now) for one in over]


def _seen(known: Incident | None, concern: Concern, now: datetime) -> Incident | None:
    """A concern as an incident; None where nothing about it is news."""
    if known is None or _settled(known, now):
        return Incident(
            key=concern.key,
            level=concern.level.value,
            text=concern.text,
            why=concern.why,
            advice=concern.advice,
            began_at=now,
        )
    level = worst((Level(known.level), concern.level))
    again = known.ended_at is not None
    if level == known.level and not again:
        return None  # the wording moves with every report: ages, counts; the first words stand
    return msgspec.structs.replace(
        known,
        level=level.value,
        text=concern.text,
        why=concern.why,
        advice=concern.advice,
        ended_at=None,
        n_times=known.n_times + again,
    )


def _settled(incident: Incident, now: datetime) -> bool:
    """Whether it is over for good: long enough ago, or its end was told."""
    ended = incident.ended_at
    return ended is not None and (incident.end_told_at is not None or now - ended > SETTLE)


def worth_a_line(incident: Incident) -> bool:
    """Whether a screen should remember it."""
    return incident.ended_at is None or incident.ended_at - incident.began_at >= _BLIP


def story(incident: Incident, now: datetime) -> str:
    """From when to when, and why: "11:02 → 11:19 (17 min) cloud away: connection refused"."""
    began, times = _when(incident.began_at, now), f", {incident.n_times} times" if incident.n_times > 1 else ""
    what = f"{incident.key}: {incident.why}" if incident.why else incident.key
    if incident.ended_at is None:
        return f"{began} → now ({span(now - incident.began_at)}{times}) {what}"
    ended = f"{incident.ended_at:%H:%M}"
    return f"{began} → {ended} ({span(incident.ended_at - incident.began_at)}{times}) {what}"


def _when(moment: datetime, now: datetime) -> str:
    return f"{moment:%H:%M}" if moment.date() == now.date() else f"{moment.day} {moment:%b %H:%M}"
