"""The judgement: which fact makes which statement bad, and that every bad one says why and what to do."""

from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from msgspec.structs import replace

from agent.core.instants import to_ms
from agent.jobs.pauses import EVERY_JOB, Pause
from agent.status.report import Report, report, standing, status_line
from agent.status.state import CloudLive, JobState, LlmLive, MqttLive
from agent.status.statements import Level, Line
from agent.store.outbox import Losses, Rotation
from sync.records import Venue
from tests.unit.status.house import NOW, make_cloud, make_live, make_state, make_venue

OK, DEGRADED, CRITICAL = Level.OK, Level.DEGRADED, Level.CRITICAL
MINUTE, HOUR, SECOND = timedelta(minutes=1), timedelta(hours=1), timedelta(seconds=1)


def lines_of(judged: Report) -> dict[str, Line]:
    return {line.key: line for section in judged.sections for line in section.lines}


def waiting(age: timedelta) -> dict[str, object]:
    return {"n_pending_rows": 48211, "n_pending_batches": 12, "oldest_pending_at": NOW - age}


PAUSED_ALL = Pause(job=EVERY_JOB, paused_at=NOW - HOUR)
PAUSED_COLLECT = Pause(job="collect", paused_at=NOW - HOUR, reason="new router")
FAILING = make_venue(
    Venue.KALSHI, n_quotes=None, failing_since=NOW - HOUR, n_failed_runs=4, reason="503 after 5 tries", n_rejects_day=3
)

