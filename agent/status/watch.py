"""The status as it goes: one picture a second on the terminal's other screen, and a few keys.

Law: the header is never scrolled away, what does not fit is counted; a daemon that goes away leaves its last words on
the screen, marked as old, and is asked again. Nothing is left of it on the terminal afterwards.
"""

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from agent.status.contract import Sight
from agent.status.screen import render

EVERY_S = 1.0
_QUIT, _PAUSE, _HELP = {"q", "Q", "\x03", "\x04"}, {"p", "P", " "}, {"?", "h"}
_KEYS = "q quit  p pause  ? keys"
_HELP_TEXT = "q: leave   p or space: hold the picture, and go on   ?: these words; any key takes them away"


class _Picture:
    """A sight cropped to the terminal, with a line of keys at its foot."""

    def __init__(self, sight: Sight, foot: str) -> None:
        self._sight, self._foot = sight, foot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        height = options.height or console.height
        body = Text(self._sight.stale or "asking …")
        shown = body if self._sight.report is None else render(self._sight.report, stale=self._sight.stale)
        lines = console.render_lines(shown, options.update(height=None), pad=False)
        room = max(1, height - 1)
        foot = self._foot
        if len(lines) > room:
            foot = f"{len(lines) - room} more lines in a taller window  {foot}"
        for line in lines[:room]:
            yield from line
            yield Segment.line()
        yield from console.render_lines(Text(foot, style="dim", no_wrap=True, overflow="ellipsis"), options)[0]


def watch(look: Callable[[], Sight], console: Console, *, every_s: float = EVERY_S) -> None:
    """Look and show until somebody quits. The console must be a terminal."""
    sight, held, helping = look(), False, False
    with _keys(sys.stdin.fileno()) as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            foot = _HELP_TEXT if helping else f"PAUSED  {_KEYS}" if held else _KEYS
            live.update(_Picture(sight, foot), refresh=True)
            key = pressed(every_s)
            if key in _QUIT:
                return
            helping = key in _HELP if key else helping
            held ^= key in _PAUSE
            if not held and not key:
                sight = look()


@contextmanager
def _keys(fd: int) -> Iterator[Callable[[float], str]]:
    """Single keys, unechoed, while the block lasts; what is yielded waits so many seconds for one ("" = none)."""
    before = termios.tcgetattr(fd)

    def pressed(within_s: float) -> str:
        try:
            ready, _, _ = select.select([fd], [], [], within_s)
            return os.read(fd, 1).decode(errors="replace") or "q" if ready else ""  # an ended input leaves, too
        except KeyboardInterrupt:
            return "q"

    tty.setcbreak(fd)
    try:
        yield pressed
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
