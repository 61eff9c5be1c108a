"""The screen: nothing is lost at any width, with or without colour and Unicode."""

import io
import re
from datetime import timedelta

import pytest
from rich.console import Console

from agent.status.report import Report, report
from agent.status.screen import render
from agent.status.state import MqttLive
from sync.records import Venue
from tests.unit.status.house import NOW, make_cloud, make_live, make_state, make_venue


@pytest.fixture
def trouble() -> Report:
    """A house with something wrong in many rooms, and a reason longer than any line."""
    long = "GET /events?cursor=" + "abcdefghij" * 12 + ": 503 after 5 tries"
    failing = make_venue(Venue.KALSHI, failing_since=NOW - timedelta(hours=1), n_failed_runs=4, reason=long)
    stored = make_state(
        venues=(make_venue(Venue.POLYMARKET), failing),
        n_pending_rows=48211,
        n_pending_batches=12,
        oldest_pending_at=NOW - timedelta(hours=30),
    )
    known = make_live(
        cloud=make_cloud(held_reason="cloud schema 6 < 7"), mqtt=MqttLive(configured=True, last_error="no")
    )
    return report(stored, known, NOW)


def shown(judged: Report, width: int, *, encoding: str = "utf-8", terminal: bool = False, **over) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(file=file, width=width, force_terminal=terminal, color_system="standard" if terminal else None)
    console.print(render(judged, **over))
    return file.buffer.getvalue().decode(encoding)


def squeezed(text: str) -> str:
    return re.sub(r"[\s·]", "", text)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_every_statement_is_on_the_screen_whole(trouble, width) -> None:
    """Wrapping may break a text anywhere, but no sign of it may be missing."""
    screen = squeezed(shown(trouble, width))

    for section in trouble.sections:
        assert section.name in screen
        for line in section.lines:
            for text in (line.text, line.why, line.advice):
                assert squeezed(text or "") in screen, text


@pytest.mark.parametrize("width", [60, 80])
def test_no_line_is_wider_than_the_screen(trouble, width) -> None:
    """A line that the terminal must wrap itself breaks the columns."""
    assert max(len(line) for line in shown(trouble, width).splitlines()) <= width


def test_a_healthy_house_fits_one_terminal() -> None:
    """80 by 24 is the smallest screen somebody may have; the daily look must not scroll."""
    assert len(shown(report(make_state(), make_live(), NOW), 80).splitlines()) <= 24


def test_statements_break_between_their_parts() -> None:
    """ "3 unreadable in 24 / h" is hard to read; a part moves to the next line as a whole."""
    venue = make_venue(Venue.KALSHI, n_rejects_day=3)
    lines = [line.strip() for line in shown(report(make_state(venues=(venue,)), make_live(), NOW), 80).splitlines()]

    assert "● kalshi 9,120 open markets · 1,200 quotes stored" in lines
    assert "3 unreadable in 24 h" in lines


def test_level_is_said_by_word_and_symbol_without_colour(trouble) -> None:
    """Colour alone says nothing to a pipe, a log or a colour-blind reader."""
    screen = shown(trouble, 80)

    assert "\x1b" not in screen
    assert "✖ CRITICAL" in screen.splitlines()[0]
    assert "▲ HELD" in screen
    assert "degraded: cloud schema 6 < 7" in screen


def test_terminal_gets_colour_unless_it_says_no(trouble, monkeypatch) -> None:
    """NO_COLOR is a promise to people who cannot read our colours."""
    assert "\x1b[1;31m✖ CRITICAL" in shown(trouble, 80, terminal=True)

    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in shown(trouble, 80, terminal=True)


def test_ascii_output_is_pure_and_keeps_the_words(trouble) -> None:
    """A serial console or LANG=C must not crash or print rubbish."""
    screen = shown(trouble, 80, encoding="ascii")

    assert "X CRITICAL" in screen
    assert "! HELD" in screen
    assert "> a person must act" in screen
    assert "?" not in screen.replace("?cursor=", "")


def test_markup_in_a_reason_is_shown_as_it_is() -> None:
    """A venue's error text is not ours: square brackets in it must not style the screen or vanish."""
    failing = make_venue(Venue.KALSHI, failing_since=NOW, n_failed_runs=1, reason="[bold]x[/bold] [link=evil]y")
    screen = shown(report(make_state(venues=(failing,)), make_live(), NOW), 80)

    assert "[bold]x[/bold] [link=evil]y" in screen


def test_stale_report_cannot_be_taken_for_the_present() -> None:
    """A snapshot of a dead daemon that says OK must not look OK."""
    screen = shown(report(make_state(), make_live(), NOW), 80, stale="the daemon is not running; written 3 h ago")

    assert "was OK" in screen.splitlines()[0]
    assert "STALE: the daemon is not running; written 3 h ago" in screen
