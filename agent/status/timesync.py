"""Whether the kernel believes that this machine's clock is right.

Law: what cannot be known is None: a hardened unit may not ask the kernel, a container has no service to look at.
"""

import ctypes
import struct
from pathlib import Path

_TIMESYNCD = Path("/run/systemd/timesync/synchronized")
_UNSYNCHRONISED = 5  # TIME_ERROR, of adjtimex(2)
_ROOM = 256  # bytes; struct timex has 208 on 64 bits


def synchronised() -> bool | None:
    """True while a time service keeps the clock."""
    if _TIMESYNCD.exists():
        return True
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(struct.pack("i", 0), _ROOM))
    except (OSError, AttributeError):  # another libc, another system
        return None
    return None if state < 0 else state != _UNSYNCHRONISED
