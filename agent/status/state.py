"""What the daemon knows about itself: counts read from the store, and live facts the store cannot know.

Law: numbers only, no judgement (report.py judges); what is unknown is None. `load_state` is a handful of indexed
queries, cheap enough for every few seconds. Contract with the jobs it reads: the collect job counts
`<venue>_quotes`, and its reason says "<venue>: why" for each venue that failed and "drift: <venue>: what" for each
whose format changed, joined by "; "; the benchmark job counts `checks`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from agent.core.instants import from_ms, moment, to_ms
from agent.jobs.pauses import Pause, load_pauses
from agent.store.drift import Drift, load_drifts
from agent.store.glance import (
    WatchedMarket,
    load_arbitrage,
    load_dead_letters,
    load_top_insight,
    load_watched,
)
from agent.store.incidents import Incident, load_recent
from agent.store.outbox import Losses, Rotation, load_backlog, load_losses, load_rotation, load_stream
from agent.store.tx import Reader, Row
from sync.records import MarketStatus, Venue

COLLECT, BENCHMARK = "collect", "benchmark"
DRIFT = "drift"
_RUNS_LOOKED_AT = 96  # a day of quarter hours: how far back "failing since" can see
_NANO = Decimal(10) ** -9
EVENTS_SHOWN = 10  # the newest; older ones are in the store
_EVENTS_BACK = timedelta(days=7)
_ROTATIONS_BACK, _LOSSES_BACK = timedelta(days=1), timedelta(days=7)  # so long they are worth a person's look


class CloudLive(msgspec.Struct, frozen=True, kw_only=True):
    """The sender's view of the cloud."""

    configured: bool = False
    connected: bool = False
    transport: str | None = None  # "postgres", "https"
    last_batch_at: datetime | None = None
    round_trip_ms: float | None = None
    skew_s: float | None = None  # cloud's clock minus ours
    held_reason: str | None = None  # credentials or versions: waiting for a person
    last_error: str | None = None
    too_new: str | None = None  # what the cloud is too old for; the rest goes on


class MqttLive(msgspec.Struct, frozen=True, kw_only=True):
    """The publisher's view of its broker."""

    configured: bool = False
    connected: bool = False
    last_error: str | None = None
    home_seen_at: datetime | None = None  # last birth message of Home Assistant
    unheard: bool = False  # our own words do not come back: the broker's rights may keep them


