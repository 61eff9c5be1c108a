"""How the program logs: one JSON object a line on stderr, or columns for a person at a terminal.

Law: `action` names what happened (`log.info("batch_acked", lo=1)`, or a sentence with `action=` beside it), ids and
counts are fields, what is bound to the context (run_id, job, unit, its stage and market_key) is on every line;
libraries that use `logging` come out the same way. No secret leaves: configured values and passwords in connection
strings are masked in every field and traceback, before anything is rendered.
"""

import contextlib
import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TextIO
from urllib.parse import unquote, urlsplit

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from agent.jobs.tail import note
from agent.sentry import to_sentry

MASK = "***"
_LONGEST_WORD = 16  # a piece of an address that is longer is a token
_SHORTEST_SECRET = 4  # shorter ones would mask ordinary words
# scheme://user:password@host: everything between the colon and the last @ before the host's end.
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/?#@]*:)[^\s/?#]*(?=@)", re.IGNORECASE)
# The same in libpq's key=value form, quoted or not.
_KEY_PASSWORD = re.compile(r"(\bpassword\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s'\"&]+)", re.IGNORECASE)
# A venue and what follows it, but not the slot that follows it in a unit about the whole venue.
_MARKET = re.compile(r"\b(?:polymarket|kalshi):(?!\d{4}-\d\d-\d\d)[A-Za-z0-9._-]+")
_CHATTY = dict.fromkeys(("httpx", "httpcore", "asyncio", "aiosqlite"), logging.WARNING)


class Redactor:
    """A processor that masks secrets wherever they stand in an event."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {part for secret in secrets for part in _parts(secret) if len(part) >= _SHORTEST_SECRET}
        # Longest first, so that a secret inside a longer one does not leave the rest standing.
        ordered = sorted(known, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Called by structlog."""
        return {key: self.clean(value) for key, value in event.items()}

    def text(self, text: str) -> str:
        """The text without secrets; what cannot be written as UTF-8 is replaced."""
        text = text.encode(errors="replace").decode()
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _KEY_PASSWORD.sub(rf"\1{MASK}", _URL_PASSWORD.sub(rf"\1{MASK}", text))

    def clean(self, value: Any) -> Any:
        """A value, or whatever it is made of, without secrets."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.clean(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.clean(item) for item in value]
        return self.text(value.decode(errors="replace") if isinstance(value, bytes) else str(value))


def _parts(secret: str) -> set[str]:
    """A secret, and if it is an address also what is secret inside, as written and as meant.

    That is its password, and any long piece without a dot: a bot's token may stand where others have a user, a host, a
    path or a parameter, and libraries quote pieces of it.
    """
    try:
        address = urlsplit(secret)
        password = address.password or ""
    except ValueError:  # a value that only looks like an address
        return {secret}
    pieces = re.split(r"[/?&=:@#]", secret.partition("://")[2])
    tokens = {piece for piece in pieces if len(piece) >= _LONGEST_WORD and "." not in piece}
    return {secret, password, unquote(password), *tokens, *map(unquote, tokens)}


class _Named(structlog.WriteLogger):
    """Writes a line in one call, and knows which room speaks."""

    def __init__(self, out: TextIO, name: str | None = None) -> None:
        super().__init__(out)
        self.name = name
        self._write, self._flush = _patient(out.write), _patient(out.flush)


def _patient(act: Callable[..., object]) -> Callable[..., Any]:
    """The same where a full disk or a closed pipe stops nobody: a line that cannot be written is no reason to stop."""

    def attempt(*words: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            act(*words)

    return attempt


def configure(
    *, json: bool | None = None, level: str = "info", secrets: Iterable[str] = (), stream: TextIO | None = None
) -> None:
    """Set up logging for the whole process; may be called again with another level.

    Args:
        json: JSON lines or columns; None takes JSON unless the stream is a terminal.
        level: debug, info, warning or error.
        secrets: values that must never appear.
        stream: where to; stderr by default.
    """
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    number = logging.getLevelNamesMapping()[level.upper()]
    shared = _shared(Redactor(secrets))
    structlog.configure(
        processors=[*_origin(), *shared, _renderer(as_json=as_json, out=out)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=partial(_Named, out),
        cache_logger_on_first_use=False,  # a cached logger would keep the old level after a reload
    )
    _route_libraries(shared, _renderer(as_json=as_json, out=out), out, number)


def _origin() -> list[Processor]:
    return [structlog.contextvars.merge_contextvars, structlog.stdlib.add_logger_name]


def _shared(redactor: Redactor) -> list[Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        to_sentry,  # while the exception is still one
        structlog.processors.format_exc_info,  # before the redactor: tracebacks quote values
        _name_action,
        _name_stage,
        redactor,
        note,  # last: what a heartbeat tells is what the log shows
    ]


def _name_action(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Every line has an `action`; a sentence beside it is its `text`."""
    said = event.pop("event", None)
    if "action" not in event:
        event["action"] = said
    elif said is not None:
        event["text"] = said
    return event


def _name_stage(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A unit of work names its stage and, where it is about one, its market."""
    unit = event.get("unit")
    if isinstance(unit, str):
        event.setdefault("stage", unit.partition(":")[0])
        if (named := _MARKET.search(unit)) is not None:
            event.setdefault("market_key", named[0])
    return event


def _renderer(*, as_json: bool, out: TextIO) -> Processor:
    if as_json:
        return structlog.processors.JSONRenderer(serializer=_to_json)
    return structlog.dev.ConsoleRenderer(
        colors=out.isatty(),
        event_key="action",
        timestamp_key="at",
        exception_formatter=structlog.dev.plain_traceback,  # it is text already, and redacted
    )


def _to_json(event: Any, **_: Any) -> str:
    return msgspec.json.encode(event).decode()


def _route_libraries(shared: list[Processor], renderer: Processor, out: TextIO, level: int) -> None:
    """Let what libraries say through `logging` come out in the same form."""
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_origin(),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *shared, renderer],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):  # ours, from an earlier call
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name, quiet in _CHATTY.items():
        logging.getLogger(name).setLevel(max(level, quiet))
