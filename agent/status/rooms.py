"""What each room of the house has to say, and where it stops being ok. Pure.

Law: each threshold stands here once, with its reason; what was switched off on purpose is ok and says that it is off.
Called by report.py.
"""

from datetime import datetime, timedelta

from agent.status.spans import ago, clock, counted, due, size, span, usd
from agent.status.state import COLLECT, JobState, Live, State, VenueState
from agent.status.statements import Level, Line, bad, fine
from agent.store.drift import Drift

# The sender wakes at each commit and every few minutes: half an hour is two quarter-hour ticks that did not leave.
PENDING_DEGRADED = timedelta(minutes=30)
# A day without delivery is no hiccup any more; retention starts to matter and subscribers read yesterday.
PENDING_CRITICAL = timedelta(hours=24)
# One missed slot may be a slow venue; after two the history has a hole.
MISSED_SLOTS_CRITICAL = 2
# Above two seconds the order of quotes from two hosts is doubtful; a minute breaks TLS, leases and slots.
SKEW_DEGRADED_S, SKEW_CRITICAL_S = 2.0, 60.0
# Fed every 30 s of systemd's 90: two feeds missing means a loop is past its own deadline.
WATCHDOG_DEGRADED = timedelta(seconds=60)


def collect(state: State, live: Live, now: datetime) -> list[Line]:
    """The tick, then each venue."""
    venues = [_venue(venue, live, now) for venue in state.venues if venue.venue in live.venues]
    drifts = [_drift(drift, now) for drift in state.drifts if drift.venue in live.venues]
    return [_collect_tick(state, live, now), *venues, *drifts]


def _next(live: Live, job: str, now: datetime) -> str | None:
    moment = live.next_due.get(job)
    return None if moment is None else f"next {due(moment, now)}"


def _collect_tick(state: State, live: Live, now: datetime) -> Line:
    key, last = "collect", state.last_collected_at
    tick, coming = f"last tick {ago(last, now)}", _next(live, COLLECT, now)
    if coming is None:
        return fine(key, tick, "not scheduled")
    limit = timedelta(seconds=MISSED_SLOTS_CRITICAL * live.collect_every_s)
    since = max(filter(None, (last, live.started_at)))
    if now - since > limit and not live.paused:
        return bad(
            key,
            Level.CRITICAL,
            tick,
            coming,
            why=f"no venue answered for {span(now - since)}, more than {MISSED_SLOTS_CRITICAL} slots",
            advice="see the venues below; if both are well, read the daemon's log",
        )
    return fine(key, tick, coming)


def _venue(venue: VenueState, live: Live, now: datetime) -> Line:
    key, known = f"collect.{venue.venue}", f"{venue.venue} {counted(venue.n_open, 'open market')}"
    rejects = f"{venue.n_rejects_day:,} unreadable in 24 h" if venue.n_rejects_day else None
    if venue.failing_since is None:
        stored = None if venue.n_quotes is None else f"{counted(venue.n_quotes, 'quote')} stored"
        return fine(key, known, stored, rejects)
    coming = live.next_due.get(COLLECT)
    again = "" if coming is None else f", tried again at {due(coming, now)}"
    return bad(
        key,
        Level.DEGRADED,
        known,
        f"last good {ago(venue.last_good_at, now)}",
        rejects,
        why=f"{venue.reason} (since {clock(venue.failing_since, now)}, {counted(venue.n_failed_runs, 'run')})",
        advice=f"the other venue goes on{again}; if it lasts, check the network and the venue's own status page",
    )


def _drift(drift: Drift, now: datetime) -> Line:
    """A format that changed: told while it lasts, a worry only where something of ours is missing."""
    key, fields = f"collect.drift.{drift.venue}", counted(len(drift.reasons), "changed field")
    told = f"{drift.venue} format: {fields} since {clock(drift.since, now)}"
    if not drift.harmful:
        return fine(key, told, "none that we need")
    lost = f"not stored: {', '.join(drift.lost)}" if drift.lost else None
    return bad(
        key,
        Level.DEGRADED,
        told,
        lost,
        why=", ".join(filter(None, (drift.shrunk, *drift.reasons))),
        advice="it comes back by itself with the old format; else update oddsd: raw samples are in the store",
    )


