"""Alerts: what is told, when, and that nothing is told twice."""

from datetime import time, timedelta

import msgspec
import pytest

from agent.status.alerts import Kind, Manners, body, is_quiet, notices, title
from agent.status.incidents import SETTLE
from agent.status.statements import Level
from tests.unit.status.house import NOW
from tests.unit.status.test_incidents import make_incident

MINUTE = timedelta(minutes=1)
MANNERS = Manners()
NIGHT = (time(14), time(15))  # NOW lies in it
LONG_AGO = NOW - timedelta(hours=2)


def kinds(incident, manners=MANNERS, now=NOW) -> list[Kind]:
    return [notice.kind for notice in notices([incident], manners, now)]


# (incident, manners, what is told)
CASES = {
    "too young": ({"began_at": NOW - 9 * MINUTE}, {}, []),
    "has lasted": ({"began_at": NOW - 10 * MINUTE}, {}, [Kind.PROBLEM]),
    "critical has lasted a minute": ({"level": "critical", "began_at": NOW - MINUTE}, {}, [Kind.PROBLEM]),
    "critical, too young": ({"level": "critical", "began_at": NOW}, {}, []),
    "told already": ({"began_at": LONG_AGO, "told_level": "degraded", "told_at": NOW}, {}, []),
    "became worse": (
        {"began_at": LONG_AGO, "level": "critical", "told_level": "degraded", "told_at": LONG_AGO}, {}, [Kind.WORSE],
    ),
    "told as critical": (
        {"began_at": LONG_AGO, "level": "critical", "told_level": "critical", "told_at": LONG_AGO}, {}, [],
    ),
    "over, has not settled": ({"ended_at": NOW - MINUTE, "told_level": "degraded", "told_at": LONG_AGO}, {}, []),
    "over and settled": ({"ended_at": NOW - SETTLE, "told_level": "degraded", "told_at": LONG_AGO}, {}, [Kind.OVER]),
    "over and told": (
        {"ended_at": LONG_AGO, "told_level": "degraded", "told_at": LONG_AGO, "end_told_at": NOW}, {}, [],
    ),
    "over before it was told": ({"began_at": LONG_AGO, "ended_at": NOW - SETTLE}, {}, []),
    "an event": ({"began_at": LONG_AGO, "level": "ok"}, {}, []),
    "too mild for him": ({"began_at": LONG_AGO}, {"level": Level.CRITICAL}, []),
    "quiet hours": ({"began_at": LONG_AGO}, {"quiet": NIGHT}, []),
    "quiet hours, critical": ({"began_at": LONG_AGO, "level": "critical"}, {"quiet": NIGHT}, [Kind.PROBLEM]),
    "quiet hours, over": (
        {"ended_at": LONG_AGO, "told_level": "degraded", "told_at": LONG_AGO}, {"quiet": NIGHT}, [],
    ),
    "about telling": ({"began_at": LONG_AGO, "key": "alerts"}, {}, []),
}  # fmt: skip


@pytest.mark.parametrize(("over", "manners", "told"), CASES.values(), ids=CASES.keys())
def test_each_case_is_told_or_held(over, manners, told):
    """The table of manners."""
    assert kinds(make_incident(**over), Manners(**manners)) == told


def test_what_quiet_hours_held_is_told_after_them_if_it_still_stands():
    """The night's trouble is the morning's first message."""
    held = make_incident(began_at=NOW - timedelta(hours=12))
    manners = Manners(quiet=(time(22), time(7)))

    assert kinds(held, manners, NOW.replace(hour=6, minute=59)) == []
    assert kinds(held, manners, NOW.replace(hour=7, minute=0)) == [Kind.PROBLEM]


@pytest.mark.parametrize(
    ("hours", "quiet"),
    [((14, 15), True), ((15, 16), False), ((22, 15), True), ((15, 14), False), ((14, 14), False)],
)
def test_quiet_hours_may_pass_midnight(hours, quiet):
    """22 to 7 is one night."""
    assert is_quiet(NOW, (time(hours[0]), time(hours[1]))) is quiet


def test_one_message_carries_all_that_is_due_the_worst_first():
    """Ten troubles at once are one message, not ten."""
    told = notices(
        [
            make_incident(key="over", ended_at=NOW - SETTLE, told_level="critical", told_at=LONG_AGO, level="critical"),
            make_incident(key="mild", began_at=LONG_AGO),
            make_incident(key="bad", began_at=LONG_AGO, level="critical"),
        ],
        MANNERS,
        NOW,
    )

    assert [notice.incident.key for notice in told] == ["bad", "mild", "over"]
    assert title(told, "home-1") == "oddsd home-1: CRITICAL bad and 2 more"
    text = body(told, NOW)
    assert "CRITICAL bad: gone\nwhy: refused\ndo: look\nsince 2026-03-17 12:15 UTC, 2 h" in text
    assert "over is over: it lasted" in text


def test_a_recovery_says_so_in_the_subject():
    """Good news must not look like bad news on a phone."""
    over = make_incident(ended_at=NOW - SETTLE, told_level="degraded", told_at=LONG_AGO)

    assert title(notices([over], MANNERS, NOW), "home-1") == "oddsd home-1: mqtt is over"


def test_hours_of_flapping_are_told_once():
    """A link that comes and goes every minute: one message while it lasts, one when it has stayed well."""
    from agent.status.incidents import fold
    from tests.unit.status.test_incidents import make_concern

    known, told, now = [], [], NOW
    for minute in range(180):
        now = NOW + minute * MINUTE
        bad = [make_concern()] if minute % 2 == 0 and minute < 120 else []
        for one in fold(known, bad, now):
            known = [msgspec.structs.replace(one, incident_id=1)]
        for notice in notices(known, MANNERS, now):
            told.append(notice.kind)
            changes = {"end_told_at": now} if notice.kind is Kind.OVER else {"told_level": "degraded", "told_at": now}
            known = [msgspec.structs.replace(known[0], **changes)]

    assert told == [Kind.PROBLEM, Kind.OVER]