# (what is different in the store, what is different in the process, statement, its level)
CASES = {
    "a healthy house": ({}, {}, "collect", OK),
    "tick exactly two slots old": ({"last_collected_at": NOW - 30 * MINUTE}, {}, "collect", OK),
    "tick more than two slots old": ({"last_collected_at": NOW - 30 * MINUTE - SECOND}, {}, "collect", CRITICAL),
    "slots of an hour": ({"last_collected_at": NOW - 31 * MINUTE}, {"collect_every_s": 3600.0}, "collect", OK),
    "no tick ever, just started": ({"last_collected_at": None}, {"started_at": NOW - MINUTE}, "collect", OK),
    "no tick ever, up for days": ({"last_collected_at": None}, {}, "collect", CRITICAL),
    "down for a day, just started": (
        {"last_collected_at": NOW - 24 * HOUR}, {"started_at": NOW - MINUTE}, "collect", OK,
    ),
    "no tick because paused": (
        {"last_collected_at": NOW - 2 * HOUR, "pauses": (PAUSED_COLLECT,)}, {}, "collect", OK,
    ),
    "all paused": ({"pauses": (PAUSED_ALL,)}, {}, "daemon.paused", DEGRADED),
    "one job paused": ({"pauses": (PAUSED_COLLECT,)}, {}, "daemon.paused.collect", DEGRADED),
    "another job paused": (
        {"last_collected_at": NOW - 2 * HOUR, "pauses": (replace(PAUSED_COLLECT, job="analyse"),)},
        {}, "collect", CRITICAL,
    ),
    "collect not scheduled": ({"last_collected_at": None}, {"next_due": {}}, "collect", OK),
    "one venue failing": ({"venues": (make_venue(Venue.POLYMARKET), FAILING)}, {}, "collect.kalshi", DEGRADED),
    "the other venue meanwhile": ({"venues": (make_venue(Venue.POLYMARKET), FAILING)}, {}, "collect.polymarket", OK),
    "pending half an hour": (waiting(30 * MINUTE), {}, "buffer", OK),
    "pending longer": (waiting(30 * MINUTE + SECOND), {}, "buffer", DEGRADED),
    "pending a day": (waiting(24 * HOUR), {}, "buffer", DEGRADED),
    "pending longer than a day": (waiting(24 * HOUR + SECOND), {}, "buffer", CRITICAL),
    "pending without a cloud": (waiting(72 * HOUR), {"cloud": CloudLive()}, "buffer", OK),
    "a batch set aside": ({"n_held_batches": 1, "held_reason": "22003"}, {}, "buffer.held", DEGRADED),
    "no cloud configured": ({}, {"cloud": CloudLive()}, "cloud", OK),
    "a stream given up by itself": (
        {"rotation": Rotation(reason="another copy of this buffer has spoken since", closed_at=to_ms(NOW - HOUR))},
        {}, "buffer.rotated", DEGRADED,
    ),
    "rows the cloud lost": (
        {"losses": Losses(n_rows=3, found_at=to_ms(NOW - HOUR))}, {}, "buffer.gap", DEGRADED,
    ),
    "a cloud of an older schema": (
        {}, {"cloud": make_cloud(too_new="12 rows need schema 2, the cloud takes 1")}, "cloud", DEGRADED,
    ),
    "cloud held": ({}, {"cloud": make_cloud(held_reason="schema 6 < 7")}, "cloud", DEGRADED),
    "cloud away": ({}, {"cloud": make_cloud(connected=False, last_error="refused")}, "cloud", OK),
    "skew of two seconds": ({}, {"cloud": make_cloud(skew_s=-2.0)}, "clock", OK),
    "skew above two seconds": ({}, {"cloud": make_cloud(skew_s=-2.1)}, "clock", DEGRADED),
    "skew above a minute": ({}, {"cloud": make_cloud(skew_s=61.0)}, "clock", CRITICAL),
    "model off": ({}, {"llm": LlmLive(off_reason="no GROQ_API_KEY")}, "analyse", OK),
    "budget nearly used": ({"llm_spent_usd": Decimal("0.999")}, {}, "analyse", OK),
    "budget used up": ({"llm_spent_usd": Decimal(1)}, {}, "analyse", DEGRADED),
    "no cap": ({"llm_spent_usd": Decimal(9)}, {"llm": LlmLive()}, "analyse", OK),
    "no broker configured": ({}, {"mqtt": MqttLive()}, "mqtt", OK),
    "broker not reached yet": ({}, {"mqtt": MqttLive(configured=True)}, "mqtt", OK),
    "broker refuses": ({}, {"mqtt": MqttLive(configured=True, last_error="Not authorized")}, "mqtt", DEGRADED),
    "a job failed": (
        {"jobs": (JobState(job="analyse", state="failed", ended_at=NOW, reason="401"),)}, {}, "jobs.analyse", DEGRADED,
    ),
    "a job partial": (
        {"jobs": (JobState(job="analyse", state="partial", ended_at=NOW, reason="3 of 9"),)}, {}, "jobs.analyse", DEGRADED,
    ),
    "a failed job runs again": (
        {"jobs": (JobState(job="analyse", state="failed", ended_at=NOW, reason="401", running_since=NOW),)},
        {}, "jobs.analyse", DEGRADED,
    ),
    "a job that never ran": ({"jobs": ()}, {}, "jobs", OK),
    "no job known": ({"jobs": ()}, {"next_due": {}}, "jobs", OK),
    "watchdog fed a minute ago": ({}, {"watchdog_at": NOW - MINUTE}, "daemon", OK),
    "watchdog not fed": ({}, {"watchdog_at": NOW - MINUTE - SECOND}, "daemon", DEGRADED),
    "no watchdog": ({}, {"watchdog_at": None}, "daemon", OK),
    "an empty record": ({"chain": None, "n_predictions_today": 0}, {}, "predict", OK),
}  # fmt: skip


@pytest.mark.parametrize(("stored", "known", "key", "level"), CASES.values(), ids=CASES.keys())
def test_each_threshold_has_its_level(stored, known, key, level) -> None:
    """The table of edge conditions: exactly at a threshold is still good, past it is not."""
    judged = report(make_state(**stored), make_live(**known), NOW)

    assert lines_of(judged)[key].level is level


@pytest.mark.parametrize(("stored", "known"), [case[:2] for case in CASES.values()], ids=CASES.keys())
def test_what_is_not_ok_says_why_and_what_to_do(stored, known) -> None:
    """A level without a reason is an alarm nobody can act on; a fine line has nothing to explain."""
    judged = report(make_state(**stored), make_live(**known), NOW)

    for line in lines_of(judged).values():
        assert bool(line.why) == bool(line.advice) == (line.level is not OK), line


@pytest.mark.parametrize(("stored", "known"), [case[:2] for case in CASES.values()], ids=CASES.keys())
def test_the_whole_is_as_bad_as_its_worst_line(stored, known) -> None:
    """No surface may look better than its worst statement."""
    judged = report(make_state(**stored), make_live(**known), NOW)

    worst = max((line.level for line in lines_of(judged).values()), key=[OK, DEGRADED, CRITICAL].index)
    assert judged.level is judged.figures.level is worst
    assert judged.figures.problem is (worst is not OK)


