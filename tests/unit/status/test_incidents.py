"""Incidents: when a trouble begins, when it is the same one again, when it is over."""

from datetime import timedelta

import msgspec
import pytest

from agent.status.incidents import SETTLE, Concern, concerns, fold, story, worth_a_line
from agent.status.report import report
from agent.status.state import MqttLive
from agent.status.statements import Level
from agent.store.incidents import Incident
from tests.unit.status.house import NOW, make_cloud, make_live, make_state

MINUTE = timedelta(minutes=1)


def make_concern(**over) -> Concern:
    return Concern(
        **{"key": "mqtt", "level": Level.DEGRADED, "text": "gone", "why": "refused", "advice": "look"} | over
    )


def make_incident(**over) -> Incident:
    open_one = {
        "incident_id": 1,
        "key": "mqtt",
        "level": "degraded",
        "text": "gone",
        "why": "refused",
        "advice": "look",
    }
    return Incident(**{**open_one, "began_at": NOW - 3 * MINUTE} | over)


def test_a_healthy_report_gives_no_concern():
    """The default house is what ends an incident."""
    assert concerns(report(make_state(), make_live(), NOW)) == []


def test_a_bad_statement_and_a_cloud_that_is_away_are_concerns():
    """A cut line is no trouble yet, but an event the operator wants to see afterwards."""
    live = make_live(
        cloud=make_cloud(connected=False, last_error="refused"), mqtt=MqttLive(configured=True, last_error="no")
    )

    found = {one.key: one.level for one in concerns(report(make_state(), live, NOW))}
    assert found == {"cloud": Level.OK, "mqtt": Level.DEGRADED}


def test_the_first_concern_begins_an_incident_and_the_next_is_no_news():
    """The book is written when something changes, not with every report."""
    (begun,) = fold([], [make_concern()], NOW)

    assert (begun.key, begun.level, begun.began_at, begun.ended_at) == ("mqtt", "degraded", NOW, None)
    assert fold([begun], [make_concern(text="gone for 2 min")], NOW + MINUTE) == []


def test_an_incident_keeps_its_worst_level():
    """A trouble that was critical for a minute was critical."""
    (worse,) = fold([make_incident()], [make_concern(level=Level.CRITICAL)], NOW)

    assert worse.level == "critical"
    assert fold([worse], [make_concern()], NOW) == []


def test_it_ends_with_the_first_report_that_does_not_complain():
    """From here on the operator may be told that it is over."""
    (ended,) = fold([make_incident()], [], NOW)

    assert ended.ended_at == NOW
    assert fold([ended], [], NOW + MINUTE) == []


@pytest.mark.parametrize(
    ("told_end", "gap", "same"),
    [(False, SETTLE, True), (False, SETTLE + MINUTE, False), (True, MINUTE, False)],
    ids=["within the settling time", "later", "its end was told"],
)
def test_a_trouble_that_comes_back_soon_is_the_same_one(told_end, gap, same):
    """Flapping is one story; but who was told that it is over must hear that it is not."""
    known = make_incident(ended_at=NOW - gap, end_told_at=NOW - gap if told_end else None)
    (after,) = fold([known], [make_concern()], NOW)

    assert (after.incident_id == 1) is same
    assert (after.n_times, after.ended_at) == (2 if same else 1, None)


def test_a_blip_is_not_worth_a_line():
    """Two reports that disagreed within a minute are no history."""
    assert worth_a_line(make_incident())
    assert worth_a_line(make_incident(ended_at=NOW))
    assert not worth_a_line(make_incident(began_at=NOW, ended_at=NOW + timedelta(seconds=59)))


def test_a_story_tells_from_when_to_when_and_why():
    """What the screen shows of the past."""
    ended = make_incident(began_at=NOW - 17 * MINUTE, ended_at=NOW, n_times=2)

    assert story(ended, NOW) == "13:58 → 14:15 (17 min, 2 times) mqtt: refused"
    assert story(msgspec.structs.replace(ended, ended_at=None), NOW).startswith("13:58 → now (17 min")


def test_the_screen_remembers_what_is_over():
    """After the fact the operator sees what happened while nobody looked."""
    judged = report(make_state(incidents=(make_incident(ended_at=NOW),)), make_live(), NOW)

    assert [line.text for line in judged.lines() if line.key == "events"] == ["14:12 → 14:15 (3 min) mqtt: refused"]
    assert judged.level is Level.OK