def patterns(state: State, now: datetime) -> list[Line]:
    """What the detectors found."""
    return [fine("patterns", f"{state.n_patterns_today:,} today", f"last {ago(state.last_pattern_at, now)}")]


def analyse(state: State, live: Live, now: datetime) -> list[Line]:
    """What the model made of it, and what it cost."""
    key, cap, spent = "analyse", live.llm.daily_cap_usd, state.llm_spent_usd
    made = f"{counted(state.n_insights_today, 'insight')} today"
    if live.llm.off_reason is not None:
        return [fine(key, f"off: {live.llm.off_reason}", made)]
    calls, money = counted(state.n_llm_calls_today, "call"), f"{usd(spent)} spent"
    if cap is not None:
        money = f"{usd(spent)} of {usd(cap)} spent"
    if cap is None or spent < cap:
        return [fine(key, made, calls, money, f"last {ago(state.last_insight_at, now)}")]
    return [
        bad(
            key,
            Level.DEGRADED,
            made,
            calls,
            money,
            why="the day's model budget is used up; collection and benchmark go on",
            advice="analyses resume at 00:00 UTC; raise the daily cap in the settings if this happens often",
        )
    ]


def predict(state: State, now: datetime) -> list[Line]:
    """The predictions being watched and the head of the record."""
    key, active, chain = "predict", f"{state.n_active_predictions:,} active", state.chain
    if chain is None:
        return [fine(key, active, "the record is empty")]
    head = f"record #{chain.chain_seq:,} {chain.record_hash[:12]}"
    return [fine(key, active, f"{state.n_predictions_today:,} today", head, f"last {ago(chain.predicted_at, now)}")]


def benchmark(state: State) -> list[Line]:
    """The checks made against the market."""
    checks = "no checks" if state.n_checks_today is None else counted(state.n_checks_today, "check")
    return [fine("benchmark", f"{checks} today")]


def buffer(state: State, live: Live, now: datetime) -> list[Line]:
    """What waits for the cloud, and what the cloud would not have."""
    lines = [_pending(state, live, now)]
    if state.n_held_batches:
        lines.append(
            bad(
                "buffer.held",
                Level.DEGRADED,
                f"{counted(state.n_held_batches, 'batch', 'batches')} set aside",
                why=f"the cloud refuses it for good: {state.held_reason}",
                advice="other batches pass; update the side that is wrong, nothing is dropped meanwhile",
            )
        )
    return lines


def _pending(state: State, live: Live, now: datetime) -> Line:
    key, file = "buffer", f"file {size(state.buffer_bytes)}"
    if state.oldest_pending_at is None:
        return fine(key, "0 pending", file)
    age = now - state.oldest_pending_at
    batches = counted(state.n_pending_batches, "batch", "batches")
    texts = (f"{state.n_pending_rows:,} pending in {batches}", f"oldest {span(age)}", file)
    if not live.cloud.configured or age <= PENDING_DEGRADED:
        return fine(key, *texts)
    return bad(
        key,
        Level.CRITICAL if age > PENDING_CRITICAL else Level.DEGRADED,
        *texts,
        why=f"rows have waited {span(age)} for the cloud",
        advice="see CLOUD; nothing is lost, they leave in order once it answers",
    )


