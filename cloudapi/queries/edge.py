"""The edge: what it has delivered, counted from the data itself and from the ledger (the two must agree), the functions
it calls, and what is asked of it.
"""

import uuid
from datetime import datetime
from typing import Literal

import msgspec

from cloudapi.db import Connection, Pool, from_row
from sync.protocol import Answer, Hello, Standing

COUNT_LANDED = """
select
    (select count(*) from market_revision) as markets,
    (select count(*) from price_all) + (select coalesce(sum(n_rows), 0)::bigint from price_dropped) as quotes,
    (select count(*) from pattern) as patterns,
    (select count(*) from insight) as insights,
    (select count(*) from prediction) as predictions,
    (select count(*) from prediction_check) as checks,
    (select count(*) from digest) as digests,
    (select count(*) from market_match) as matches,
    (select count(*) from arbitrage_look) as arbitrage_looks,
    (select count(*) from signal) as signals,
    (select count(*) from prediction_mark) as marks,
    (select count(*) from prediction_score) as scores,
    (select count(*) from benchmark_pass) as benchmark_passes,
    (select count(*) from benchmark_report) as benchmark_reports,
    (select count(*) from session_step) as session_steps,
    (select count(*) from edge_quarantine) as quarantined,
    (select coalesce(sum(hi - lo + 1), 0)::bigint from edge_batch) as acked,
    (select coalesce(sum(inserted), 0)::bigint from edge_batch) as acked_inserted,
    (select coalesce(sum(known), 0)::bigint from edge_batch) as acked_known,
    (select coalesce(sum(upper(r) - lower(r)), 0)::bigint from edge_stream, unnest(acked) as r) as in_ranges,
    (select count(*) from price_snapshot_default) as unpartitioned
"""


