"""Asks the running daemon for its report, with as little as it takes: no event loop, no settings, no log.

Law: the same words as control.call for the same trouble. For `oddsd status` and `check`, which people and monitors
run all day.
"""

import contextlib
import socket
from pathlib import Path

import msgspec

from agent.errors import ControlForbidden, ControlRefused, ControlTimeout, NotRunning
from agent.status.contract import Report

TIMEOUT_S = 10.0
_READ_BYTES = 1 << 16


class _Reply(msgspec.Struct, frozen=True):
    ok: bool
    result: Report | None = None
    error: str | None = None
    advice: str | None = None


def fetch_report(path: Path, timeout_s: float = TIMEOUT_S) -> Report:
    """What the daemon says about itself now.

    Raises: NotRunning, ControlForbidden, ControlTimeout, ControlRefused.
    """
    try:
        reply = msgspec.json.decode(_exchange(path, timeout_s), type=_Reply)
    except TimeoutError as exc:
        raise ControlTimeout(
            f"status: the daemon did not answer within {timeout_s:g} s", advice="it may be busy; see its log"
        ) from exc
    except msgspec.DecodeError as exc:
        raise ControlRefused(
            f"status: the daemon's answer cannot be read: {exc}", advice="use a command of the same version"
        ) from exc
    if not reply.ok or reply.result is None:
        raise ControlRefused(f"status: {reply.error}", advice=reply.advice)
    return reply.result


def _exchange(path: Path, timeout_s: float) -> bytes:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise NotRunning(f"no daemon listens on {path}", advice="start it: systemctl start oddsd") from exc
        except PermissionError as exc:
            raise ControlForbidden(f"{path}: {exc.strerror}", advice="join the group oddsd, or use sudo") from exc
        except TimeoutError:
            raise
        except OSError as exc:
            raise NotRunning(f"no daemon can listen on {path}: {exc}", advice="check runtime_dir") from exc
        link.sendall(b'{"verb": "status"}\n')
        line = bytearray()
        while not line.endswith(b"\n"):
            try:
                more = link.recv(_READ_BYTES)
            except ConnectionError:
                more = b""
            if not more:
                raise NotRunning(f"the daemon on {path} went away before it answered", advice="ask again")
            line += more
        return bytes(line)
