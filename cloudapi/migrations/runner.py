"""Brings a database to this release: revisions (once, in order), functions (when their text changed), rights (always).

Law: one run at a time per database (advisory lock), idempotent, forward only. The edge's half of the protocol lives in
`sync/sql` and is applied here, so that the cloud is always migrated before an edge speaks a newer schema.
Called by `oddsd-cloud migrate`, `oddsd-cloud dev` and the tests.
"""

import hashlib
from functools import partial
from pathlib import Path

import psycopg
from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

import sync
from cloudapi.errors import DatabaseAway

HERE = Path(__file__).parent
SYNC_SQL = Path(sync.__file__).parent / "sql"

# In this order: later files call earlier ones.
FUNCTION_FILES = (
    HERE / "sql" / "partitions.sql",
    SYNC_SQL / "edge_values.sql",
    SYNC_SQL / "edge_land.sql",
    SYNC_SQL / "edge_hello.sql",
    SYNC_SQL / "edge_apply.sql",
)
ROLE_FILE = SYNC_SQL / "edge_role.sql"

LOCK_KEY = 0x0DD5D  # any constant of ours: the advisory lock of a migration run


def execute_file(name: str) -> None:
    """Run one SQL file of ours inside a revision; the driver's simple protocol takes many statements at once."""
    _execute_script(op.get_bind(), HERE / "sql" / name)


def migrate(dsn: str) -> list[str]:
    """Bring the database to this release. Returns: one sentence per thing done; empty if all was in place.

    Raises: DatabaseAway; psycopg.Error as the server said it. Each revision is one transaction.
    """
    with _connect(dsn) as connection:
        connection.exec_driver_sql("select pg_advisory_lock(%(key)s)", {"key": LOCK_KEY})
        connection.commit()
        try:
            done = _upgrade(connection) + _refresh_functions(connection)
            with connection.begin():
                _execute_script(connection, ROLE_FILE)
            with connection.begin():
                made = connection.exec_driver_sql("select ensure_partitions()").scalar_one()
            if made:
                done.append(f"made {made} price partitions")
        finally:
            connection.rollback()
            connection.exec_driver_sql("select pg_advisory_unlock(%(key)s)", {"key": LOCK_KEY})
            connection.commit()
    return done


def secure_database(dsn: str) -> None:
    """Leave the edge's role with its two functions here; PostgreSQL does not copy a template's rights to its copies."""
    with _connect(dsn) as connection, connection.begin():
        _execute_script(connection, ROLE_FILE)


def _connect(dsn: str) -> Connection:
    engine = create_engine("postgresql+psycopg://", creator=partial(psycopg.connect, dsn), poolclass=NullPool)
    try:
        return engine.connect()
    except OperationalError as exc:
        raise DatabaseAway(f"DATABASE_URL does not answer: {exc.orig}") from exc


def _upgrade(connection: Connection) -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["connection"] = connection
    before = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    command.upgrade(config, "head")
    connection.commit()
    after = MigrationContext.configure(connection).get_current_revision()
    connection.commit()
    return [] if before == after else [f"schema {before or 'empty'} -> {after}"]


def _refresh_functions(connection: Connection) -> list[str]:
    """Apply the function files if their text differs from what this database was given last."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in FUNCTION_FILES)
    digest = hashlib.sha256(text.encode()).hexdigest()
    with connection.begin():
        connection.exec_driver_sql("create table if not exists applied_functions (digest text not null)")
        if connection.exec_driver_sql("select digest from applied_functions").scalar() == digest:
            return []
        for path in FUNCTION_FILES:
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
