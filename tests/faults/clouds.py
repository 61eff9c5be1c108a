"""The clouds a history is told to: one in memory, quick enough for thousands of steps, and the functions of a real one.

Law: both break the line in the same ways and are asked for what landed; neither is believed about what it received.
"""

from collections import deque
from typing import Any, Protocol

import psycopg

from sync.batch import Batch
from sync.errors import SinkUnavailable, TransportError
from sync.protocol import Receipt
from sync.transports.postgres import PostgresSession, PostgresTransport
from tests.fakes.cloud import FakeCloud
from tests.fakes.postgres import EmbeddedPostgres
from tests.faults.promises import LANDED, Landed, landed_in_memory


class Cloud(Protocol):
    """What a history does to a cloud, beside sending."""

    connect_errors: deque[TransportError]
    apply_errors: deque[TransportError]

    def lose_next_reply(self) -> None:
        """The next batch is applied, but the answer never arrives."""

    def mend(self) -> None:
        """Every line is good again."""

    def copy_state(self) -> Any:
        """A backup."""

    def restore(self, state: Any) -> None:
        """Go back in time."""

    def landed(self) -> Landed:
        """Every row that stands there."""


class MemoryCloud(FakeCloud):
    """The fake, asked as a real one is."""

    def mend(self) -> None:
        """Every line is good again."""
        self._lose_replies = 0
        self.connect_errors.clear()
        self.apply_errors.clear()

    def landed(self) -> Landed:
        """Every row that stands there."""
        return landed_in_memory(self.rows)


class PostgresCloud:
    """The real functions in a database of its own; its line breaks on request."""

    name = "postgres"

    def __init__(self, server: EmbeddedPostgres) -> None:
        self.connect_errors, self.apply_errors = deque[TransportError](), deque[TransportError]()
        self.n_replies_to_lose = 0
        self._server = server
        self._owner, edge = server.create_database()
        self._name = self._owner.rpartition("/")[2].partition("?")[0]
        self._copies = list[str]()
        self._road = PostgresTransport(edge, host_id="faults")

    def lose_next_reply(self) -> None:
        """The next batch is applied, but the answer never arrives."""
        self.n_replies_to_lose += 1

    def mend(self) -> None:
        """Every line is good again."""
        self.n_replies_to_lose = 0
        self.connect_errors.clear()
        self.apply_errors.clear()

    def copy_state(self) -> str:
        """A backup: a database of that moment."""
        self._copies.append(f"{self._name}_{len(self._copies)}")
        self._as_admin(f"CREATE DATABASE {self._copies[-1]} TEMPLATE {self._name}")
        return self._copies[-1]

    def restore(self, state: str) -> None:
        """Go back in time."""
        self._as_admin(
            f"DROP DATABASE {self._name} WITH (FORCE)",
            f"CREATE DATABASE {self._name} TEMPLATE {state}",
            f"GRANT CONNECT ON DATABASE {self._name} TO edge_ingest",
        )

    def landed(self) -> Landed:
        """Every row that stands there."""
        with psycopg.connect(self._owner) as connection:
            return connection.execute(LANDED).fetchall()

    def drop(self) -> None:
        """Leave nothing on the server."""
        self._as_admin(*(f"DROP DATABASE {name} WITH (FORCE)" for name in (self._name, *self._copies)))

    def _as_admin(self, *statements: str) -> None:
        with psycopg.connect(self._server.server.dsn("postgres"), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    async def connect(self) -> "_Line":
        """Open a connection, if the line lets it."""
        if self.connect_errors:
            raise self.connect_errors.popleft()
        return _Line(await self._road.connect(), self)


class _Line:
    """A session that loses replies and is cut before a batch."""

    def __init__(self, session: PostgresSession, cloud: PostgresCloud) -> None:
        self._session, self._cloud = session, cloud
        self.hello, self.audit, self.close = session.hello, session.audit, session.close

    async def apply(self, batch: Batch, fence: int) -> Receipt:
        if self._cloud.apply_errors:
            raise self._cloud.apply_errors.popleft()
        receipt = await self._session.apply(batch, fence)
        if self._cloud.n_replies_to_lose:
            self._cloud.n_replies_to_lose -= 1
            raise SinkUnavailable("apply: connection lost")
        return receipt
