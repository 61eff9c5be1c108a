"""What the machinery has to say: buffer, cloud, broker, alerts, jobs, clock, process, and what went wrong lately. Pure.

Law: as rooms.py's: each threshold stands here once with its reason, and what is off on purpose is ok and says so.
Called by report.py.
"""

from datetime import datetime, timedelta

from agent.core.instants import from_ms
from agent.jobs.pauses import EVERY_JOB, Pause, pause_of
from agent.status.incidents import story, worth_a_line
from agent.status.rooms import next_of
from agent.status.spans import ago, clock, counted, due, size, span
from agent.status.state import COLLECT, JobState, Live, State
from agent.status.statements import Level, Line, bad, fine

# The sender wakes at each commit and every few minutes: half an hour is two quarter-hour ticks that did not leave.
PENDING_DEGRADED = timedelta(minutes=30)
# A day without delivery is no hiccup any more; retention starts to matter and subscribers read yesterday.
PENDING_CRITICAL = timedelta(hours=24)
# Above two seconds the order of quotes from two hosts is doubtful; a minute breaks TLS, leases and slots.
SKEW_DEGRADED_S, SKEW_CRITICAL_S = 2.0, 60.0
# Below half a gigabyte a day's growth of the file and its backup copy no longer fit; with 64 MB the next commits fail.
DISK_DEGRADED_BYTES, DISK_CRITICAL_BYTES = 512 * 10**6, 64 * 10**6
EVENTS_ON_SCREEN = 3  # the newest; `--json` and the store have more
# Fed every few seconds of systemd's 90: a minute without means that a loop is past its own deadline.
WATCHDOG_DEGRADED = timedelta(seconds=60)


def buffer(state: State, live: Live, now: datetime) -> list[Line]:
    """What waits for the cloud, and what the cloud would not have."""
    lines = [_pending(state, live, now), *_disk(live)]
    if state.n_held_batches:
        lines.append(
            bad(
                "buffer.held",
                Level.DEGRADED,
                f"{counted(state.n_held_batches, 'batch', 'batches')} set aside",
                why=f"it cannot land as it is: {state.held_reason}",
                advice="other batches pass; update the side that is wrong, nothing is dropped meanwhile",
            )
        )
    return [*lines, *_lineage(state, now)]


def _lineage(state: State, now: datetime) -> list[Line]:
    """A past that is not what it seemed: told for a while, for nothing stays behind that could be looked at."""
    lines = list[Line]()
    if state.rotation is not None:
        lines.append(
            bad(
                "buffer.rotated",
                Level.DEGRADED,
                f"a new stream since {clock(from_ms(state.rotation.closed_at), now)}",
                why=state.rotation.reason,
                advice="nothing is lost by it; if this file was neither restored nor copied, see who else runs on it",
            )
        )
    if state.losses is not None:
        lines.append(
            bad(
                "buffer.gap",
                Level.DEGRADED,
                counted(state.losses.n_rows, "row") + f" lost, found {clock(from_ms(state.losses.found_at), now)}",
                why="the cloud went back in time and they are not held here any more",
                advice="oddsd audit lists them; an older copy of this file or of the cloud may have them",
            )
        )
    return lines


def _disk(live: Live) -> list[Line]:
    """The room left for the file; told with the pending rows while there is enough."""
    if live.disk is None or live.disk.free_bytes >= DISK_DEGRADED_BYTES:
        return []
    free = size(live.disk.free_bytes)
    return [
        bad(
            "buffer.disk",
            Level.CRITICAL if live.disk.free_bytes < DISK_CRITICAL_BYTES else Level.DEGRADED,
            f"disk free {free} of {size(live.disk.total_bytes)}",
            why=f"only {free} are left where the data lies",
            advice="free space; what is stored stays, but a full disk stops collection",
        )
    ]


def _pending(state: State, live: Live, now: datetime) -> Line:
    key, file = "buffer", f"file {size(state.buffer_bytes)}"
    if live.disk is not None and live.disk.free_bytes >= DISK_DEGRADED_BYTES:
        file = f"{file}, disk free {size(live.disk.free_bytes)}"
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
        return [held]
    if not link.connected:  # the age of what waits decides the level: a short cut is no alarm
        return [fine(key, "away" if link.last_error else "connecting", link.last_error, last)]
    trip = "connected" if link.round_trip_ms is None else f"{link.round_trip_ms:.0f} ms"
    if link.too_new is None:
        return [fine(key, trip, link.transport, last)]
    older = bad(
        key,
        Level.DEGRADED,
        trip,
        link.transport,
        last,
        why=link.too_new,
        advice="update the cloud: oddsd-cloud migrate; they wait here, everything else goes on",
    )
    return [older]


def last_sync(state: State, live: Live) -> datetime | None:
    """When the cloud last took a batch, as far as anybody remembers."""
    return live.cloud.last_batch_at or state.last_acked_at


def clocks(live: Live) -> list[Line]:
    """This machine's clock against a time source and against the cloud's."""
    key, skew = "clock", live.cloud.skew_s
    kept = {True: "synchronised", False: "not synchronised", None: None}[live.synchronised]
    if skew is None:
        return [fine(key, kept or "nothing to compare it with")]
    text = f"{skew:+.1f} s against the cloud's"
    if abs(skew) <= SKEW_DEGRADED_S:
        return [fine(key, kept, text)]
    return [
        bad(
            key,
            Level.CRITICAL if abs(skew) > SKEW_CRITICAL_S else Level.DEGRADED,
            kept,
            text,
            why=f"this clock and the cloud's differ by {abs(skew):.1f} s",
            advice="check time synchronisation on this machine (timedatectl)",
        )
    ]


