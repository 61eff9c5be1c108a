"""The last log lines of a run, for whoever is told that it failed.

Law: a line is noted after the secrets in it were masked (agent/log.py calls `note` last); each run has its own lines,
units of it included, because the list travels in the context their tasks inherit.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

LINES = 40  # what a person reads in a message
LINE_CHARS = 400

_said: ContextVar[deque[str] | None] = ContextVar("said", default=None)


@contextmanager
def listening() -> Iterator[deque[str]]:
    """The block's log lines, the newest LINES of them, while they are written."""
    lines = deque[str](maxlen=LINES)
    token = _said.set(lines)
    try:
        yield lines
    finally:
        _said.reset(token)


def note(_logger: Any, _method: str, event: Any) -> Any:
    """A structlog processor: keep the event as a line where somebody listens."""
    if (lines := _said.get()) is not None:
        lines.append(_line(event))
    return event


def _line(event: dict[str, Any]) -> str:
    head = " ".join(str(event[name]) for name in ("at", "level", "action", "text") if event.get(name))
    shown = ("at", "level", "action", "text", "logger", "run_id", "job")
    fields = (f"{name}={value}" for name, value in event.items() if name not in shown and value is not None)
    return " ".join([head, *fields]).replace("\n", " | ")[:LINE_CHARS]
