"""A real PostgreSQL for tests: one server per session, one fresh database per test, a hard kill on request.

Law: nothing of it is a fake but the life it leads. `create_database` copies a migrated template, which is quicker than
migrating; `restart_immediate` kills the postmaster as a power cut would. Whoever makes one calls `stop()`.
"""

import shutil
import tempfile
from itertools import count
from pathlib import Path

from cloudapi.embedded import EDGE_ROLE, EmbeddedServer
from cloudapi.migrations.runner import migrate, secure_database

TEMPLATE = "template_oddsd"


class EmbeddedPostgres:
    """An embedded server in a temporary directory, with a migrated template database."""

    def __init__(self, data_dir: Path | None = None) -> None:
        self._owned_dir = Path(tempfile.mkdtemp(prefix="oddsd-pg-")) if data_dir is None else None
        self.server = EmbeddedServer(data_dir or self._owned_dir or Path())
        self._numbers = count(1)
        self._has_template = False

    def start(self) -> "EmbeddedPostgres":
        """Start the server; the template is made with the first database."""
        self.server.start()
        # A killed process loses nothing the system has; only a power cut would, and no test makes one.
        for setting in ("fsync", "full_page_writes"):
            self.server.set_option(setting, "off")
        # Each database is a copy in the log, and a hard kill replays what no checkpoint has seen: keep that short.
        self.server.set_option("max_wal_size", "96MB")
        return self

    def create_database(self) -> tuple[str, str]:
        """A fresh migrated database. Returns: address for its owner, address for the edge's role."""
        self._ensure_template()
        name = f"oddsd_{next(self._numbers)}"
        self.server.create_database(name, template=TEMPLATE)
        owner_dsn = self.server.dsn(name)
        secure_database(owner_dsn)
        return owner_dsn, self.server.dsn(name, user=EDGE_ROLE)

    def create_empty_database(self) -> str:
        """A database without any schema. Returns: address for its owner."""
        name = f"empty_{next(self._numbers)}"
        self.server.create_database(name)
        return self.server.dsn(name)

    def restart_immediate(self) -> None:
        """Kill the postmaster with SIGKILL and start it again; addresses stay the same."""
        self.server.kill()
        self.server.resume()

    def stop(self) -> None:
        """Stop the server and remove its directory."""
        self.server.kill()  # quicker than a clean stop, and the directory goes with it
        self.server.stop()
        if self._owned_dir is not None:
            shutil.rmtree(self._owned_dir, ignore_errors=True)

    def _ensure_template(self) -> None:
        if not self._has_template:
            self.server.create_database(TEMPLATE)
            migrate(self.server.dsn(TEMPLATE))
            self._has_template = True
