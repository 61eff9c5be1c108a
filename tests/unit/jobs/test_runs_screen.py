"""The timeline as a person sees it: within 80 columns, nothing hidden that went wrong, no markup from outside."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from agent.desk.runs import RunLine, Timeline, UnitLine
from agent.desk.runs_screen import BAR_COLUMNS, MOST_UNITS, draw_runs, draw_timeline

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def make_run(**over) -> RunLine:
    values = {
        "run_id": "01a2010a-ad60-7213-a736-1fac99014bcd", "job": "predict", "slot": NOON, "trigger": "timer",
        "state": "partial", "attempt": 1, "started_at": NOON, "ended_at": NOON + timedelta(seconds=10),
        "duration_s": 10.0, "counts": {"recorded": 40, "failed": 1}, "reason": "predict:x: no answer in time",
    }  # fmt: skip
    return RunLine(**values | over)


def make_unit(key: str, begin_s: float, end_s: float, **over) -> UnitLine:
    values = {
        "key": key, "started_at": NOON + timedelta(seconds=begin_s), "ended_at": NOON + timedelta(seconds=end_s),
        "duration_s": end_s - begin_s, "attempts": 1, "error": None, "dropped": False,
    }  # fmt: skip
    return UnitLine(**values | over)


def drawn(what, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, no_color=True, highlight=False).print(what)
    return out.getvalue().splitlines()


def bar_of(lines: list[str], key: str) -> str:
    line = next(line for line in lines if key in line)
    return line[2 : 2 + BAR_COLUMNS]


def test_a_bar_lies_where_its_unit_lay():
    """A timeline is read with the eye: first half, second half, the whole."""
    units = (
        make_unit("whole", 0, 10),
        make_unit("first", 0, 5),
        make_unit("second", 5, 10),
        make_unit("blink", 9.999, 10),
    )

    lines = drawn(draw_timeline(Timeline(run=make_run(), units=units, at=NOON)))

    half = BAR_COLUMNS // 2
    assert bar_of(lines, "whole") == "━" * BAR_COLUMNS
    assert bar_of(lines, "first") == "━" * half + " " * half
    assert bar_of(lines, "second") == " " * half + "━" * half
    assert bar_of(lines, "blink") == " " * (BAR_COLUMNS - 1) + "━"


def test_the_head_says_state_reason_and_counts():
    """In words, for a log or a screen reader."""
    text = "\n".join(drawn(draw_timeline(Timeline(run=make_run(), units=(), at=NOON))))

    for words in ("predict", "▲ partial", "took 10.0 s", "no answer in time", "failed 1, recorded 40", "no units"):
        assert words in text


@pytest.mark.parametrize("width", [60, 80])
def test_nothing_is_wider_than_the_terminal(width):
    """A long key wraps, it is not cut."""
    key = "predict:" + "polymarket_0x" * 12
    lines = drawn(draw_timeline(Timeline(run=make_run(), units=(make_unit(key, 0, 1),), at=NOON)), width)
    lines += drawn(draw_runs([make_run(reason="why " * 60)]), width)

    assert max(map(len, lines)) <= width
    assert key in "".join(line.strip() for line in lines).replace(" ", "").replace("━", "")


def test_of_many_units_the_dead_and_the_longest_are_drawn():
    """A thousand good ones must not hide the one that died."""
    units = [make_unit(f"unit:{n:04}", 0, 0.1 + n / 1000) for n in range(1000)]
    units[3] = make_unit("unit:0003", 0, 0.001, error="refused", attempts=4)

    lines = drawn(draw_timeline(Timeline(run=make_run(), units=tuple(units), at=NOON)))

    text = "\n".join(lines)
    assert "unit:0003 (4 tries)" in text
    assert "dead: refused" in text
    assert "unit:0999" in text
    assert f"and {1000 - MOST_UNITS} shorter ones" in text


def test_a_run_under_way_is_drawn_up_to_now():
    """Who looks wants to know what takes so long."""
    run = make_run(state="running", ended_at=None, duration_s=None, reason=None, counts={})
    found = Timeline(run=run, units=(make_unit("first", 0, 5),), at=NOON + timedelta(seconds=10))

    lines = drawn(draw_timeline(found))

    assert "still running" in "\n".join(lines)
    assert bar_of(lines, "first").strip() == "━" * (BAR_COLUMNS // 2)


def test_words_from_outside_are_no_markup():
    """A market's id may look like a colour."""
    lines = drawn(
        draw_timeline(Timeline(run=make_run(reason="[red]x[/red]"), units=(make_unit("[bold]k", 0, 1),), at=NOON))
    )

    assert any("[red]x[/red]" in line for line in lines)
    assert any("[bold]k" in line for line in lines)


def test_runs_are_a_line_each_with_the_end_of_their_id():
    """The end, because the beginning of ids made in one minute is the same."""
    lines = drawn(draw_runs([make_run(), make_run(state="ok", reason=None, duration_s=0.25)]))

    assert lines[1].split()[:2] == ["99014bcd", "predict"]
    assert "250 ms" in lines[-1]
    assert drawn(draw_runs([])) == ["no runs yet"]
