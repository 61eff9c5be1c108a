"""What each room of the work has to say, from collecting to the benchmark, and where it stops being ok. Pure.

Law: each threshold stands here once, with its reason; what was switched off on purpose is ok and says that it is off.
The machinery under it speaks in plant.py. Called by report.py.
"""

from datetime import datetime, timedelta

from agent.jobs.pauses import pause_of
from agent.status.spans import ago, clock, counted, due, span, usd
from agent.status.state import COLLECT, Live, State, VenueState
from agent.status.statements import Level, Line, bad, fine
from agent.store.drift import Drift

# One missed slot may be a slow venue; after two the history has a hole.
MISSED_SLOTS_CRITICAL = 2


def collect(state: State, live: Live, now: datetime) -> list[Line]:
    """The tick, then each venue."""
    venues = [_venue(venue, live, now) for venue in state.venues if venue.venue in live.venues]
    drifts = [_drift(drift, now) for drift in state.drifts if drift.venue in live.venues]
    return [_collect_tick(state, live, now), *venues, *drifts]


def _collect_tick(state: State, live: Live, now: datetime) -> Line:
    key, last = "collect", state.last_collected_at
    tick, coming = f"last tick {ago(last, now)}", next_of(live, COLLECT, now)
    if coming is None:
        return fine(key, tick, "not scheduled")
    paused = pause_of({pause.job: pause for pause in state.pauses}, COLLECT) is not None
    limit = timedelta(seconds=MISSED_SLOTS_CRITICAL * live.collect_every_s)
    since = max(filter(None, (last, live.started_at)))
    if now - since > limit and not paused:
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


def arbitrage(state: State) -> list[Line]:
    """What pays for certain, on both venues together."""
    return [fine("arbitrage", f"{counted(state.n_arbitrage, 'edge')} after fees" if state.n_arbitrage else "no edge")]


def next_of(live: Live, job: str, now: datetime) -> str | None:
    """When a job is due next, in words; None where it is not scheduled."""
    moment = live.next_due.get(job)
    return None if moment is None else f"next {due(moment, now)}"
