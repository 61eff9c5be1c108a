"""Judges the state of the house: one Report, from which every surface reads. Pure.

Law: the screen, --json, MQTT, STATUS= and the snapshot say the same words and numbers, because they all show this
record. Its JSON form is a contract: fields are added within a schema version, never renamed.
"""

from datetime import datetime

import msgspec

from agent.status import rooms
from agent.status.spans import span
from agent.status.state import Live, State
from agent.status.statements import SEPARATOR, Level, Line, Section, section, worst

SCHEMA_VERSION = 1


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers behind the words, flat; the keys Home Assistant's entities are named after. None = not known."""

    level: Level
    problem: bool
    cloud_connected: bool | None  # None where no cloud is configured
    pending_rows: int
    oldest_pending_age: int | None  # s
    last_tick: datetime | None
    last_sync: datetime | None
    buffer_size: float  # MB
    clock_skew: float | None  # ms
    markets_open: dict[str, int]  # per venue
    patterns_today: int
    insights_today: int
    llm_spent_usd: float
    predictions_active: int
    checks_today: int | None
    record_seq: int | None
    record_hash: str | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the house says about itself at one instant."""

    schema_version: int = SCHEMA_VERSION
    level: Level
    at: datetime
    host_id: str
    version: str
    started_at: datetime
    stream_id: str
    transport: str | None
    sections: tuple[Section, ...]
    figures: Figures


def report(state: State, live: Live, now: datetime) -> Report:
    """Judge what is known.

    Args:
        state: what the store said.
        live: what the process knows.
        now: when both were read.
    """
    sections = (
        section("COLLECT", rooms.collect(state, live, now)),
        section("PATTERNS", rooms.patterns(state, now)),
        section("ANALYSE", rooms.analyse(state, live, now)),
        section("PREDICT", rooms.predict(state, now)),
        section("BENCHMARK", rooms.benchmark(state)),
        section("BUFFER", rooms.buffer(state, live, now)),
        section("CLOUD", rooms.cloud(state, live, now)),
        section("MQTT", rooms.mqtt(live)),
        section("JOBS", rooms.jobs(state, live, now)),
        section("DAEMON", rooms.daemon(live, now)),
    )
    level = worst(each.level for each in sections)
    return Report(
        level=level,
        at=now,
        host_id=live.host_id,
        version=live.version,
        started_at=live.started_at,
        stream_id=state.stream_id,
        transport=live.cloud.transport,
        sections=sections,
        figures=_figures(state, live, now, level),
    )


def status_line(report: Report) -> str:
    """One line for systemd's STATUS=: "ok · 0 pending · last tick 12 s · cloud 34 ms", and the worst reason if any."""
    figures = report.figures
    tick = "no tick yet" if figures.last_tick is None else f"last tick {span(report.at - figures.last_tick)}"
    cloud = next(line.text for line in _lines(report) if line.key == "cloud")
    words = [report.level.value, f"{figures.pending_rows:,} pending", tick, f"cloud {cloud.split(SEPARATOR)[0]}"]
    bad = next((line for line in _lines(report) if line.level is report.level and line.level is not Level.OK), None)
    if bad is not None:
        words.append(f"{bad.key}: {bad.why}")
    return " ".join(SEPARATOR.join(words).split())[:400]  # one short line: systemctl shows it whole


def _lines(report: Report) -> list[Line]:
    return [line for room in report.sections for line in room.lines]


def _figures(state: State, live: Live, now: datetime, level: Level) -> Figures:
    oldest, chain, skew_s = state.oldest_pending_at, state.chain, live.cloud.skew_s
    return Figures(
        level=level,
        problem=level is not Level.OK,
        cloud_connected=live.cloud.connected if live.cloud.configured else None,
        pending_rows=state.n_pending_rows,
        oldest_pending_age=None if oldest is None else max(0, int((now - oldest).total_seconds())),
        last_tick=state.last_collected_at,
        last_sync=rooms.last_sync(state, live),
        buffer_size=round(state.buffer_bytes / 1e6, 1),
        clock_skew=None if skew_s is None else round(skew_s * 1000, 1),
        markets_open={v.venue.value: v.n_open for v in state.venues if v.venue in live.venues},
        patterns_today=state.n_patterns_today,
        insights_today=state.n_insights_today,
        llm_spent_usd=float(state.llm_spent_usd),
        predictions_active=state.n_active_predictions,
        checks_today=state.n_checks_today,
        record_seq=None if chain is None else chain.chain_seq,
        record_hash=None if chain is None else chain.record_hash,
    )
