"""The checks of the place the data lies at, of the machine and of the libraries. Reads; writes one file of its own."""

import os
import platform
import shutil
import sqlite3
import ssl
import stat
import tempfile
import time
from pathlib import Path
from statistics import median

from agent.doctor.findings import Finding, failed, good, skipped, unknown, warning
from agent.places import DEFAULT_FILE
from agent.settings import Settings
from agent.status.plant import DISK_CRITICAL_BYTES, DISK_DEGRADED_BYTES
from agent.status.spans import size
from agent.status.timesync import synchronised
from agent.store.ballast import BALLAST_BYTES, NAME, low_on_room

# A copy of the database on these is a copy in memory, on another machine, or of a lower layer.
_UNFIT = frozenset({"tmpfs", "ramfs", "overlay", "nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "fuse.sshfs"})
_FEWEST_INODES = 1000
_SYNCS = 20
_TOO_FAST_S = 0.0001  # no device without power-loss protection flushes in less
_WAL_RESET_FIXED = (3, 51, 3)


def credentials(settings: Settings, file: Path | None) -> Finding:
    """D02: secrets come from where others cannot read."""
    id_, name = "D02", "credentials"
    found = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    held = len(settings.secrets())
    if found is None or not held:
        return good(id_, name, f"{held} secrets held, none in a file")
    try:
        mode, text = stat.S_IMODE(found.stat().st_mode), found.read_text(encoding="utf-8")
    except OSError as exc:
        return unknown(id_, name, f"{found}: {exc.strerror}", "run as a user who may read the configuration")
    inside = sum(secret in text for secret in settings.secrets())
    if inside and mode & 0o007:
        return failed(id_, name, f"{found} holds {inside} secrets and everybody may read it", f"chmod 0640 {found}")
    if inside:
        fix = "hand them over as systemd credentials or in the environment"
        return warning(id_, name, f"{found} holds {inside} secrets", fix)
    return good(id_, name, f"{held} secrets held, none in {found.name}")


def data_dir(settings: Settings) -> Finding:
    """D03: there, writable, and on a disk of this machine."""
    id_, name, folder = "D03", "data directory", settings.data_dir
    if not folder.is_dir():
        return failed(id_, name, f"{folder} is not there", "start the daemon, or oddsd doctor --fix")
    kind = _file_system(folder)
    if kind in _UNFIT:
        return failed(id_, name, f"{folder} lies on {kind}", "move data_dir to a local disk")
    if not os.access(folder, os.W_OK | os.X_OK):
        return unknown(id_, name, f"{folder} cannot be written by this user", "run as the daemon's user, or with sudo")
    return good(id_, name, f"{folder} on {kind or 'a file system nobody names'}")


def space(settings: Settings) -> Finding:
    """D04: bytes and inodes left."""
    id_, name, folder = "D04", "free space", _existing(settings.data_dir)
    usage, inodes = shutil.disk_usage(folder), os.statvfs(folder)
    text = f"{size(usage.free)} of {size(usage.total)}"
    if inodes.f_files and inodes.f_favail < _FEWEST_INODES:
        return failed(id_, name, f"{text}, but only {inodes.f_favail} inodes", "delete small files on that disk")
    if usage.free < DISK_CRITICAL_BYTES:
        return failed(id_, name, f"only {text}", "free space")
    if usage.free < DISK_DEGRADED_BYTES:
        return warning(id_, name, f"only {text}", "free space")
    return good(id_, name, text)


def flushing(settings: Settings) -> Finding:
    """D05: what the disk says it has written, it has probably written."""
    id_, name = "D05", "flushing"
    try:
        with tempfile.NamedTemporaryFile(dir=_existing(settings.data_dir), prefix=".doctor-") as file:
            took = median(_flush_s(file.fileno()) for _ in range(_SYNCS))
    except OSError as exc:
        return unknown(id_, name, f"cannot be timed: {exc.strerror}", "run as the daemon's user, or with sudo")
    text = f"{took * 1000:.2f} ms each, {_SYNCS} times"
    if took < _TOO_FAST_S:
        fix = "fine on a drive with power-loss protection; else expect to lose the last commits in a power cut"
        return warning(id_, name, f"{text}: durability unproven", fix)
    return good(id_, name, text)


def sqlite_version() -> Finding:
    """D06: the WAL-reset fault of SQLite before 3.51.3 needs two checkpointing connections; we have one."""
    id_, name = "D06", "SQLite"
    if sqlite3.sqlite_version_info >= _WAL_RESET_FIXED:
        return good(id_, name, sqlite3.sqlite_version)
    return good(id_, name, f"{sqlite3.sqlite_version}; its WAL-reset fault needs a second checkpointer, there is none")


def ballast(settings: Settings) -> Finding:
    """D10: the room that is given up when the disk is full is held, and not only named."""
    id_, name, folder = "D10", "ballast", settings.data_dir
    try:
        held = (folder / NAME).stat().st_blocks * 512
    except FileNotFoundError:
        if not settings.database_path.exists():
            return skipped(id_, name, "there is no database yet")
        if low_on_room(folder):
            return warning(id_, name, "not there, and the disk has no room for it", "free space; see D04")
        return warning(id_, name, "not there", "start the daemon; it makes it again within its next rounds")
    except OSError as exc:
        return unknown(id_, name, f"{folder}: {exc.strerror}", "run as the daemon's user, or with sudo")
    if held < BALLAST_BYTES:
        fix = f"delete {folder / NAME}, the daemon makes it again; a disk that compresses holds none"
        return warning(id_, name, f"holds {size(held)} of {size(BALLAST_BYTES)}", fix)
    return good(id_, name, f"{size(held)} held")


def time_source() -> Finding:
    """D21: something keeps this machine's clock."""
    id_, name = "D21", "time source"
    kept = synchronised()
    if kept is None:
        return skipped(id_, name, "the kernel may not be asked here")
    if kept:
        return good(id_, name, "the clock is synchronised")
    return warning(id_, name, "the clock is not synchronised", "timedatectl set-ntp true, or install chrony")


def versions(version: str) -> Finding:
    """D27: what runs here."""
    python, openssl = platform.python_version(), ssl.OPENSSL_VERSION.split(" (")[0]
    text = f"oddsd {version}, Python {python}, {openssl}, {platform.machine()} {platform.release()}"
    return good("D27", "versions", text)


def mend(settings: Settings) -> list[str]:
    """The safe repairs: a missing directory, a world-readable database. Returns what was done, in words."""
    done = list[str]()
    if not settings.data_dir.is_dir():
        settings.data_dir.mkdir(parents=True, mode=0o750)
        done.append(f"made {settings.data_dir}")
    if settings.database_path.exists() and stat.S_IMODE(settings.database_path.stat().st_mode) & 0o007:
        settings.database_path.chmod(0o640)
        done.append(f"closed {settings.database_path} to others")
    return done


def _existing(folder: Path) -> Path:
    return next((one for one in (folder, *folder.parents) if one.is_dir()), Path("/"))


def _flush_s(descriptor: int) -> float:
    os.pwrite(descriptor, b"x" * 512, 0)
    began = time.perf_counter()
    os.fdatasync(descriptor)
    return time.perf_counter() - began


def _file_system(folder: Path) -> str | None:
    """The type of the mount a folder lies on."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    at = str(folder.resolve())
    under = [one for one in mounts if at == one[1] or at.startswith(one[1].rstrip("/") + "/")]
    return max(under, key=lambda one: len(one[1]), default=[None] * 3)[2]
