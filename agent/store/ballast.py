"""A file that holds room on the disk, given up when the disk is full so that old batches can be deleted at all.

Law: deleting needs room too (the WAL grows first), so the ballast is larger than the WAL ever is. It is made again only
where the disk has room to spare, and never stands in the way of data: whatever fails here is told and goes on.
Facts: with a ballast of twice the WAL limit a prune passed that failed with as much; four times is the margin.
"""

import contextlib
import os
import shutil
from pathlib import Path

import structlog

NAME = "ballast"
BALLAST_BYTES = 64 * 1024 * 1024  # four times the WAL at its checkpoint
FLOOR_BYTES = 512 * 1024 * 1024  # free beside the ballast before it is made
FLOOR_SHARE = 0.10  # of the disk, where that is less

log = structlog.get_logger("store")


def low_on_room(folder: Path) -> bool:
    """Whether less is free than we want to see: a tenth of the disk, at most half a gigabyte."""
    usage = shutil.disk_usage(folder)
    return usage.free < min(FLOOR_BYTES, usage.total * FLOOR_SHARE)


def ensure_ballast(folder: Path, *, n_bytes: int = BALLAST_BYTES) -> bool:
    """Make it where it is missing and there is room for it and more. Blocks. Returns: whether it is there.

    A half-made one is no ballast: it gets its name when it is whole.
    """
    path, part = folder / NAME, folder / f".{NAME}.part"
    try:
        if path.exists():
            return True
        usage = shutil.disk_usage(folder)
        if usage.free - n_bytes < min(FLOOR_BYTES, usage.total * FLOOR_SHARE):
            return False
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(handle, 0, n_bytes)
        finally:
            os.close(handle)
        part.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        log.warning("no ballast", action="ballast_missing", folder=str(folder), reason=exc.strerror)
        return False
    return True


def drop_ballast(folder: Path) -> bool:
    """Give its room back. Returns: whether there was any."""
    try:
        (folder / NAME).unlink()
    except OSError:
        return False
    log.error("the disk is full: the ballast is given up", action="ballast_dropped", folder=str(folder))
    return True