class Landed(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in the cloud per kind, beside what the ledger says was applied."""

    markets: int  # versions of markets, not markets
    quotes: int
    patterns: int
    insights: int
    predictions: int
    checks: int
    digests: int
    matches: int
    arbitrage_looks: int
    signals: int
    marks: int
    scores: int
    benchmark_passes: int
    benchmark_reports: int
    session_steps: int
    quarantined: int
    acked: int
    acked_inserted: int
    acked_known: int
    in_ranges: int
    unpartitioned: int  # quotes in the default partition: must be 0

    @property
    def rows(self) -> int:
        """Everything that is here, set aside rows included: equals `acked` when nothing was sent twice."""
        return self.inserted + self.quarantined

    @property
    def inserted(self) -> int:
        found = self.patterns + self.insights + self.predictions + self.checks + self.digests
        benchmarked = self.marks + self.scores + self.benchmark_passes + self.benchmark_reports
        said = self.matches + self.arbitrage_looks + self.signals + self.session_steps
        return self.markets + self.quotes + found + said + benchmarked

    @property
    def adds_up(self) -> bool:
        """The conservation law: data, ledger and ranges tell the same story."""
        ledger = self.acked_inserted + self.acked_known + self.quarantined
        return self.acked == self.in_ranges == ledger and self.inserted == self.acked_inserted


async def count_landed(source: "Pool | Connection") -> Landed:
    """Count everything; for audits and the demo, not for requests (it reads whole tables)."""
    row = await source.fetchrow(COUNT_LANDED, timeout=60)
    if row is None:
        raise RuntimeError("a count without a row")
    return from_row(row, Landed)


# ---------------------------------------------------------------- the functions an edge may call, as they answer

DELIVERY_S = 60.0  # as the edge's own role has it: a batch is 5,000 rows, not a reader's question

HELLO = "select edge_hello($1, $2::uuid, $3::uuid, $4::uuid, $5, $6, $7, $8, $9)::text"
APPLY = "select edge_apply($1, $2, $3, $4, $5, $6, $7)::text"
AUDIT = "select edge_audit($1, $2)::text"
LEASE = "select edge_lease($1, $2, $3, $4)::text"
RENEW = "select edge_renew($1, $2::uuid[], $3)"
COMPLETE = "select edge_complete($1, $2, $3, $4)"
ATTEND = "select edge_attend($1, $2, $3)::text"
TELL = "select edge_tell($1, $2, $3, $4, $5)"
HOSTS = "select * from edge_hosts()"
ASK = "select edge_ask($1, $2::jsonb, $3, make_interval(secs => $4))"
IS_WAITING = """
select exists (
    select from edge_request
    where state in ('waiting', 'leased') and expires_at > now() and (leased_until is null or leased_until <= now())
)
"""
LOAD_REQUEST = """
select request_id, kind, state, requested_at, expires_at, host_id, attempts, result::text as result, reason, finished_at
from edge_request where request_id = $1
"""


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """A host as the cloud sees it. What it says of itself is missing until it has said it."""

    host_id: str
    agent_version: str | None
    first_seen_at: datetime
    last_seen_at: datetime
    on_duty: bool  # holds a lease on its share of the work now
    standby: bool
    level: Literal["ok", "degraded", "critical"] | None
    says: str | None
    pending_rows: int | None  # waiting there to be sent
    oldest_pending_at: datetime | None
    told_at: datetime | None
    last_batch_at: datetime | None
    set_aside: int  # rows of it that could not be applied


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it came over HTTPS, unpacked."""

    stream: uuid.UUID
    lo: int
    hi: int
    digest: bytes
    schema_v: int
    fence: int
    text: str


class Outcome(msgspec.Struct):
    """The one word of a receipt that becomes a status."""

    result: str


class RequestRow(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the edge as it stands; `result` is JSON text."""

    request_id: uuid.UUID
    kind: str
    state: str
    requested_at: datetime
    expires_at: datetime
    host_id: str | None
    attempts: int
    result: str | None
    reason: str | None
    finished_at: datetime | None


async def hello(pool: Pool, said: Hello) -> str:
    """The cloud's answer to a hello, as JSON."""
    streams = (said.stream_id, said.prev_token, said.next_token)
    edge = (said.boot_id, said.client_time, said.schema_v, said.agent_version, said.local_hi)
    answer: str = await pool.fetchval(HELLO, said.host_id, *streams, *edge)
    return answer


async def apply(pool: Pool, batch: Delivery) -> str:
    """The receipt, as JSON. Raises: asyncpg.DataError where the function refuses the content."""
    numbers = (batch.stream, batch.fence, batch.lo, batch.hi)
    async with pool.acquire() as connection:
        await connection.execute(f"set statement_timeout = {int(DELIVERY_S * 1000)}")  # reset when it is released
        receipt: str = await connection.fetchval(
            APPLY, *numbers, batch.digest, batch.schema_v, batch.text, timeout=DELIVERY_S + 1
        )
    return receipt


async def audit(pool: Pool, stream: uuid.UUID, first: int) -> str:
    """What the ledger says of a stream, as JSON."""
    answer: str = await pool.fetchval(AUDIT, stream, first)
    return answer


async def lease(pool: Pool, host_id: str, kinds: tuple[str, ...], limit: int, lease_s: int) -> str:
    """Requests taken by a host, as JSON."""
    taken: str = await pool.fetchval(LEASE, host_id, kinds, limit, lease_s)
    return taken


async def renew(pool: Pool, host_id: str, requests: tuple[uuid.UUID, ...], lease_s: int) -> None:
    """Go on with requests that take longer than their lease."""
    await pool.execute(RENEW, host_id, requests, lease_s)


async def complete(pool: Pool, request_id: uuid.UUID, answer: Answer) -> str:
    """Store an answer. Returns: done, or known where there was one."""
    result = None if answer.result is None else msgspec.json.encode(answer.result).decode()
    outcome: str = await pool.fetchval(COMPLETE, request_id, answer.state, answer.reason, result)
    return outcome


async def attend(pool: Pool, host_id: str, *, standby: bool, ttl_s: int) -> str:
    """Who shares the work, as JSON. Raises: asyncpg.DataError for what is no host."""
    view: str = await pool.fetchval(ATTEND, host_id, standby, ttl_s)
    return view


async def tell(pool: Pool, host_id: str, standing: Standing) -> None:
    """What a host says of itself. Raises: asyncpg.DataError for what is no host or no standing."""
    said = (standing.level, standing.says, standing.pending_rows, standing.oldest_pending_at)
    await pool.execute(TELL, host_id, *said)


async def load_hosts(pool: Pool) -> list[HostRow]:
    """Every host that was ever heard of, by name."""
    return [from_row(row, HostRow) for row in await pool.fetch(HOSTS)]


async def is_waiting(pool: Pool) -> bool:
    """Whether any edge could take a request now."""
    return bool(await pool.fetchval(IS_WAITING))


# ---------------------------------------------------------------- what the API asks of an edge


async def ask_edge(pool: Pool, kind: str, body: dict[str, object], *, same_as: str, within_s: float) -> uuid.UUID:
    """Ask for work at home. Returns: the request's id; that of the open one where the same is asked already.

    Args:
        same_as: what makes two requests of a kind one, such as a market's key.
        within_s: after that nobody waits for it, and it is not begun any more.
    """
    text = msgspec.json.encode(body).decode()
    request_id: uuid.UUID = await pool.fetchval(ASK, kind, text, same_as, within_s)
    return request_id


async def load_request(pool: Pool, request_id: uuid.UUID) -> RequestRow | None:
    """How a request stands. `pg_notify('edge_answered', id)` tells when it changes."""
    row = await pool.fetchrow(LOAD_REQUEST, request_id)
    return None if row is None else from_row(row, RequestRow)
