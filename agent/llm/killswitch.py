"""The operator's stop: a file whose presence keeps every model from being asked, read before each paid call.

Law: a file that is there stops, whatever it holds and whether or not it can be read; removing it is enough to go on.
Its first line is the reason people see.
"""

from collections.abc import Callable
from pathlib import Path

REASON_CHARS = 200


def file_switch(path: Path) -> Callable[[], str | None]:
    """A switch for the gateway: a sentence while the file is there, else None."""

    def reason() -> str | None:
        try:
            with path.open("rb") as file:
                text = file.read(4 * REASON_CHARS).decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as exc:
            return f"model calls are stopped by the file {path} ({exc.strerror})"
        words = "".join(c if c.isprintable() else " " for c in text.strip().partition("\n")[0])
        said = f": {words.strip()[:REASON_CHARS]}" if words.strip() else ""
        return f"model calls are stopped by the file {path}{said}"

    return reason
