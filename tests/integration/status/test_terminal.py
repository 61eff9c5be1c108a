"""`oddsd status` in a real terminal: what a person sees, at the widths people have, with the keys they press."""

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from agent.status.control import ControlServer
from agent.status.report import report
from agent.status.snapshot import save_snapshot
from agent.status.state import MqttLive
from tests.unit.status.house import NOW, make_live, make_state

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="Debian's package tmux is not installed")

ODDSD = Path(sys.executable).parent / "oddsd"
PATIENCE_S = 15
_NUMBERS = itertools.count()


class Terminal:
    """One tmux session of a size; what is on its screen can be read."""

    def __init__(self, folder: Path, columns: int, rows: int, **environment: str) -> None:
        self._socket = folder / f"tmux-{next(_NUMBERS)}"
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ODDSD_", "TMUX", "NO_COLOR"))}
        self._environment = kept | {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"} | environment
        self._tmux(
            "-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows), "env -u PS1 PS1='$ ' sh"
        )

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-u", "-S", str(self._socket), *arguments]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True).stdout

    def type(self, text: str, *keys: str) -> None:
        """Letters as they are, then keys by their names."""
        self._tmux("send-keys", "-l", text)
        if keys:
            self._tmux("send-keys", *keys)

    def screen(self, *, colours: bool = False) -> str:
        """What stands there now."""
        return self._tmux("capture-pane", "-p", *(["-e"] if colours else []))

    async def shows(self, words: str, *, colours: bool = False) -> str:
        """Wait for words; returns the whole screen."""
        async with asyncio.timeout(PATIENCE_S):
            while words not in (seen := self.screen(colours=colours)):
                await asyncio.sleep(0.05)
        return seen

    def close(self) -> None:
        """The session ends with everything in it."""
        self._tmux("kill-server")


class House:
    """A daemon's control socket that answers `status`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = MqttLive(configured=True, connected=True)
        self.config = folder / "oddsd.toml"
        self.config.write_text(f"runtime_dir = {json.dumps(str(folder))}\n")

    async def status(self, _: dict[str, object]) -> object:
        return report(make_state(), make_live(mqtt=self.broker), NOW)

    @asynccontextmanager
    async def open(self):
        async with ControlServer(self.folder / "control.sock", {"status": self.status}):
            yield self

    def command(self, *more: str) -> str:
        return " ".join([str(ODDSD), "status", "--config", str(self.config), *more])


@pytest.fixture
def house(tmp_path_factory) -> Iterator[House]:
    folder = Path(f"/tmp/oddsd-t{os.getpid()}-{time.monotonic_ns() % 10**9}")  # a socket's path has 107 bytes
    folder.mkdir()
    yield House(folder)
    shutil.rmtree(folder)


@pytest.fixture
def terminal(house):
    opened: list[Terminal] = []

    def open_terminal(columns: int = 80, rows: int = 24, **environment: str) -> Terminal:
        opened.append(Terminal(house.folder, columns, rows, **environment))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


async def test_the_daily_look_fits_80_by_24(house, terminal):
    """Header, every room, nothing scrolled away."""
    async with house.open():
        seen = terminal()
        seen.type("clear; " + house.command("; echo done=$?"), "Enter")
        screen = await seen.shows("done=0")

    assert "oddsd home-1  ● OK" in screen
    for room in ("COLLECT", "ANALYSE", "BENCHMARK", "BUFFER", "CLOUD", "MQTT", "CLOCK", "DAEMON"):
        assert f"\n{room} " in screen, room
    assert "$0.031 of $1.00 spent" in screen


async def test_a_narrow_terminal_gets_rooms_above_their_words(house, terminal):
    """60 columns: half a split screen, a phone."""
    async with house.open():
        seen = terminal(60, 60)
        seen.type("clear; " + house.command("; echo done=$?"), "Enter")
        screen = await seen.shows("done=0")

    assert "\nCOLLECT\n  ● last tick" in screen
    assert max(map(len, screen.splitlines())) <= 60


async def test_colours_are_there_unless_somebody_says_no(house, terminal):
    """In a terminal with colours; NO_COLOR and --no-color are obeyed, and the words stay."""
    async with house.open():
        for command, coloured in ((house.command(), True), (house.command("--no-color"), False),
                                  ("NO_COLOR=1 " + house.command(), False)):  # fmt: skip
            seen = terminal()
            seen.type(f"clear; {command}; echo done=$?", "Enter")
            screen = await seen.shows("done=0", colours=True)
            assert ("\x1b[32m" in screen) is coloured, command
            assert "● OK" in seen.screen()


async def test_watch_follows_the_house_and_leaves_with_q(house, terminal):
    """Live: a change is on the screen within its second; afterwards the shell's own words are back."""
    async with house.open():
        seen = terminal()
        seen.type("echo before; " + house.command("--watch", "; echo done=$?"), "Enter")
        await seen.shows("● OK")
        await seen.shows("q quit")
        house.broker = MqttLive(configured=True, last_error="refused")
        await seen.shows("▲ DEGRADED")
        seen.type("q")
        screen = await seen.shows("done=0")

    assert "before" in screen
    assert "COLLECT" not in screen


async def test_watch_can_be_held_and_explains_its_keys(house, terminal):
    """To read a line that moves; and nobody remembers keys."""
    async with house.open():
        seen = terminal()
        seen.type(house.command("--watch"), "Enter")
        await seen.shows("q quit")
        seen.type("?")
        await seen.shows("hold the picture")
        seen.type("p")
        await seen.shows("PAUSED")
        house.broker = MqttLive(configured=True, last_error="refused")
        await asyncio.sleep(1.5)  # longer than a look: the point is that nothing changes
        assert "DEGRADED" not in seen.screen()
        seen.type("p")
        await seen.shows("▲ DEGRADED")


async def test_watch_keeps_the_last_words_of_a_daemon_that_goes(house, terminal):
    """It says that they are old, and goes on when the daemon is back."""
    seen = terminal()
    async with house.open():
        seen.type(house.command("--watch"), "Enter")
        await seen.shows("● OK")
    await seen.shows("STALE")
    assert "was OK" in seen.screen()
    async with house.open():
        await seen.shows("● OK")


async def test_watch_never_scrolls_the_header_away(house, terminal):
    """A small window counts what does not fit."""
    async with house.open():
        seen = terminal(80, 8)
        seen.type(house.command("--watch"), "Enter")
        screen = await seen.shows("more lines in a taller window")

    assert screen.startswith("oddsd home-1  ● OK")


async def run(*arguments: object, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        ODDSD, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )  # fmt: skip
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_without_a_terminal_it_is_plain_text(house):
    """A pipe, a log, a mail: no escape sequences."""
    async with house.open():
        code, out, _ = await run("status", "--config", house.config)

    assert code == 0
    assert "\x1b" not in out
    assert "● OK" in out


async def test_json_is_the_documented_contract(house):
    """For scripts: one document, its version first."""
    async with house.open():
        code, out, _ = await run("status", "--json", "--config", house.config)

    told = json.loads(out)
    assert (code, told["schema_version"], told["running"]) == (0, 1, True)
    assert told["report"] == json.loads(msgspec.json.encode(await house.status({})))


async def test_exit_codes_tell_running_from_not_running_from_unknown(house):
    """LSB's 0, 3 and 4; a dead daemon's last words come with a 3."""
    nothing, _, err = await run("status", "--config", house.config)
    save_snapshot(house.folder / "status.json", await house.status({}), now=NOW)
    stale, out, _ = await run("status", "--config", house.config)
    async with ControlServer(house.folder / "control.sock", {}):
        unknown, _, refused = await run("status", "--config", house.config)

    assert (nothing, stale, unknown) == (3, 3, 4)
    assert "systemctl start oddsd" in err
    assert "STALE: not running; last report of 2026-03-17 14:15 UTC" in out
    assert "no such verb" in refused


async def test_watch_without_a_terminal_says_so(house):
    """A cron job that watches would never end."""
    code, _, err = await run("status", "--watch", "--config", house.config)

    assert code == 64
    assert "terminal" in err


async def test_check_speaks_to_monitors(house):
    """0, 1, 2 and 3, and always exactly one line."""
    down, said, _ = await run("check", "--config", house.config)
    async with house.open():
        well, good, _ = await run("check", "--config", house.config)
        slow, _, _ = await run("check", "-w", "1", "--config", house.config)
    wrong = house.folder / "wrong.toml"
    wrong.write_text("nonsense = 1\nruntime_dir = 5\n")
    unknown, unread, _ = await run("check", "--config", wrong)

    assert (down, well, slow, unknown) == (2, 0, 1, 3)
    assert said.startswith("ODDSD CRITICAL - not running")
    assert unread.startswith("ODDSD UNKNOWN")
    assert good.count("\n") == 1