class LlmLive(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's view of itself."""

    off_reason: str | None = None  # in words: no key, switched off
    daily_cap_usd: Decimal | None = None


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The file system the data lies on."""

    free_bytes: int
    total_bytes: int


class AlertsLive(msgspec.Struct, frozen=True, kw_only=True):
    """The teller's view of its targets."""

    n_targets: int = 0
    last_told_at: datetime | None = None
    failing_since: datetime | None = None
    last_error: str | None = None


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What only the running process knows."""

    started_at: datetime
    version: str
    host_id: str
    cloud: CloudLive = CloudLive()
    mqtt: MqttLive = MqttLive()
    llm: LlmLive = LlmLive()
    venues: tuple[Venue, ...] = tuple(Venue)
    next_due: dict[str, datetime] = {}  # per job that is scheduled
    collect_every_s: float = 900.0  # COL1: a quarter hour
    watchdog_at: datetime | None = None  # last ping to systemd; None where nobody listens
    disk: Disk | None = None
    synchronised: bool | None = None  # whether the machine's clock follows a time source; None: not known
    alerts: AlertsLive = AlertsLive()
    metrics_error: str | None = None  # why /metrics is not served although it should be


class VenueState(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange as the last collect runs saw it."""

    venue: Venue
    n_open: int
    n_rejects_day: int  # different unreadable records seen in the last 24 h
    n_quotes: int | None = None  # stored by the last run
    last_good_at: datetime | None = None
    failing_since: datetime | None = None
    n_failed_runs: int = 0  # in a row
    reason: str | None = None


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """A job's last finished run, and whether one is under way."""

    job: str
    state: str | None = None  # ok, partial, failed; None before the first has ended
    ended_at: datetime | None = None
    reason: str | None = None
    running_since: datetime | None = None


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """The newest link of the prediction record."""

    chain_seq: int
    record_hash: str
    predicted_at: datetime


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What the store says. "Today" is the UTC day of the question."""

    stream_id: str
    venues: tuple[VenueState, ...]
    jobs: tuple[JobState, ...]
    last_collected_at: datetime | None  # end of the last collect run in which a venue answered
    n_patterns_today: int
    last_pattern_at: datetime | None
    n_insights_today: int
    last_insight_at: datetime | None
    n_llm_calls_today: int
    llm_spent_usd: Decimal  # booked and still reserved
    n_active_predictions: int
    n_predictions_today: int
    chain: Chain | None
    n_checks_today: int | None
    n_pending_rows: int
    n_pending_batches: int
    n_held_batches: int
    held_reason: str | None
    oldest_pending_at: datetime | None
    last_acked_at: datetime | None
    buffer_bytes: int
    drifts: tuple[Drift, ...] = ()  # venues whose format is not what it was
    pauses: tuple[Pause, ...] = ()
    n_sent_rows: int = 0  # of the stream in use, and acknowledged
    top_insight: str | None = None
    n_arbitrage: int = 0  # standing edges
    n_dead_letters: int = 0  # units that wait for a person
    watched: tuple[WatchedMarket, ...] = ()
    incidents: tuple[Incident, ...] = ()  # the newest first
    rotation: Rotation | None = None  # of the last day
    losses: Losses | None = None  # of the last week


async def load_state(reader: Reader, *, now: datetime, watch: Sequence[str] = ()) -> State:
    """Everything the store can say about the house.

    Args:
        watch: the operator's watch list: market keys, venues' ids, event ids.
    Raises: StoreError.
    """
    midnight = to_ms(now.replace(hour=0, minute=0, second=0, microsecond=0))
    day = now.date().isoformat()
    backlog = await load_backlog(reader)
    venues = await _load_venues(reader, since=to_ms(now - timedelta(days=1)))
    n_patterns, last_pattern = await _recent(reader, "patterns", "detected_at", midnight)
    n_insights, last_insight = await _recent(reader, "insights", "created_at", midnight)
    n_calls, spent_nano = await _one(reader, _SPENT, (day,))
    chain = await _load_chain(reader)
    stream = await load_stream(reader)
    return State(
        stream_id=stream.stream_id,
        venues=venues,
        jobs=tuple(_job_from_row(row) for row in await reader.fetch(_JOBS)),
        last_collected_at=max((v.last_good_at for v in venues if v.last_good_at is not None), default=None),
        n_patterns_today=n_patterns,
        last_pattern_at=last_pattern,
        n_insights_today=n_insights,
        last_insight_at=last_insight,
        n_llm_calls_today=n_calls,
        llm_spent_usd=spent_nano * _NANO,
        n_active_predictions=await reader.fetch_value("SELECT count(*) FROM predictions WHERE state = 'active'"),
        n_predictions_today=await _count_links_since(reader, chain, midnight),
        chain=chain,
        n_checks_today=await reader.fetch_value(_CHECKS, (BENCHMARK, midnight)),
        n_pending_rows=backlog.n_rows,
        n_pending_batches=backlog.n_batches,
        n_held_batches=backlog.n_held,
        held_reason=await reader.fetch_value(_HELD) if backlog.n_held else None,
        oldest_pending_at=moment(backlog.oldest_sealed_at),
        last_acked_at=moment(await reader.fetch_value(_ACKED)),
        drifts=tuple((await load_drifts(reader)).values()),
        pauses=tuple((await load_pauses(reader)).values()),
        n_sent_rows=max(0, stream.last_seq - backlog.n_rows),
        top_insight=await load_top_insight(reader, now=now),
        n_arbitrage=await load_arbitrage(reader),
        n_dead_letters=await load_dead_letters(reader),
        watched=tuple(await load_watched(reader, watch)) if watch else (),
        incidents=tuple(await load_recent(reader, since=now - _EVENTS_BACK, limit=EVENTS_SHOWN)),
        rotation=await load_rotation(reader, since_ms=to_ms(now - _ROTATIONS_BACK)),
        losses=await load_losses(reader, since_ms=to_ms(now - _LOSSES_BACK)),
        buffer_bytes=await reader.fetch_value("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"),
    )


# A reservation counts as spent until it is booked: the cap is kept by what could be owed.
_SPENT = """
SELECT count(*), coalesce(sum(CASE state WHEN 'booked' THEN cost_nano WHEN 'reserved' THEN reserved_nano END), 0)
FROM llm_calls WHERE day = ? AND state <> 'released'
"""
# Names first, each found by one index probe; then the newest rows of each name.
_JOBS = """
WITH RECURSIVE names (job) AS (
    SELECT min(job) FROM job_runs
    UNION ALL SELECT (SELECT min(job) FROM job_runs r WHERE r.job > names.job) FROM names WHERE names.job IS NOT NULL)
SELECT names.job, done.state, done.ended_at, done.reason, newest.state AS newest_state, newest.started_at
FROM names
JOIN job_runs newest ON newest.run_id =
    (SELECT run_id FROM job_runs r WHERE r.job = names.job ORDER BY started_at DESC LIMIT 1)
LEFT JOIN job_runs done ON done.run_id =
    (SELECT run_id FROM job_runs r WHERE r.job = names.job AND r.state IN ('ok', 'partial', 'failed')
     ORDER BY started_at DESC LIMIT 1)
ORDER BY names.job
"""
_RUNS = """
SELECT state, started_at, coalesce(ended_at, started_at) AS ended_at, counts, reason FROM job_runs
WHERE job = ? AND state IN ('ok', 'partial', 'failed') ORDER BY started_at DESC LIMIT ?
"""
_CHECKS = "SELECT sum(json_extract(counts, '$.checks')) FROM job_runs WHERE job = ? AND started_at >= ?"
_HELD = "SELECT held_reason FROM batches WHERE acked_at IS NULL AND held_reason IS NOT NULL ORDER BY lo LIMIT 1"
# The newest acknowledged number, not the newest acknowledgement: near enough for people, and no scan of all bodies.
_ACKED = """
SELECT acked_at FROM batches WHERE stream_id = (SELECT stream_id FROM streams WHERE closed_at IS NULL)
    AND acked_at IS NOT NULL ORDER BY lo DESC LIMIT 1
"""


class _Run(msgspec.Struct, frozen=True, kw_only=True):
    """A finished collect run."""

    state: str
    started_at: datetime
    ended_at: datetime
    counts: dict[str, int]
    reason: str | None


async def _load_venues(reader: Reader, *, since: int) -> tuple[VenueState, ...]:
    runs = [_run_from_row(row) for row in await reader.fetch(_RUNS, (COLLECT, _RUNS_LOOKED_AT))]
    # A literal, not a parameter: only then may SQLite use an index over the open ones.
    n_open = await _by_venue(reader, "markets", f"status = '{MarketStatus.OPEN}'")
    n_rejects = await _by_venue(reader, "rejects", "last_seen_at >= ?", since)
    return tuple(
        _venue_state(venue, runs, n_open=n_open.get(venue, 0), n_rejects_day=n_rejects.get(venue, 0)) for venue in Venue
    )


async def _by_venue(reader: Reader, table: str, condition: str, *values: int) -> dict[str, int]:
    rows = await reader.fetch(f"SELECT venue, count(*) AS n FROM {table} WHERE {condition} GROUP BY venue", values)
    return {row["venue"]: row["n"] for row in rows}


def _run_from_row(row: Row) -> _Run:
    return _Run(
        state=row["state"],
        started_at=from_ms(row["started_at"]),
        ended_at=from_ms(row["ended_at"]),
        counts=msgspec.json.decode(row["counts"] or "{}"),
        reason=row["reason"],
    )


def _venue_state(venue: Venue, runs: list[_Run], *, n_open: int, n_rejects_day: int) -> VenueState:
    """Read one venue's share out of the collect runs, newest first."""
    faults = [failure(run.state, run.reason, venue) for run in runs]
    n_failed = next((i for i, fault in enumerate(faults) if fault is None), len(runs))
    good = runs[n_failed] if n_failed < len(runs) else None
    return VenueState(
        venue=venue,
        n_open=n_open,
        n_rejects_day=n_rejects_day,
        n_quotes=runs[0].counts.get(f"{venue}_quotes") if runs and not n_failed else None,
        last_good_at=None if good is None else good.ended_at,
        failing_since=runs[n_failed - 1].started_at if n_failed else None,
        n_failed_runs=n_failed,
        reason=faults[0] if n_failed else None,
    )


def failure(state: str, reason: str | None, venue: Venue) -> str | None:
    """Why a collect run failed for one venue, or None if it did not.

    A reason that names no venue at all speaks of the whole run.
    """
    if state == "ok":
        return None
    parts = (reason or "").split("; ")
    own, named, speaker = list[str](), False, ""
    for part in parts:
        head, colon, rest = part.partition(": ")
        subject = head.partition(":")[0]  # a unit that died is named "<venue>:<slot>"
        if colon and subject in set(Venue):
            named, speaker = True, subject
        elif colon and subject == DRIFT:
            speaker = ""  # the venue answered; what it said has a line of its own
        if speaker == venue:
            own.append(rest if subject == venue else part)
    if own:
        return "; ".join(own)
    return None if named or state == "partial" else (reason or "the run failed without a reason")


def _job_from_row(row: Row) -> JobState:
    running = row["newest_state"] == "running"
    return JobState(
        job=row["job"],
        state=row["state"],
        ended_at=moment(row["ended_at"]),
        reason=row["reason"],
        running_since=from_ms(row["started_at"]) if running else None,
    )


async def _recent(reader: Reader, table: str, column: str, since: int) -> tuple[int, datetime | None]:
    """How many rows since a moment, and when the newest of all is from."""
    count = await reader.fetch_value(f"SELECT count(*) FROM {table} WHERE {column} >= ?", (since,))
    return count, moment(await reader.fetch_value(f"SELECT max({column}) FROM {table}"))


async def _load_chain(reader: Reader) -> Chain | None:
    row = await reader.fetch_one(
        "SELECT chain_seq, record_hash, predicted_at FROM predictions ORDER BY chain_seq DESC LIMIT 1"
    )
    if row is None:
        return None
    return Chain(chain_seq=row["chain_seq"], record_hash=row["record_hash"], predicted_at=from_ms(row["predicted_at"]))


async def _count_links_since(reader: Reader, chain: Chain | None, since: int) -> int:
    """The chain has no gaps, so its numbers count; walking back reads today's links only."""
    if chain is None:
        return 0
    before = await reader.fetch_value(
        "SELECT chain_seq FROM predictions WHERE predicted_at < ? ORDER BY chain_seq DESC LIMIT 1", (since,)
    )
    first = await reader.fetch_value("SELECT min(chain_seq) FROM predictions") if before is None else before + 1
    return chain.chain_seq - int(first) + 1


async def _one(reader: Reader, sql: str, params: tuple[object, ...]) -> Row:
    row = await reader.fetch_one(sql, params)
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return row
