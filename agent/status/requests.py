"""What somebody may ask of the house over MQTT: a closed list of verbs, none of them unless the settings allow it.

Law: a retained request is refused, for it would fire again with each connection; a request has a size limit; a verb
runs once at a time, in a task that outlives the connection it came over; whatever goes wrong is an answer. Only
`health_check` needs no permission: it changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog

from agent.errors import OddsdError

MAX_BYTES = 4096
HEALTH_CHECK = "health_check"

Command = Callable[[], Awaitable[Any]]

log = structlog.get_logger("mqtt")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a request may say."""

    transaction: str | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    status: str  # ok, error
    data: Any = None
    error: str | None = None
    transaction: str | None = None


class Requests:
    """Takes requests and answers them. `answer` must not wait."""

    def __init__(self, commands: Mapping[str, Command], answer: Callable[[str, Response], None]) -> None:
        self._commands = {**commands, HEALTH_CHECK: _healthy}
        self._answer = answer
        self._running: dict[str, asyncio.Task[None]] = {}

    @property
    def verbs(self) -> list[str]:
        """All that is answered."""
        return sorted(self._commands)

    @property
    def allowed(self) -> list[str]:
        """What somebody had to allow."""
        return [verb for verb in self.verbs if verb != HEALTH_CHECK]

    def take(self, verb: str, body: object, *, retained: bool) -> None:
        """Begin with a request, or answer why not."""
        if retained:
            log.warning("retained request ignored", action="mqtt_request_retained", verb=verb[:40])
            return
        if verb not in self._commands:
            self._refuse(verb, f"no such verb, or not allowed here; known: {', '.join(self.verbs)}")
            return
        try:
            request = _parsed(body)
        except (ValueError, msgspec.DecodeError) as exc:
            self._refuse(verb, str(exc))
            return
        if verb in self._running:
            self._answer(verb, Response(status="error", error="still at it", transaction=request.transaction))
            return
        task = asyncio.create_task(self._run(verb, request), name=f"mqtt-{verb}")
        self._running[verb] = task
        task.add_done_callback(lambda _: self._running.pop(verb, None))

    async def close(self) -> None:
        """End what is being answered."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, verb: str, request: Request) -> None:
        log.info("request taken", action="mqtt_request", verb=verb)
        try:
            data = msgspec.to_builtins(await self._commands[verb]())
            response = Response(status="ok", data=data, transaction=request.transaction)
        except OddsdError as exc:
            response = Response(status="error", error=str(exc), transaction=request.transaction)
        except Exception as exc:
            log.exception("a request failed", action="mqtt_request_failed", verb=verb)
            response = Response(status="error", error=type(exc).__name__, transaction=request.transaction)
        self._answer(verb, response)

    def _refuse(self, verb: str, why: str) -> None:
        if verb.replace("_", "").isalnum():  # else it is no topic of ours
            self._answer(verb[:40], Response(status="error", error=why))


def _parsed(body: object) -> Request:
    """Raises: ValueError, msgspec.DecodeError."""
    if not isinstance(body, bytes) or len(body) > MAX_BYTES:
        raise ValueError(f"a request has at most {MAX_BYTES} bytes")
    if not body or body == b"PRESS":  # what Home Assistant's buttons send
        return Request()
    return msgspec.json.decode(body, type=Request)


async def _healthy() -> dict[str, bool]:
    return {"healthy": True}