def cloud(state: State, live: Live, now: datetime) -> list[Line]:
    """The link to the cloud and the two clocks."""
    key, link, last = "cloud", live.cloud, f"last batch {ago(last_sync(state, live), now)}"
    if not link.configured:
        return [fine(key, "not configured", "records stay in the buffer")]
    if link.held_reason is not None:
        held = bad(
            key,
            Level.DEGRADED,
            "HELD",
            last,
            why=link.held_reason,
            advice="a person must act: check credentials, rights and versions of the cloud; collection goes on",
        )
        return [held, *_skew(live)]
    if not link.connected:  # the age of what waits decides the level: a short cut is no alarm
        return [fine(key, "away" if link.last_error else "connecting", link.last_error, last), *_skew(live)]
    trip = "connected" if link.round_trip_ms is None else f"{link.round_trip_ms:.0f} ms"
    return [fine(key, trip, link.transport, last), *_skew(live)]


def last_sync(state: State, live: Live) -> datetime | None:
    """When the cloud last took a batch, as far as anybody remembers."""
    return live.cloud.last_batch_at or state.last_acked_at


def _skew(live: Live) -> list[Line]:
    key, skew = "cloud.clock", live.cloud.skew_s
    if skew is None:
        return []
    text = f"clock skew {skew:+.1f} s"
    if abs(skew) <= SKEW_DEGRADED_S:
        return [fine(key, text)]
    return [
        bad(
            key,
            Level.CRITICAL if abs(skew) > SKEW_CRITICAL_S else Level.DEGRADED,
            text,
            why=f"this clock and the cloud's differ by {abs(skew):.1f} s",
            advice="check time synchronisation on this machine (timedatectl)",
        )
    ]


def mqtt(live: Live) -> list[Line]:
    """The link to the broker, where there is one."""
    key, link = "mqtt", live.mqtt
    if not link.configured:
        return [fine(key, "not configured")]
    if link.connected or link.last_error is None:
        return [fine(key, "connected" if link.connected else "connecting")]
    return [
        bad(
            key,
            Level.DEGRADED,
            "not connected",
            why=link.last_error,
            advice="check broker address and credentials; only this status feed is affected, no data",
        )
    ]


def jobs(state: State, live: Live, now: datetime) -> list[Line]:
    """The last run of each job but collect, which has its own section."""
    known = {job.job: job for job in state.jobs}
    names = sorted((known.keys() | live.next_due.keys()) - {COLLECT})
    if not names:
        return [fine("jobs", "none has run yet")]
    return [_job(known.get(name, JobState(job=name)), live, now) for name in names]


def _job(job: JobState, live: Live, now: datetime) -> Line:
    key, coming = f"jobs.{job.job}", _next(live, job.job, now)
    running = None if job.running_since is None else f"running for {span(now - job.running_since)}"
    last = f"{job.job} {job.state} {ago(job.ended_at, now)}" if job.state else f"{job.job} has not run yet"
    if job.state not in {"partial", "failed"}:
        return fine(key, last, running, coming)
    again = "it runs again by itself" if coming else "run it by hand"
    return bad(
        key,
        Level.DEGRADED,
        last,
        running,
        coming,
        why=job.reason or "no reason was recorded",
        advice=f"{again}; what is done stays done. The log has the run's lines under its run_id",
    )


def daemon(live: Live, now: datetime) -> list[Line]:
    """The process itself."""
    lines = [_watchdog(live, now)]
    if live.paused:
        lines.append(
            bad(
                "daemon.paused",
                Level.DEGRADED,
                "paused",
                why="somebody asked for a pause: no timer starts a job",
                advice="resume it when you are done",
            )
        )
    return lines


def _watchdog(live: Live, now: datetime) -> Line:
    key, up = "daemon", f"up {span(now - live.started_at)}"
    if live.watchdog_at is None:
        return fine(key, up, "no watchdog")
    age = now - live.watchdog_at
    fed = f"watchdog {span(age)} ago"
    if age <= WATCHDOG_DEGRADED:
        return fine(key, up, fed)
    return bad(
        key,
        Level.DEGRADED,
        up,
        fed,
        why="a loop is past its own deadline, so systemd is not fed",
        advice="systemd restarts the daemon at 90 s; the log names the loop",
    )
