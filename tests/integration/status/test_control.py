"""The control socket, over real sockets: answers, refusals, limits, and who may take whose place."""

import asyncio
import json
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from agent.errors import AlreadyRunning, ControlRefused, ControlTimeout, NotRunning, OddsdError
from agent.status.control import MAX_REQUEST_BYTES, ControlServer, call


class Desk:
    """Verbs for the tests; what is still open is released by an event."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = False

    async def echo(self, request: dict[str, Any]) -> Any:
        return {"heard": request}

    async def refuse(self, request: dict[str, Any]) -> Any:
        raise OddsdError("the cloud is away", advice="wait")

    async def break_down(self, request: dict[str, Any]) -> Any:
        raise KeyError("nobody thought of this")

    async def unspeakable(self, request: dict[str, Any]) -> Any:
        return object()

    async def give_up(self, request: dict[str, Any]) -> Any:
        raise TimeoutError

    async def wait(self, request: dict[str, Any]) -> Any:
        self.entered.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "done"

    @property
    def verbs(self) -> dict[str, Any]:
        names = ("echo", "refuse", "break_down", "unspeakable", "wait")
        return {name: getattr(self, name) for name in names} | {"run-now": self.wait, "sync-now": self.give_up}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def server(tmp_path, desk):
    async with ControlServer(
        tmp_path / "control.sock", desk.verbs, long_verbs={"run-now", "sync-now"}, deadline_s=0.05
    ):
        yield tmp_path / "control.sock"


async def exchange(path: Path, *requests: bytes) -> list[dict[str, Any]]:
    """Speak raw bytes and read one answer for each line sent."""
    reader, writer = await asyncio.open_unix_connection(path)
    answers = []
    for request in requests:
        writer.write(request)
        answers.append(json.loads(await reader.readline()))
    writer.close()
    await writer.wait_closed()
    return answers


async def test_verb_is_answered_with_its_result(server) -> None:
    """Parameters arrive, the result comes back."""
    assert await call(server, "echo", job="collect", n=[1, None]) == {"heard": {"job": "collect", "n": [1, None]}}


async def test_only_owner_and_group_may_ask(server) -> None:
    """0660 whatever the umask: the daemon's unit sets 0077, which would lock the operators out."""
    assert stat.S_IMODE(server.stat().st_mode) == 0o660


async def test_refusal_carries_reason_and_advice(server) -> None:
    """What the verb says is what the operator reads."""
    with pytest.raises(ControlRefused, match="the cloud is away") as caught:
        await call(server, "refuse")
    assert caught.value.advice == "wait"


@pytest.mark.parametrize(
    ("request_line", "words"),
    [
        (b"not json\n", "not a JSON object"),
        (b"[1]\n", "not a JSON object"),
        (b"{}\n", "no such verb: None"),
        (b'{"verb": ["status"]}\n', "no such verb"),
        (b'{"verb": "rm"}\n', "no such verb: 'rm'"),
        (b'{"verb": "break_down"}\n', "KeyError"),
        (b'{"verb": "unspeakable"}\n', "TypeError"),
        (b'{"verb": "wait"}\n', "not done within 0.05 s"),
        (b'{"verb": "sync-now"}\n', "not done in time"),  # its own limit, not the short verbs'
    ],
)
async def test_bad_request_costs_its_sender_an_answer_only(server, request_line, words) -> None:
    """Nothing a client sends ends the server or even its own connection."""
    bad, good = await exchange(server, request_line, b'{"verb": "echo"}\n')

    assert bad["ok"] is False
    assert words in bad["error"]
    assert bad["advice"]
    assert good == {"ok": True, "result": {"heard": {}}}


async def test_too_long_a_request_is_refused(server) -> None:
    """64 KiB is the limit: more would be somebody filling our memory."""
    (answer,) = await exchange(server, b'{"verb": "' + b"x" * MAX_REQUEST_BYTES + b'"}\n')

    assert answer["ok"] is False
    assert "longer than" in answer["error"]
    assert await call(server, "echo") == {"heard": {}}


