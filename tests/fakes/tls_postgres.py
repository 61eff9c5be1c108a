"""PostgreSQL 15 from Debian's packages with TLS and authorities made for one test; the wheel's server has no TLS.

Law: everything lies in one temporary folder, on loopback, and ends with the block.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.certificates import make_authority, make_certificate
from tests.fakes.process import free_port

BIN = Path("/usr/lib/postgresql/15/bin")
USER = "postgres"


@dataclass(frozen=True)
class TlsPostgres:
    """A running server; `ca` signed its certificate, `other_ca` did not."""

    dsn: str
    ca: Path
    other_ca: Path
    name: str  # in its certificate


def missing() -> str | None:
    """Why it cannot be run here."""
    if not (BIN / "initdb").exists() or shutil.which("openssl") is None:
        return "postgresql-15 and openssl are not installed (Debian packages)"
    if os.geteuid() != 0:
        return "starting Debian's PostgreSQL needs root, to become its user"
    return None


@contextmanager
def tls_postgres(*, expired: bool = False, plain: bool = False) -> Iterator[TlsPostgres]:
    """Serve until the block ends; `plain`: without TLS at all."""
    folder = Path(tempfile.mkdtemp(prefix="oddsd-tls-"))
    try:
        ca, other = make_authority(folder, "ours"), make_authority(folder, "other")
        make_certificate(folder, "ours", "db.internal", expired=expired)
        user = pwd.getpwnam(USER)
        for path in (folder, *folder.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
        data, port = folder / "data", free_port()
        _as_user(str(BIN / "initdb"), "-D", str(data), "-A", "trust", "-U", "owner", "--no-sync")
        kind = "host" if plain else "hostssl"
        (data / "pg_hba.conf").write_text(f"{kind} all all 127.0.0.1/32 trust\n")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        if not plain:
            options += f" -c ssl=on -c ssl_cert_file={folder}/server.crt -c ssl_key_file={folder}/server.key"
        _as_user(str(BIN / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield TlsPostgres(f"postgresql://owner@127.0.0.1:{port}/postgres", ca, other, "db.internal")
        finally:
            _as_user(str(BIN / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_user(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, user=USER, cwd="/", timeout=30)
