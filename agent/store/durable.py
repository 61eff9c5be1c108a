"""What was written is on the disk, and a name that was given or taken is too: no power cut takes it back."""

import os
from pathlib import Path


def settle(path: Path) -> None:
    """Sync a file, or a folder and the names in it. Raises: OSError. Blocks."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
