"""The last Report on disk, for `oddsd status` when the daemon does not answer.

Law: written whole or not at all, by the daemon only; who reads it says that it is stale. Lives in the runtime
directory, so it does not outlive a reboot.
"""

import os
import tempfile
from datetime import datetime
from pathlib import Path

import msgspec

from agent.errors import SnapshotUnreadable
from agent.status.contract import Report

_MODE = 0o640  # the operators' group may read it


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A report and when it was put down."""

    written_at: datetime
    report: Report


def save_snapshot(path: Path, report: Report, *, now: datetime) -> None:
    """Replace the file in one step. Not flushed to the disk: it need not survive a power cut.

    Raises: OSError.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(Snapshot(written_at=now, report=report)))
            os.fchmod(file.fileno(), _MODE)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load_snapshot(path: Path) -> Snapshot | None:
    """The last one written, or None if there is none. Raises: SnapshotUnreadable."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Snapshot)
    except FileNotFoundError:
        return None
    except PermissionError as exc:
        raise SnapshotUnreadable(
            f"snapshot {path}: {exc.strerror}", advice="join the group oddsd, or use sudo"
        ) from exc
    except (OSError, msgspec.DecodeError) as exc:
        raise SnapshotUnreadable(
            f"snapshot {path}: {exc}", advice="start the daemon; it writes a new one within a minute"
        ) from exc
