"""A witness beside the database: that a process has it open, and which log of writes (`-wal`) belongs to it.

Law: it stands only while the file is open, so one found at a start means that the last stop was none. It names the log
by the salt in its header, which SQLite counts up by one each time it begins the log anew. It goes before a write could
begin another log, and comes once the log's header is on the disk: it never accuses a log that is right.
Without it a deleted log, or one put there from another file, is believed: SQLite takes any whose sums are right.
"""

import contextlib
import os
from pathlib import Path

import msgspec

from agent.errors import StoreError
from agent.store.durable import settle

SUFFIX = "-witness"
_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_NO_LOG = b"open"  # in the place of a salt
_SALT = slice(16, 20)  # of the log's header: https://www.sqlite.org/walformat.html
_MOST_LOGS = 1_000_000  # begun anew in one life of a process; a stranger's salt falls among them one time in 4,000


class Testimony(msgspec.Struct, frozen=True, kw_only=True):
    """What a start finds out about the stop before it."""

    unclean: bool  # no process closed the file
    doubt: str | None = None  # why the log beside it may not be its own


def question(database: Path) -> Testimony:
    """What the witness says, before SQLite touches the file. Raises: StoreError."""
    try:
        said = _place(database).read_text(encoding="ascii")
    except FileNotFoundError:
        return Testimony(unclean=False)
    except (OSError, UnicodeDecodeError) as exc:
        raise StoreError(f"store {_place(database)}: {exc}", advice="see that the directory can be read") from exc
    known = int(said) if said.isdecimal() else None
    return Testimony(unclean=True, doubt=None if known is None else _doubt(database, known))


def _doubt(database: Path, known: int) -> str | None:
    log = _log_of(database)
    if not log.exists():
        return f"{log.name} is gone: what was stored last may be missing"
    found = _salt(log)
    if found is None or 0 <= (found - known) % 2**32 < _MOST_LOGS:
        return None  # empty, which a kill after a checkpoint leaves; torn, which SQLite leaves out; or the right one
    return f"{log.name} is not the one this database was used with: what is stored may be another file's"


def dismiss(database: Path) -> None:
    """Nobody has the file open, or a log may be begun anew. One that cannot go is silenced. Raises: StoreError."""
    place = _place(database)
    try:
        place.unlink()
        settle(database.parent)
    except FileNotFoundError:
        return
    except OSError as exc:
        try:
            _silence(place)
        except OSError:
            raise StoreError(f"store {place}: {exc.strerror}", advice="see that the disk can be written") from exc


def _silence(place: Path) -> None:
    """Let it name no log any more, in the room it has: so it accuses none, and the next start looks the file over."""
    handle = os.open(place, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(handle, _NO_LOG, 0)
        os.fdatasync(handle)
    finally:
        os.close(handle)


def install(database: Path) -> None:
    """The file is open and this is its log. A disk that has no room for it costs the proof, not the start."""
    salt = _salt(_log_of(database))
    place = _place(database)
    part = place.with_name(f"{place.name}.part")
    with contextlib.suppress(OSError):
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            os.pwrite(handle, _NO_LOG if salt is None else str(salt).encode(), 0)
            os.fdatasync(handle)
        finally:
            os.close(handle)
        part.replace(place)
        settle(database.parent)


def _place(database: Path) -> Path:
    return database.with_name(database.name + SUFFIX)


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def _salt(log: Path) -> int | None:
    """None where there is no log yet, or none with a whole header."""
    try:
        with log.open("rb") as file:
            header = file.read(32)
    except OSError:
        return None
    return int.from_bytes(header[_SALT], "big") if len(header) == 32 and header.startswith(_MAGIC) else None
