"""Copies of the database, made while it is in use and checked before they count.

Law: a copy is taken through SQLite's own backup in one read transaction, by this process, for nobody else may open the
file; writers go on meanwhile. It gets its name only when it is whole, checked and on the disk; old ones go after that.
A copy that is put back continues under a new stream: the cloud sees that its lineage is an older one.
"""

import hashlib
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import msgspec

from agent.errors import StoreError, StoreFull
from agent.store.db import APPLICATION_ID
from agent.store.durable import settle
from agent.store.tx import in_one_line, mapped

_MODE = 0o640  # the operators' group may fetch it
_CHUNK = 1 << 20


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """One copy that was checked."""

    path: str
    n_bytes: int
    schema: int
    sha256: str
    n_kept: int  # copies in the folder now, this one included


def back_up(database: Path, folder: Path, *, now: datetime, keep: int) -> Copied:
    """Copy the database into the folder under the moment's name; the newest `keep` copies stay. Blocks: for a thread.

    Raises: StoreFull, StoreError.
    """
    target = folder / f"oddsd-{now:%Y%m%dT%H%M%SZ}.db"
    partial = target.with_suffix(".partial")
    try:
        folder.mkdir(mode=0o750, exist_ok=True)
        _need_room(database, folder)
        _take(database, partial)
        schema = _check(partial)
        digest = _named(partial, target)
    except OSError as exc:
        raise StoreError(f"backup {target}: {exc.strerror}", advice="see that the directory can be written") from exc
    except sqlite3.Error as exc:
        raise mapped(exc, f"backup {target}") from exc
    finally:
        partial.unlink(missing_ok=True)
    copies = sorted(folder.glob("oddsd-*Z.db"))
    for old in copies[:-keep]:
        old.unlink()
    size = target.stat().st_size
    return Copied(path=str(target), n_bytes=size, schema=schema, sha256=digest, n_kept=min(len(copies), keep))


def copy_out(copied: Copied, target: Path) -> Path:
    """Bring a copy to another place, whole or not at all; returns where it is now. Raises: StoreError."""
    source = Path(copied.path)
    final = target / source.name if target.is_dir() else target
    partial = final.with_name(f".{final.name}.partial")
    try:
        shutil.copyfile(source, partial)
        if _digest(partial) != copied.sha256:
            raise StoreError(f"backup {final}: what was written is not what was copied", advice="test that disk")
        _named(partial, final)
    except OSError as exc:
        raise StoreError(
            f"backup {final}: {exc.strerror}", advice=f"the copy in {source} is whole; bring it there by other means"
        ) from exc
    finally:
        partial.unlink(missing_ok=True)
    return final


def _need_room(database: Path, folder: Path) -> None:
    wanted, free = database.stat().st_size, shutil.disk_usage(folder).free
    if free < 2 * wanted:  # the copy, and as much again for the daemon to go on
        raise StoreFull(
            f"backup into {folder}: {wanted / 1e6:.0f} MB to copy, {free / 1e6:.0f} MB free",
            advice="make room, or lower --keep",
        )


def _take(database: Path, partial: Path) -> None:
    partial.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(partial)) as copy,
    ):
        source.backup(copy)


def _check(copy: Path) -> int:
    """The copy's schema. Raises: StoreError where it is not whole, or not ours."""
    with closing(sqlite3.connect(copy)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if verdict != "ok" or application != APPLICATION_ID:
        raise StoreError(
            f"backup {copy}: not whole: {in_one_line(verdict)}", advice="the database itself may be damaged: stop oddsd"
        )
    return int(schema)


def _named(partial: Path, final: Path) -> str:
    """Onto the disk, then under its name; returns the digest."""
    partial.chmod(_MODE)
    settle(partial)
    digest = _digest(partial)
    partial.replace(final)
    settle(final.parent)
    return digest


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
