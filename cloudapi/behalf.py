"""On whose behalf the database is asked: the second line behind `where account_id = ...`.

Law: while a subscriber's request is worked on, every connection it takes sees the rows of that account alone, whatever
the query says (row-level security, `roles.sql`). Answers made for everybody, and the service's own work (looking up a
key, a login, Stripe's events), are asked on nobody's behalf; a login without a word about it sees no account at all.
The word is taken back when the connection goes back to the pool, by the driver's own `RESET ALL`. Where no word was
said nothing is taken back: nobody leaves anything else behind on a connection of the pool (who listens or holds a lock
beyond a transaction has a connection of his own), and a reader's question is one round trip instead of two.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    DriverConnection = asyncpg.Connection[asyncpg.Record]
else:
    DriverConnection = asyncpg.Connection

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


class PooledConnection(DriverConnection):
    """A connection that knows whether there is a word to take back."""

    _is_confined = False

    async def confine(self, account_id: uuid.UUID) -> None:
        """See this account's rows alone until the connection goes back."""
        self._is_confined = True  # before it is said: whether it arrived is not known where the answer is lost
        await self.execute(CONFINE, str(account_id))

    def get_reset_query(self) -> str:
        """What the driver runs when the connection goes back."""
        return super().get_reset_query() if self._is_confined else ""

    async def reset(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  the driver's own word
        """Called by the pool, which closes the connection if this fails."""
        await super().reset(timeout=timeout)
        self._is_confined = False


async def confine(connection: Any) -> None:
    """Called by the pool with each connection it hands out: one round trip, and only where an account asks."""
    account_id = _asking.get()
    if account_id is not None:
        await connection.confine(account_id)