def mqtt(live: Live, now: datetime) -> list[Line]:
    """The link to the broker, where there is one."""
    key, link = "mqtt", live.mqtt
    if not link.configured:
        return [fine(key, "not configured")]
    if link.connected or link.last_error is None:
        seen = None if link.home_seen_at is None else f"Home Assistant seen {clock(link.home_seen_at, now)}"
        heard = "our words do not come back: see the broker's rights for our topics" if link.unheard else None
        return [fine(key, "connected" if link.connected else "connecting", seen, heard)]
    return [
        bad(
            key,
            Level.DEGRADED,
            "not connected",
            why=link.last_error,
            advice="check broker address and credentials; only this status feed is affected, no data",
        )
    ]


def alerts(live: Live, now: datetime) -> list[Line]:
    """Whether the operator can be reached; nothing where he did not ask to be."""
    key, teller = "alerts", live.alerts
    if not teller.n_targets:
        return []
    told = f"last told {ago(teller.last_told_at, now)}"
    if teller.failing_since is None:
        return [fine(key, counted(teller.n_targets, "target"), told)]
    return [
        bad(
            key,
            Level.DEGRADED,
            counted(teller.n_targets, "target"),
            told,
            why=f"{teller.last_error} (since {clock(teller.failing_since, now)})",
            advice="check alert_urls and the service behind it; what is untold is told once it answers",
        )
    ]


def jobs(state: State, live: Live, now: datetime) -> list[Line]:
    """All jobs but collect, which has its own section: how many are well, and each that is not or works now."""
    known = {job.job: job for job in state.jobs}
    names = sorted((known.keys() | live.next_due.keys()) - {COLLECT})
    if not names:
        return [fine("jobs", "none has run yet")]
    pauses = {pause.job: pause for pause in state.pauses}
    lines = [
        _job(known.get(name, JobState(job=name)), live, now, paused=pause_of(pauses, name) is not None)
        for name in names
    ]
    n_well = sum(line.level is Level.OK for line in lines)
    well = f"{n_well} of {len(names)} well" if n_well < len(names) else f"all {len(names)} well"
    running = [job for job in state.jobs if job.running_since is not None and job.job != COLLECT]
    busy = [f"{job.job} running for {span(now - job.running_since)}" for job in running if job.running_since]
    summary = fine("jobs", well, *busy, _soonest(live, now))
    return [summary, *(line for line in lines if line.level is not Level.OK), *_dead_letters(state)]


def _soonest(live: Live, now: datetime) -> str | None:
    coming = min(((at, name) for name, at in live.next_due.items() if name != COLLECT), default=None)
    return None if coming is None else f"next {coming[1]} {due(coming[0], now)}"


def _dead_letters(state: State) -> list[Line]:
    if not state.n_dead_letters:
        return []
    return [
        bad(
            "jobs.dead_letters",
            Level.DEGRADED,
            counted(state.n_dead_letters, "dead letter"),
            why="units of work failed for good and are not tried again by themselves",
            advice="oddsd dead-letter list tells why; then retry or drop them",
        )
    ]


def _job(job: JobState, live: Live, now: datetime, *, paused: bool) -> Line:
    key, coming = f"jobs.{job.job}", "paused" if paused else next_of(live, job.job, now)
    running = None if job.running_since is None else f"running for {span(now - job.running_since)}"
    last = f"{job.job} {job.state} {ago(job.ended_at, now)}" if job.state else f"{job.job} has not run yet"
    if job.state not in {"partial", "failed"}:
        return fine(key, last, running, coming)
    again = "it runs again by itself" if coming and not paused else "run it by hand"
    return bad(
        key,
        Level.DEGRADED,
        last,
        running,
        coming,
        why=job.reason or "no reason was recorded",
        advice=f"{again}; what is done stays done. The log has the run's lines under its run_id",
    )


def _paused(pause: Pause, now: datetime) -> Line:
    everything = pause.job == EVERY_JOB
    return bad(
        "daemon.paused" if everything else f"daemon.paused.{pause.job}",
        Level.DEGRADED,
        f"{'all jobs' if everything else pause.job} paused since {clock(pause.paused_at, now)}",
        why=pause.reason or "somebody asked for a pause: no timer starts it",
        advice=f"oddsd resume{'' if everything else f' {pause.job}'} when you are done",
    )


def daemon(state: State, live: Live, now: datetime) -> list[Line]:
    """The process itself, and what somebody has paused."""
    lines = [_watchdog(live, now), *(_paused(pause, now) for pause in state.pauses)]
    if live.metrics_error is not None:
        lines.append(
            bad(
                "daemon.metrics",
                Level.DEGRADED,
                "metrics are not served",
                why=live.metrics_error,
                advice="give metrics_port a free port; nothing else is affected",
            )
        )
    return lines


def events(state: State, now: datetime) -> list[Line]:
    """What went wrong lately, the newest first; each is over or has a line of its own above."""
    told = [one for one in state.incidents if worth_a_line(one)]
    return [fine("events", story(one, now)) for one in told[:EVENTS_ON_SCREEN]]


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
