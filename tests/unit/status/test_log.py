"""The log: a line is one JSON object with an action, and no secret is in it, wherever it was hidden."""

import io
import json
import logging
import sys
from typing import Any

import pytest
import structlog

from agent import log

CANARY = "gsk_canary_7f3ac0de"
DSN = "postgresql://edge:p%40ss-canary@db.example:5432/odds?sslmode=require"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.fixture
def stream():
    """What was written; afterwards logging is as it was before."""
    root, level = logging.getLogger(), logging.getLogger().level
    handlers = root.handlers[:]
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_event_word_becomes_the_action(stream) -> None:
    """Whoever reads the journal filters by action; fields stay fields."""
    log.configure(json=True, stream=stream)
    structlog.get_logger("sync").info("batch_acked", lo=1, n_rows=500)

    (line,) = written(stream)
    assert (line["action"], line["lo"], line["n_rows"]) == ("batch_acked", 1, 500)
    assert (line["level"], line["logger"]) == ("info", "sync")
    assert line["at"].endswith("Z")


def test_sentence_beside_an_action_is_kept_as_text(stream) -> None:
    """Both habits of calling give one shape."""
    log.configure(json=True, stream=stream)
    structlog.get_logger().warning("venue failed", action="venue_failed")

    (line,) = written(stream)
    assert (line["action"], line["text"]) == ("venue_failed", "venue failed")


def test_bound_context_is_on_every_line_of_libraries_too(stream) -> None:
    """A run must be followable by its id through our lines and those of httpx or asyncpg."""
    log.configure(json=True, stream=stream)
    with structlog.contextvars.bound_contextvars(run_id="r1", stage="collect", market_key="kalshi:X"):
        structlog.get_logger().info("started")
        logging.getLogger("some.library").warning("pool of %d is full", 4)

    ours, theirs = written(stream)
    assert {"run_id": "r1", "stage": "collect", "market_key": "kalshi:X"}.items() <= ours.items()
    assert {"run_id": "r1", "action": "pool of 4 is full", "logger": "some.library"}.items() <= theirs.items()


def _fail() -> None:
    raise ValueError(f"cannot use {CANARY} with {DSN}")


def _say_it_everywhere() -> None:
    speaker, library = structlog.get_logger(), logging.getLogger("library")
    speaker.info("plain", key=CANARY, nested={"a": [(CANARY, {CANARY: 1})]}, raw=f"x{CANARY}y".encode())
    speaker.info(f"in the action {CANARY}", error=ValueError(CANARY), dsn=DSN)
    speaker.info("only the password", text="login p@ss-canary or p%40ss-canary failed")
    speaker.info("foreign", dsn="postgres://bob:canary-of-another@h/db", libpq="host=h password='canary two' user=u")
    library.warning("called with %s %s", CANARY, DSN)
    for say in (speaker.exception, library.exception):
        try:
            _fail()
        except ValueError:
            say("failed")


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "columns"])
def test_no_canary_is_ever_written(stream, as_json) -> None:
    """Secrets are masked in fields, nested values, bytes, exceptions, tracebacks and library lines, in both forms."""
    log.configure(json=as_json, secrets=[CANARY, DSN], stream=stream)
    _say_it_everywhere()

    text = stream.getvalue()
    assert "canary" not in text
    assert text.count("Traceback") == 2
    assert log.MASK in text


def test_canary_test_would_notice(stream) -> None:
    """Without the secrets told, the same lines do show them: the test above can fail."""
    log.configure(json=True, stream=stream)
    _say_it_everywhere()

    assert CANARY in stream.getvalue()


def test_longer_secret_is_masked_whole(stream) -> None:
    """Two keys of which one begins like the other must not leave a tail behind."""
    log.configure(json=True, secrets=["abcd", "abcdefgh"], stream=stream)
    structlog.get_logger().info("x", key="abcdefgh")

    assert written(stream)[0]["key"] == log.MASK


def test_short_or_empty_secret_masks_nothing(stream) -> None:
    """An unset password is an empty string; masking it would blank every line."""
    log.configure(json=True, secrets=["", "a"], stream=stream)
    structlog.get_logger().info("a banana", url="https://example.org/a")

    (line,) = written(stream)
    assert (line["action"], line["url"]) == ("a banana", "https://example.org/a")


def test_values_json_cannot_hold_do_not_break_the_line(stream) -> None:
    """Logging must not raise: odd numbers, broken Unicode and objects come out as something readable."""
    log.configure(json=True, stream=stream)
    structlog.get_logger().info("odd", nan=float("nan"), big=2**80, half="\udcff", kind=ValueError, none=None)

    (line,) = written(stream)
    assert (line["nan"], line["big"], line["half"], line["none"]) == (None, 2**80, "?", None)


def test_level_can_be_changed_while_running(stream) -> None:
    """An operator lowers the level of a running daemon: loggers made before must follow, lines must not double."""
    log.configure(json=True, level="warning", stream=stream)
    speaker = structlog.get_logger()
    speaker.info("unheard")
    log.configure(json=True, level="debug", stream=stream)
    speaker.debug("heard")
    logging.getLogger("library").debug("heard too")

    assert [line["action"] for line in written(stream)] == ["heard", "heard too"]


def test_terminal_gets_columns_and_a_pipe_gets_json(stream, monkeypatch) -> None:
    """A person at a terminal and journald want different forms of the same line."""
    terminal = Terminal()
    for out in (terminal, stream):
        monkeypatch.setattr(sys, "stderr", out)
        log.configure()
        structlog.get_logger().info("started", n=1)

    assert "\x1b" in terminal.getvalue()
    assert written(stream)[0]["n"] == 1


@pytest.mark.parametrize(
    ("unit", "stage", "market_key"),
    [
        ("forecast:kalshi:KXFED-26DEC-T4.00:single_model:2026-11-21", "forecast", "kalshi:KXFED-26DEC-T4.00"),
        ("insight:polymarket:0xabc123:p1", "insight", "polymarket:0xabc123"),
        ("kalshi:2026-11-21T12:00:00+00:00", "kalshi", None),
        ("detect:2026-11-21T12:00:00+00:00", "detect", None),
    ],
)
def test_a_unit_names_its_stage_and_its_market(unit, stage, market_key):
    """Whoever looks for one market's lines must not parse keys."""
    out = io.StringIO()
    log.configure(json=True, stream=out)
    with structlog.contextvars.bound_contextvars(run_id="r1", job="predict", unit=unit):
        structlog.get_logger("jobs").info("asked")

    line = json.loads(out.getvalue())
    assert (line["run_id"], line["stage"], line.get("market_key")) == ("r1", stage, market_key)
