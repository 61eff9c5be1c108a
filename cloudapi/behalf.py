"""On whose behalf the database is asked: the second line behind `where account_id = ...`.

Law: while a subscriber's request is worked on, every connection it takes sees the rows of that account alone, whatever
the query says (row-level security, `roles.sql`). Answers made for everybody, and the service's own work (looking up a
key, a login, Stripe's events), are asked on nobody's behalf; a login without a word about it sees no account at all.
The word is taken back when the connection goes back to the pool, by the driver's own `RESET ALL`.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

SETTING = "app.account_id"  # read by the policies
EVERYBODY = "any"

CONFINE = f"select set_config('{SETTING}', $1, false)"

_asking: ContextVar[uuid.UUID | None] = ContextVar("asking", default=None)


@contextmanager
def on_behalf_of(account_id: uuid.UUID | None) -> Iterator[None]:
    """What is asked inside is asked for this account; None: for nobody in particular."""
    token = _asking.set(account_id)
    try:
        yield
    finally:
        _asking.reset(token)


async def confine(connection: Any) -> None:
    """Called by the pool with each connection it hands out: one round trip, and only where an account asks."""
    account_id = _asking.get()
    if account_id is not None:
        await connection.execute(CONFINE, str(account_id))
