"""Judges the state of the house: one Report, from which every surface reads. Pure.

Law: the screen, --json, MQTT, STATUS=, metrics, `check` and the alerts say the same words and numbers, because they
all show this record. Its form stands in contract.py.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from agent.jobs.pauses import EVERY_JOB
from agent.status import plant, rooms
from agent.status.contract import Figures, Report, Watched
from agent.status.spans import span
from agent.status.state import Live, State
from agent.status.statements import SEPARATOR, Level, Line, section, worst
from sync.protocol import Standing


def report(state: State, live: Live, now: datetime) -> Report:
    """Judge what is known.

    Args:
        state: what the store said.
        live: what the process knows.
        now: when both were read.
    """
    sections = tuple(section(name, lines) for name, lines in _rooms(state, live, now).items() if lines)
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


def _rooms(state: State, live: Live, now: datetime) -> dict[str, list[Line]]:
    """Every room's statements, in the order of the screen; a room with nothing to say has none."""
    return {
        "COLLECT": rooms.collect(state, live, now),
        "PATTERNS": rooms.patterns(state, now),
        "ANALYSE": rooms.analyse(state, live, now),
        "ARBITRAGE": rooms.arbitrage(state),
        "PREDICT": rooms.predict(state, now),
        "BENCHMARK": rooms.benchmark(state),
        "BUFFER": plant.buffer(state, live, now),
        "CLOUD": plant.cloud(state, live, now),
        "MQTT": plant.mqtt(live, now),
        "ALERTS": plant.alerts(live, now),
        "JOBS": plant.jobs(state, live, now),
        "CLOCK": plant.clocks(live),
        "DAEMON": plant.daemon(state, live, now),
        "EVENTS": plant.events(state, now),
    }


def status_line(report: Report) -> str:
    """One line for systemd's STATUS=: "ok · 0 pending · last tick 12 s · cloud 34 ms", and the worst reason if any."""
    figures = report.figures
    tick = "no tick yet" if figures.last_tick is None else f"last tick {span(report.at - figures.last_tick)}"
    cloud = next(line.text for line in report.lines() if line.key == "cloud")
    words = [report.level.value, f"{figures.pending_rows:,} pending", tick, f"cloud {cloud.split(SEPARATOR)[0]}"]
    bad = next((line for line in report.lines() if line.level is report.level and line.level is not Level.OK), None)
    if bad is not None:
        words.append(f"{bad.key}: {bad.why}")
    return " ".join(SEPARATOR.join(words).split())[:400]  # one short line: systemctl shows it whole


def standing(told: Report) -> Standing:
    """What the cloud's operators are told of this host: the level, the line, and what waits here."""
    age_s = told.figures.oldest_pending_age
    return Standing(
        level=told.level.value,
        says=status_line(told),
        pending_rows=told.figures.pending_rows,
        oldest_pending_at=None if age_s is None else told.at - timedelta(seconds=age_s),
    )


def _figures(state: State, live: Live, now: datetime, level: Level) -> Figures:
    oldest, chain, skew_s = state.oldest_pending_at, state.chain, live.cloud.skew_s
    return Figures(
        level=level,
        problem=level is not Level.OK,
        cloud_connected=live.cloud.connected if live.cloud.configured else None,
        pending_rows=state.n_pending_rows,
        oldest_pending_age=None if oldest is None else max(0, int((now - oldest).total_seconds())),
        last_tick=state.last_collected_at,
        last_sync=plant.last_sync(state, live),
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
        last_collect={v.venue.value: v.last_good_at for v in state.venues if v.venue in live.venues},
        markets_tracked=sum(v.n_open for v in state.venues if v.venue in live.venues),
        llm_left_usd=_left_usd(state, live),
        top_insight=state.top_insight,
        arbitrage_present=state.n_arbitrage > 0,
        arbitrage_active=state.n_arbitrage,
        rows_sent_total=state.n_sent_rows,
        batches_held=state.n_held_batches,
        dead_letters=state.n_dead_letters,
        disk_free=None if live.disk is None else round(live.disk.free_bytes / 1e6),
        paused=any(pause.job == EVERY_JOB for pause in state.pauses),
        jobs={job.job: job.state for job in state.jobs if job.state is not None},
        watched={
            one.market_key: Watched(title=one.title, probability=one.mid, seen_at=one.seen_at) for one in state.watched
        },
    )


def _left_usd(state: State, live: Live) -> float | None:
    cap = live.llm.daily_cap_usd
    if cap is None or live.llm.off_reason is not None:
        return None
    return float(max(cap - state.llm_spent_usd, Decimal(0)))
