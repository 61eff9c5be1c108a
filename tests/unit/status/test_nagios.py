"""`oddsd check`: the line and the code a monitor reads."""

from datetime import timedelta

import pytest

from agent.status.nagios import verdict
from agent.status.report import report
from agent.status.state import MqttLive
from tests.unit.status.house import NOW, make_live, make_state


def judged(stored=None, **known):
    return report(make_state(**stored or {}), make_live(**known), NOW)


@pytest.mark.parametrize(
    ("stored", "known", "word", "code"),
    [
        ({}, {}, "OK", 0),
        ({}, {"mqtt": MqttLive(configured=True, last_error="no")}, "WARNING", 1),
        ({"last_collected_at": NOW - timedelta(hours=3)}, {}, "CRITICAL", 2),
    ],
    ids=["ok", "degraded", "critical"],
)
def test_level_becomes_the_monitors_word_and_code(stored, known, word, code):
    """Monitors act on the exit code alone."""
    found = verdict(judged(stored, **known))

    assert found.line.startswith(f"ODDSD {word} - ")
    assert found.code == code


@pytest.mark.parametrize(("warn_s", "crit_s", "code"), [(42, 43, 0), (41, 43, 1), (1, 41, 2)])
def test_thresholds_of_the_monitor_can_only_make_it_worse(warn_s, crit_s, code):
    """The last tick is 41 s old."""
    assert verdict(judged(), warn_s=warn_s, crit_s=crit_s).code == code
    assert verdict(judged({"last_collected_at": NOW - timedelta(hours=3)}), warn_s=10**6, crit_s=10**6).code == 2


def test_figures_follow_the_one_sign_that_begins_them():
    """A pipe in a reason would turn words into figures; what is not known is left out."""
    found = verdict(judged(mqtt=MqttLive(configured=True, last_error="a|b")), warn_s=1800, crit_s=3600.5)

    words, _, figures = found.line.partition(" | ")
    assert "a/b" in words
    assert figures.split()[:2] == ["tick_age=41s;1800;3600.5;0", "pending_rows=0"]
    assert "spent_usd=0.0314" in figures
    assert "oldest_pending" not in figures
    assert "\n" not in found.line
