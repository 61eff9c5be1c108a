"""Model calls: one row each, written as a reservation before the call and settled after it.

Law: money is integer nano-dollars; a row counts against its UTC day as what it reserved until it is booked at what
it cost; a released row (known not to have been charged) costs nothing, but was a call if it was sent at all. Tokens
that nobody told count as the worst case, like money.
"""

from typing import Literal

import msgspec

from agent.store.tx import Reader, Tx


class CallRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is known before a call is made."""

    call_id: str
    day: str
    purpose: str
    model: str
    reserved_nano: int
    prompt_hash: str
    prompt_version: str
    started_at: int
    reserved_tokens: int = 0  # prompt and answer, at most
    prices_as_of: str | None = None
    market_key: str | None = None
    run_id: str | None = None


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended."""

    state: Literal["booked", "released"]
    outcome: Literal["ok", "invalid", "refused", "unavailable", "timeout", "abandoned"]
    ended_at: int
    cost_nano: int
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    latency_ms: int | None = None
    error: str | None = None


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What one purpose used of one model in a day, for people and for the caps."""

    purpose: str
    model: str
    n_calls: int  # sent, whatever came back
    n_failed: int
    n_tokens: int  # counted by the service, or the worst case where it did not say
    spent_nano: int
    reserved_nano: int  # of calls under way

    @property
    def total_nano(self) -> int:
        """What counts against the cap."""
        return self.spent_nano + self.reserved_nano


async def insert_reservation(tx: Tx, call: CallRow) -> None:
    """Write a call before it is made."""
    await tx.execute(
        "INSERT INTO llm_calls (call_id, day, purpose, model, state, reserved_nano, reserved_tokens, prices_as_of,"
        " prompt_hash, prompt_version, started_at, market_key, run_id)"
        " VALUES (:call_id, :day, :purpose, :model, 'reserved', :reserved_nano, :reserved_tokens, :prices_as_of,"
        " :prompt_hash, :prompt_version, :started_at, :market_key, :run_id)",
        msgspec.to_builtins(call),
    )


async def settle(tx: Tx, call_id: str, settlement: Settlement) -> None:
    """Replace a reservation by what the call came to. A settled row is never changed again."""
    await tx.execute(
        "UPDATE llm_calls SET state = :state, outcome = :outcome, ended_at = :ended_at,"
        " cost_nano = :cost_nano,"
        " prompt_tokens = :prompt_tokens, cached_tokens = :cached_tokens, completion_tokens = :completion_tokens,"
        " latency_ms = :latency_ms, error = :error"
        " WHERE call_id = :call_id AND state = 'reserved'",
        {"call_id": call_id, **msgspec.to_builtins(settlement)},
    )


async def abandon_older(tx: Tx, *, before_ms: int, now_ms: int) -> int:
    """Book reservations nobody will settle any more at what they reserved; returns how many."""
    return await tx.execute(
        "UPDATE llm_calls SET state = 'booked', outcome = 'abandoned', cost_nano = reserved_nano, ended_at = ?,"
        " error = 'the process ended before the answer came; counted as spent'"
        " WHERE state = 'reserved' AND started_at < ?",
        (now_ms, before_ms),
    )


# Released without having been sent is what "abandoned" says of a released row: no call at all.
_SPENDING = """
SELECT purpose, model,
    sum(NOT (state = 'released' AND outcome = 'abandoned')) AS n_calls,
    coalesce(sum(outcome IS NOT NULL AND outcome <> 'ok' AND NOT (state = 'released' AND outcome = 'abandoned')), 0)
        AS n_failed,
    coalesce(sum(CASE state WHEN 'booked' THEN coalesce(prompt_tokens + completion_tokens, reserved_tokens)
        WHEN 'reserved' THEN reserved_tokens END), 0) AS n_tokens,
    coalesce(sum(CASE state WHEN 'booked' THEN cost_nano END), 0) AS spent_nano,
    coalesce(sum(CASE state WHEN 'reserved' THEN reserved_nano END), 0) AS reserved_nano
FROM llm_calls WHERE day = ? GROUP BY purpose, model ORDER BY purpose, model
"""


async def load_spending(reader: Reader, day: str) -> list[Spending]:
    """What each purpose has used of each model on a UTC day."""
    return [Spending(**dict(row)) for row in await reader.fetch(_SPENDING, (day,))]
