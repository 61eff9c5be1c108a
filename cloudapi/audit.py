"""Who did what: one line per deed that touches money, access or data, without secrets.

Law: a line is written in the transaction of its deed. What may stand in it is listed per word: anything else is a bug
that the test of this file finds, so no token, address, e-mail or password can slip in by growing a call.
"""

import uuid
from enum import StrEnum
from typing import Any

import msgspec

from cloudapi.db import Connection, Pool

ALLOWED = frozenset({
    "tier", "before", "status", "id", "kind", "topics", "name", "is_on", "share", "hour", "time_zone", "why",
})  # fmt: skip

INSERT = "insert into audit_log (account_id, actor, action, detail) values ($1, $2, $3, $4::jsonb)"
LOAD = """
select audit_id, at, actor, action, detail from audit_log
where account_id = $1 and ($2::bigint is null or audit_id < $2) order by audit_id desc limit $3
"""


class Actor(StrEnum):
    """Whose deed it was."""

    ACCOUNT = "account"
    OPERATOR = "operator"
    STRIPE = "stripe"
    WORKER = "worker"


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """A deed as its account may read it."""

    audit_id: int
    at: Any
    actor: str
    action: str
    detail: dict[str, Any]


async def note(
    connection: "Connection | Pool",
    account_id: uuid.UUID | None,
    action: str,
    *,
    actor: Actor = Actor.ACCOUNT,
    **detail: Any,
) -> None:
    """Write one line. Raises: ValueError for a word that is not listed."""
    unknown = detail.keys() - ALLOWED
    if unknown:
        raise ValueError(
            f"the audit log takes no {', '.join(sorted(unknown))}: list it in audit.ALLOWED if it is no secret"
        )
    await connection.execute(INSERT, account_id, actor, action, msgspec.json.encode(detail).decode())


async def load_lines(pool: Pool, account_id: uuid.UUID, *, before: int | None, limit: int) -> list[AuditLine]:
    """An account's lines, newest first."""
    rows = await pool.fetch(LOAD, account_id, before, limit)
    return [msgspec.convert(dict(row) | {"detail": msgspec.json.decode(row["detail"])}, AuditLine) for row in rows]
