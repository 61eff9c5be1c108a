"""Draws a Report for a terminal, a pipe or a log.

Law: word, symbol and colour say the level together, never colour alone; text wraps and is never cut; where the output
cannot carry a sign (ASCII) it gets a plain one. Colours go by themselves without a terminal or with NO_COLOR. Below
NARROW columns a room's name stands on a line of its own, so that its statements keep most of the width.
"""

from collections.abc import Callable, Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agent.status.contract import Report
from agent.status.spans import span
from agent.status.statements import SEPARATOR, Level, Line, Section

_STYLE = {Level.OK: "green", Level.DEGRADED: "yellow", Level.CRITICAL: "bold red"}
_SYMBOL = {Level.OK: "●", Level.DEGRADED: "▲", Level.CRITICAL: "✖"}
_PLAIN = str.maketrans({"●": "*", "▲": "!", "✖": "X", "·": "|", "→": ">", "…": "..."})
_WIDEST = 110  # columns; a longer line is hard to follow back to its start
NARROW = 70  # below: a phone's ssh, half a split screen
_INDENT = 2

_Say = Callable[[str], str]


class Screen:
    """A Report ready to be printed by rich; adapts to the console's width and character set."""

    def __init__(self, report: Report, width: int | None, stale: str | None) -> None:
        self._report = report
        self._width = width or _WIDEST
        self._stale = stale

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        say = _plain if options.ascii_only else str
        width = min(self._width, options.max_width)
        sections = self._report.sections
        body = _stacked(sections, say, width) if width < NARROW else [_table(sections, say, width)]
        drawn = Group(_header(self._report, say, width, stale=self._stale), *body)
        yield from console.render(drawn, options.update(width=width))


def render(report: Report, width: int | None = None, *, stale: str | None = None) -> Screen:
    """The report as something rich can print.

    Args:
        width: columns to use at most; None takes what the console has.
        stale: why these are not the house's present words ("the daemon is not running; written 3 h ago").
    """
    return Screen(report, width, stale)


def _plain(text: str) -> str:
    return text.translate(_PLAIN).encode("ascii", "replace").decode("ascii")


def _header(report: Report, say: _Say, width: int, *, stale: str | None) -> Text:
    level, style = f"{_SYMBOL[report.level]} {report.level.upper()}", _STYLE[report.level]
    if stale is not None:
        level, style = f"was {report.level.upper()}", "dim"
    words = [
        (f"oddsd {report.host_id}", "bold"),
        (level, style),
        (f"up {span(report.at - report.started_at)}", ""),
        (f"v{report.version}", ""),
        (f"stream {report.stream_id[:4]}", ""),
        (f"{report.at:%H:%M:%S} UTC", "dim"),
    ]
    header, used = Text(), 0
    for text, text_style in words:
        gap = "" if not used else "  " if used + 2 + len(text) <= width else "\n"
        used = len(text) if gap == "\n" else used + len(gap) + len(text)
        header.append(gap).append(say(text), text_style)
    if stale is not None:
        header.append(say(f"\nSTALE: {stale}"), _STYLE[Level.DEGRADED])
    return header


def _table(sections: tuple[Section, ...], say: _Say, width: int) -> Table:
    name_width = max(len(section.name) for section in sections)
    table = _grid(name_width)
    for section in sections:
        for i, line in enumerate(section.lines):
            table.add_row(section.name if i == 0 else "", *_statement(line, say, width - name_width - len(" ● ")))
    return table


def _stacked(sections: tuple[Section, ...], say: _Say, width: int) -> Iterator[RenderableType]:
    """Each room's name above its statements."""
    for section in sections:
        yield Text(section.name, style="bold")
        table = _grid()
        for line in section.lines:
            table.add_row(*_statement(line, say, width - _INDENT - len("● ")))
        yield Padding(table, (0, 0, 0, _INDENT))


def _grid(name_width: int | None = None) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    if name_width is not None:
        table.add_column(no_wrap=True, style="bold", width=name_width)
    table.add_column(no_wrap=True, width=1)
    table.add_column(ratio=1, overflow="fold")
    return table


def _statement(line: Line, say: _Say, width: int) -> tuple[Text, Text]:
    return Text(say(_SYMBOL[line.level]), style=_STYLE[line.level]), _body(line, say, width)


def _body(line: Line, say: _Say, width: int) -> Text:
    """The statement; below it, for what is not ok, the level in words, why, and what to do."""
    text = _flow(line.text, width)
    if line.level is Level.OK:
        return Text(say(text))
    return Text.assemble(
        (say(text), _STYLE[line.level]),
        f"\n{line.level}: ",
        say(line.why or ""),
        (say(f"\n→ {line.advice}"), "italic"),
    )


def _flow(text: str, width: int) -> str:
    """Break between the parts of a statement rather than inside one; a part wider than the line still wraps."""
    lines = [""]
    for part in text.split(SEPARATOR):
        longer = f"{lines[-1]}{SEPARATOR}{part}" if lines[-1] else part
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(part)
    return "\n".join(lines)
