"""The control socket: how an operator's command talks to the running daemon.

Law: one JSON object a line, both ways: {"verb": ..., other fields} is answered by {"ok": true, "result"} or
{"ok": false, "error", "advice"}. A request has a size limit and, unless its verb is long by nature, a deadline; a bad
request or a failing verb costs its sender an answer, never the daemon. The socket is 0660: the group may ask.

    NotRunning        exit 3    nobody listens there
    ControlForbidden  exit 77   not in the group
    ControlTimeout *  exit 69   it runs but did not answer
    ControlRefused    exit 69   it answered that it could not
"""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import structlog

from agent.errors import (
    AlreadyRunning,
    ControlForbidden,
    ControlRefused,
    ControlTimeout,
    NotRunning,
    OddsdError,
)

MAX_REQUEST_BYTES = 64 * 1024
MAX_REPLY_BYTES = 16 * 1024 * 1024  # a long timeline; more is a bug at the other end
DEADLINE_S = 10.0  # every short verb answers from memory or a few queries
IDLE_S = 60.0  # a connection that asks nothing is closed
_MODE = 0o660

Verb = Callable[[dict[str, Any]], Awaitable[Any]]

log = structlog.get_logger("control")


class ControlServer:
    """Serves the verbs on a socket file. Use as `async with`; leaving it ends all connections."""

    def __init__(
        self,
        path: Path,
        verbs: Mapping[str, Verb],
        *,
        long_verbs: Collection[str] = (),
        deadline_s: float = DEADLINE_S,
        idle_s: float = IDLE_S,
    ) -> None:
        """`long_verbs` run as long as they need, such as a job started by hand."""
        self._path = path
        self._verbs = verbs
        self._long = frozenset(long_verbs)
        self._deadline_s = deadline_s
        self._idle_s = idle_s
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._conversations: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Listening. Raises: AlreadyRunning where somebody answers on that file, OSError where it cannot be made."""
        listener = _bind(self._path)
        try:
            self._inode = self._path.stat().st_ino
            self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=MAX_REQUEST_BYTES)
        except BaseException:
            listener.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, end what is being answered, remove our file and nobody else's."""
        if self._server is not None:
            self._server.close()
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._converse(reader, writer), name="control-connection")
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await self._next_line(reader):
                await _send(writer, await self._answer(line))
        except ValueError:  # readline's word for a line above the limit; the rest of it is unreadable
            with contextlib.suppress(OSError):
                await _send(writer, _refusal(f"the request is longer than {MAX_REQUEST_BYTES} bytes", None))
        except (OSError, TimeoutError):
            pass  # the other side went away or fell silent; there is nobody left to tell
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _next_line(self, reader: asyncio.StreamReader) -> bytes:
        """The next request, or nothing: the other side has ended, or we are leaving."""
        if self._server is None or not self._server.is_serving():
            return b""
        async with asyncio.timeout(self._idle_s):
            return await reader.readline()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError as exc:
            return _refusal(f"not a JSON object on one line: {exc}", 'send {"verb": "status"}')
        name = request.pop("verb", None)
        verb = self._verbs.get(name) if isinstance(name, str) else None
        if verb is None:
            return _refusal(f"no such verb: {name!r}", f"known verbs: {', '.join(sorted(self._verbs))}")
        try:
            async with asyncio.timeout(None if name in self._long else self._deadline_s):
                return {"ok": True, "result": msgspec.to_builtins(await verb(request))}
        except OddsdError as exc:
            return _refusal(str(exc), exc.advice)
        except TimeoutError:
            limit = "in time" if name in self._long else f"within {self._deadline_s:g} s"
            return _refusal(f"{name} was not done {limit}", "look at the status, try again")
        except Exception as exc:
            log.exception("a verb failed", action="verb_failed", verb=name)
            return _refusal(f"{name}: {type(exc).__name__}: {exc}", "this is a bug; the daemon's log has the traceback")


async def call(path: Path, verb: str, timeout_s: float | None = DEADLINE_S, **params: Any) -> Any:
    """Ask the daemon one thing and return its result.

    Args:
        timeout_s: for the whole exchange; None waits for a long verb as long as it takes.
    Raises: NotRunning, ControlForbidden, ControlTimeout, ControlRefused.
    """
    request = {"verb": verb, **params}
    try:
        async with asyncio.timeout(timeout_s):
            reply = await _exchange(path, request)
    except TimeoutError as exc:
        raise ControlTimeout(
            f"{verb}: the daemon did not answer within {timeout_s:g} s", advice="it may be busy; see its log"
        ) from exc
    if reply.get("ok") is not True:
        raise ControlRefused(f"{verb}: {reply.get('error')}", advice=reply.get("advice"))
    return reply.get("result")


async def _exchange(path: Path, request: dict[str, Any]) -> dict[str, Any]:
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=MAX_REPLY_BYTES)
    except (FileNotFoundError, ConnectionRefusedError) as exc:
        raise NotRunning(f"no daemon listens on {path}", advice="start it: systemctl start oddsd") from exc
    except PermissionError as exc:
        raise ControlForbidden(f"{path}: {exc.strerror}", advice="join the group oddsd, or use sudo") from exc
    except OSError as exc:
        raise NotRunning(f"no daemon can listen on {path}: {exc}", advice="check runtime_dir") from exc
    try:
        await _send(writer, request)
        line = await reader.readline()
        return msgspec.json.decode(line, type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as exc:
        raise NotRunning(f"the daemon on {path} went away before it answered", advice="ask again") from exc
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(msgspec.json.encode(message) + b"\n")
    await writer.drain()


def _refusal(error: str, advice: str | None) -> dict[str, Any]:
    return {"ok": False, "error": error, "advice": advice}


def _bind(path: Path) -> socket.socket:
    """A socket bound to the file, its mode right before anybody can connect."""
    if path.is_socket():
        _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(_MODE)
    except OSError as exc:
        listener.close()
        if exc.errno is None or exc.errno == errno.ENAMETOOLONG:
            raise OSError(errno.ENAMETOOLONG, "a socket's path has at most 107 bytes", os.fspath(path)) from exc
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the file of a process that died; refuse to take a living one's place."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except TimeoutError:
            pass  # a full backlog still has somebody behind it
    raise AlreadyRunning(f"control socket {path}: another daemon answers there", advice="stop it first")
