"""One daemon per data directory: an exclusive lock on a file in it, held for the life of the process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import AlreadyRunning, StoreError


@contextmanager
def data_dir_lock(data_dir: Path) -> Iterator[None]:
    """Hold the directory. The kernel lets go of it however the process ends.

    Raises: AlreadyRunning when another process holds it, StoreError when the directory cannot be used.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o750)
        handle = os.open(data_dir / "oddsd.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as exc:
        raise StoreError(
            f"data_dir {data_dir}: {exc.strerror}", advice="make the directory writable for the user oddsd runs as"
        ) from exc
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise AlreadyRunning(
                f"data_dir {data_dir}: another oddsd is using it",
                advice="talk to the running one (oddsd status, oddsd run-now JOB), or stop it first",
            ) from exc
        yield
    finally:
        os.close(handle)
