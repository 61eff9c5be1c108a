"""Brings a database to this release: revisions (once, in order), functions (when their text changed), rights (always).

Law: one run at a time per database (advisory lock), idempotent, forward only. The edge's half of the protocol lives in
`sync/sql` and is applied here, so that the cloud is always migrated before an edge speaks a newer schema. How prices
are stored is chosen at the first run and recorded; another wish later is refused before anything is touched.
Called by `oddsd-cloud migrate`, `oddsd-cloud dev` and the tests.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
from alembic import command, context, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

import sync
from cloudapi.errors import DatabaseAway
from cloudapi.storage.base import Backend, refuse_other

HERE = Path(__file__).parent
SYNC_SQL = Path(sync.__file__).parent / "sql"

# In this order: later files call earlier ones. The storage backend's own file comes before all of them.
FUNCTION_FILES = (
    SYNC_SQL / "edge_values.sql",
    SYNC_SQL / "edge_land.sql",
    SYNC_SQL / "edge_hello.sql",
    SYNC_SQL / "edge_apply.sql",
    SYNC_SQL / "edge_audit.sql",
    SYNC_SQL / "edge_requests.sql",
    SYNC_SQL / "edge_duty.sql",
    SYNC_SQL / "edge_standing.sql",
    HERE / "sql" / "sessions.sql",
)
# The edge's file takes everything from PUBLIC; the other gives the cloud's own roles their part.
ROLE_FILES = (SYNC_SQL / "edge_role.sql", HERE / "sql" / "roles.sql")

LOCK_KEY = 0x0DD5D  # any constant of ours: the advisory lock of a migration run
LOCK_POLL_S = 0.1


def execute_file(name: str) -> None:
    """Run one SQL file of ours inside a revision; the driver's simple protocol takes many statements at once."""
    _execute_script(op.get_bind(), HERE / "sql" / name)


def execute_text(text: str) -> None:
    """Run the statements of a library's own schema inside a revision."""
    raw = op.get_bind().connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError("migrations run on psycopg")
    raw.execute(text.encode())


def execute_each(name: str) -> None:
    """Run the statements of a file one by one outside a transaction, as `concurrently` demands; all can be repeated."""
    statements = [part.strip() for part in _without_comments((HERE / "sql" / name).read_text("utf-8")).split(";")]
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        for statement in filter(None, statements):
            connection.exec_driver_sql(statement)


def wanted_storage() -> Backend:
    """How a new database shall store prices; for the revision that makes the tables."""
    return Backend(context.config.attributes["storage"])


def migrate(dsn: str, *, storage: Backend | None = None) -> list[str]:
    """Bring the database to this release. Returns: one sentence per thing done; empty if all was in place.

    Args:
        storage: how prices are to be stored; None: as the database has it, native in a new one.
    Raises: DatabaseAway; StorageMismatch; psycopg.Error as the server said it. Each revision is one transaction.
    """
    with _connect(dsn) as connection, _alone(connection):
        recorded = _recorded_storage(connection)
        refuse_other(recorded, storage)
        done = _upgrade(connection, storage or Backend.NATIVE)
        done += _refresh_functions(connection, _recorded_storage(connection) or Backend.NATIVE)
        _apply_roles(connection)
        with connection.begin():
            made = connection.exec_driver_sql("select ensure_partitions()").scalar_one()
        if made:
            done.append(f"made {made} price partitions")
    return done


def secure_database(dsn: str) -> None:
    """Give the roles their rights here; PostgreSQL does not copy a template's database rights to its copies."""
    with _connect(dsn) as connection:
        _apply_roles(connection)


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """One run at a time. Asked for again and again: whoever waits inside a statement would hold up `concurrently`."""
    while not connection.exec_driver_sql("select pg_try_advisory_lock(%(key)s)", {"key": LOCK_KEY}).scalar_one():
        connection.rollback()
        time.sleep(LOCK_POLL_S)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.exec_driver_sql("select pg_advisory_unlock(%(key)s)", {"key": LOCK_KEY})
        connection.commit()


def _connect(dsn: str) -> Connection:
    engine = create_engine("postgresql+psycopg://", creator=partial(psycopg.connect, dsn), poolclass=NullPool)
    try:
        return engine.connect()
    except OperationalError as exc:
        raise DatabaseAway(f"DATABASE_URL does not answer: {exc.orig}") from exc


def _recorded_storage(connection: Connection) -> Backend | None:
    """What the first run chose; None before it."""
    with connection.begin():
        if connection.exec_driver_sql("select to_regclass('public.storage_backend')").scalar() is None:
            return None
        return Backend(connection.exec_driver_sql("select backend from storage_backend").scalar_one())


def _apply_roles(connection: Connection) -> None:
    with connection.begin():
        for path in ROLE_FILES:
            _execute_script(connection, path)


def _upgrade(connection: Connection, storage: Backend) -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes.update(connection=connection, storage=storage)
    before = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    command.upgrade(config, "head")
    connection.commit()
    after = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    return [] if before == after else [f"schema {before or 'empty'} -> {after}"]


def _refresh_functions(connection: Connection, storage: Backend) -> list[str]:
    """Apply the function files if their text differs from what this database was given last."""
    files = (HERE / "sql" / f"storage_{storage}.sql", *FUNCTION_FILES)
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    digest = hashlib.sha256(text.encode()).hexdigest()
    with connection.begin():
        connection.exec_driver_sql("create table if not exists applied_functions (digest text not null)")
        if connection.exec_driver_sql("select digest from applied_functions").scalar() == digest:
            return []
        for path in files:
            _execute_script(connection, path)
        connection.exec_driver_sql("delete from applied_functions")
        connection.exec_driver_sql("insert into applied_functions values (%(digest)s)", {"digest": digest})
    return [f"functions refreshed ({digest[:12]})"]


def _execute_script(connection: Connection, path: Path) -> None:
    """Run a whole file on the driver below. Inside `begin()` only: SQLAlchemy commits nothing it did not begin."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError("migrations run on psycopg")
    raw.execute(path.read_bytes())  # bytes: psycopg takes them as they are, % included


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