async def test_long_verb_has_no_deadline(server, desk) -> None:
    """A job started by hand may take minutes; the short verbs are answered meanwhile."""
    running = asyncio.create_task(call(server, "run-now", timeout_s=None))
    await desk.entered.wait()
    with pytest.raises(ControlRefused, match="not done within"):  # longer than the deadline has passed now
        await call(server, "wait")
    assert not running.done()

    desk.release.set()
    assert await running == "done"


async def test_caller_is_told_when_no_answer_comes(server) -> None:
    """A hung daemon must not hang the operator."""
    with pytest.raises(ControlTimeout, match=r"within 0\.01 s") as caught:
        await call(server, "run-now", timeout_s=0.01)
    assert caught.value.retryable


async def test_leaving_cancels_what_is_being_answered(tmp_path, desk) -> None:
    """A drain must not wait for an operator's open request; the caller is told that the daemon went away."""
    path = tmp_path / "control.sock"
    async with ControlServer(path, desk.verbs, long_verbs={"run-now"}):
        running = asyncio.create_task(call(path, "run-now", timeout_s=None))
        await desk.entered.wait()

    assert desk.cancelled
    with pytest.raises(NotRunning, match="went away"):
        await running


async def test_silent_connection_is_closed(tmp_path, desk) -> None:
    """Somebody who connects and says nothing must not hold a place for ever."""
    async with ControlServer(tmp_path / "c", desk.verbs, idle_s=0.01):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "c")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await writer.wait_closed()


async def test_nobody_there_is_not_running(tmp_path, desk) -> None:
    """No file, a dead process's file, and a server that has left all mean exit code 3."""
    path = tmp_path / "control.sock"
    with pytest.raises(NotRunning) as caught:
        await call(path, "status")
    assert caught.value.exit_code == 3

    async with ControlServer(path, desk.verbs):
        pass
    assert not path.exists()
    leave_stale(path)
    with pytest.raises(NotRunning):
        await call(path, "status")


def leave_stale(path: Path) -> None:
    """What a killed process leaves behind: a socket file nobody listens on."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


async def test_file_of_a_dead_process_is_replaced(tmp_path, desk) -> None:
    """After kill -9 the daemon starts again without anybody cleaning up."""
    path = tmp_path / "control.sock"
    leave_stale(path)

    async with ControlServer(path, desk.verbs):
        assert await call(path, "echo") == {"heard": {}}


async def test_living_server_keeps_its_place(server, desk) -> None:
    """A second daemon must not steal the socket of the first, nor remove it when it gives up."""
    with pytest.raises(AlreadyRunning, match="another daemon"):
        async with ControlServer(server, desk.verbs):
            pass

    assert await call(server, "echo") == {"heard": {}}


async def test_leaving_does_not_remove_a_successors_file(tmp_path, desk) -> None:
    """When another process has taken the name meanwhile, the file is not ours to remove."""
    path = tmp_path / "control.sock"
    async with ControlServer(path, desk.verbs):
        path.unlink()
        leave_stale(path)

    assert path.exists()


async def test_something_else_at_that_path_is_left_alone(tmp_path, desk) -> None:
    """A wrong setting must not delete a person's file."""
    path = tmp_path / "notes.txt"
    path.write_text("mine")

    with pytest.raises(OSError, match="in use"):
        async with ControlServer(path, desk.verbs):
            pass
    assert path.read_text() == "mine"


async def test_too_long_a_path_says_so(tmp_path, desk) -> None:
    """The kernel's limit of 107 bytes is unknown to most people; its own words do not help."""
    path = tmp_path / ("x" * 120)

    with pytest.raises(OSError, match="107 bytes"):
        async with ControlServer(path, desk.verbs):
            pass
    with pytest.raises(NotRunning):
        await call(path, "status")