def test_a_healthy_house_is_ok_everywhere() -> None:
    """The default of every other case here really is the good one."""
    judged = report(make_state(), make_live(), NOW)

    assert {line.level for line in lines_of(judged).values()} == {OK}


def test_what_is_switched_off_says_so() -> None:
    """Off on purpose is ok, but never silent."""
    off = make_live(cloud=CloudLive(), mqtt=MqttLive(), llm=LlmLive(off_reason="no GROQ_API_KEY"))
    said = lines_of(report(make_state(), off, NOW))

    assert said["cloud"].text == "not configured · records stay in the buffer"
    assert said["mqtt"].text == "not configured"
    assert said["analyse"].text == "off: no GROQ_API_KEY · 41 insights today"


def test_a_failing_venue_gives_its_reason_and_since_when() -> None:
    """The operator must see which venue, why, how long, and that it is tried again."""
    judged = report(make_state(venues=(make_venue(Venue.POLYMARKET), FAILING)), make_live(), NOW)

    line = lines_of(judged)["collect.kalshi"]
    assert line.why == "503 after 5 tries (since 13:15:43, 4 runs)"
    assert "tried again at 14:30" in (line.advice or "")


def test_a_venue_that_is_not_configured_is_not_mentioned() -> None:
    """A venue nobody asked for is no news, not even with old markets in the store."""
    judged = report(make_state(), make_live(venues=(Venue.KALSHI,)), NOW)

    assert "collect.polymarket" not in lines_of(judged)
    assert judged.figures.markets_open == {"kalshi": 9120}


def test_unknown_numbers_are_none_and_never_zero() -> None:
    """A dashboard must be able to tell "nothing" from "not known"."""
    stored = make_state(last_collected_at=None, last_acked_at=None, chain=None, n_checks_today=None)
    figures = report(stored, make_live(cloud=CloudLive()), NOW).figures

    assert figures.cloud_connected is None
    assert figures.oldest_pending_age is None
    assert figures.last_tick is figures.last_sync is figures.clock_skew is None
    assert figures.checks_today is figures.record_seq is figures.record_hash is None


def test_json_of_a_report_reads_back_as_the_same_report() -> None:
    """--json and the snapshot are a contract: nothing is lost on the way, and the version is on it."""
    judged = report(make_state(**waiting(2 * HOUR)), make_live(), NOW)
    wire = msgspec.json.encode(judged)

    assert msgspec.json.decode(wire, type=Report) == judged
    assert msgspec.json.decode(wire)["schema_version"] == 1


def test_status_line_of_a_healthy_house() -> None:
    """systemctl status shows this one line; its form is the one of the unit's documentation."""
    judged = report(make_state(), make_live(), NOW)

    assert status_line(judged) == "ok · 0 pending · last tick 41 s · cloud 34 ms"


def test_status_line_says_the_worst_reason_on_one_line() -> None:
    """A reason with line breaks or of great length must not break systemd's one line."""
    failing = make_venue(Venue.KALSHI, failing_since=NOW, n_failed_runs=1, reason="bad\nanswer " + "x" * 1000)
    judged = report(make_state(venues=(failing,)), make_live(), NOW)

    line = status_line(judged)
    assert line.startswith("degraded · 0 pending · last tick 41 s · cloud 34 ms · collect.kalshi: bad answer xxx")
    assert "\n" not in line
    assert len(line) <= 400


def test_status_line_prefers_critical_to_degraded() -> None:
    """Of two troubles the worse one gets the line, whatever the order of the sections."""
    failing = make_venue(Venue.KALSHI, failing_since=NOW, n_failed_runs=1, reason="503")
    judged = report(make_state(venues=(failing,), **waiting(30 * HOUR)), make_live(), NOW)

    assert "· buffer: rows have waited 1 d 6 h" in status_line(judged)


def test_the_clouds_operators_are_told_the_level_the_line_and_what_waits() -> None:
    """The same words as on the screen; an hour's wait is an instant there, for clocks differ."""
    judged = report(make_state(**waiting(HOUR)), make_live(), NOW)
    told = standing(judged)

    assert (told.level, told.says) == (judged.level.value, status_line(judged))
    assert (told.pending_rows, told.oldest_pending_at) == (48211, NOW - HOUR)
    assert standing(report(make_state(), make_live(), NOW)).oldest_pending_at is None
