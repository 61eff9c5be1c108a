"""How the local exchange misbehaves: each kind is something the real ones have done.

Law: a fault spoils one answer and is gone; nothing here knows what a client will make of it.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

KINDS = frozenset({"429", "500", "truncated", "html", "types", "drip", "reset"})
DRIP_S = 0.02  # between two pieces
DRIP_BYTES = 16

_CHALLENGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>error code: 1015</body></html>"


@dataclass(slots=True)
class Fault:
    """What to do wrong, where, and how often still."""

    venue: str
    kind: str
    times: int


@dataclass(slots=True)
class Answer:
    """A response before it is sent."""

    status: int
    document: Any
    headers: dict[str, str] = field(default_factory=dict)


def spoiled(answer: Answer, fault: Fault | None) -> Answer:
    """The answer with the faults that show in status and content."""
    match fault.kind if fault else "":
        case "429":
            return Answer(429, {"error": "too many requests"})
        case "500":
            return Answer(500, {"error": "internal error"})
        case "html":
            return Answer(200, _CHALLENGE, {"content-type": "text/html"})
        case "types":
            return Answer(answer.status, _retyped(answer.document), answer.headers)
    return answer


async def send_answer(answer: Answer, fault: Fault | None, receive: Any, send: Any) -> None:
    """Send it, with the faults that show on the wire."""
    body = answer.document if isinstance(answer.document, bytes) else json.dumps(answer.document).encode()
    kind = fault.kind if fault else ""
    if kind == "truncated":
        body = body[: len(body) * 2 // 3]
    headers = {"content-type": "application/json", "content-length": str(len(body))} | answer.headers
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    if kind == "drip":
        await _drip(body, receive, send)
    elif kind == "reset":
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        return  # the server hangs up on an answer that was promised longer
    else:
        await send({"type": "http.response.body", "body": body})


async def _drip(body: bytes, receive: Any, send: Any) -> None:
    """A few bytes at a time until the client has had enough."""
    gone = asyncio.ensure_future(receive())
    try:
        for start in range(0, len(body), DRIP_BYTES):
            piece = body[start : start + DRIP_BYTES]
            more = start + DRIP_BYTES < len(body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})
            await asyncio.wait({gone}, timeout=DRIP_S)
            if gone.done() and gone.result()["type"] == "http.disconnect":
                return
            if gone.done():
                gone = asyncio.ensure_future(receive())
    finally:
        gone.cancel()
        await asyncio.wait({gone})


def _retyped(document: Any) -> Any:
    """Every third market has an object where its ask was; the next one a real list instead of a list in a string."""
    copy = json.loads(json.dumps(document))
    markets = [market for event in copy.get("events", ()) for market in event.get("markets", ())]
    for index, market in enumerate([*markets, *copy.get("markets", ())]):
        if index % 3 == 0:
            ask = "bestAsk" if "bestAsk" in market else "yes_ask_dollars"
            market[ask] = {"value": market.get(ask), "currency": "USD"}
        elif index % 3 == 1 and isinstance(market.get("outcomes"), str):
            market["outcomes"] = json.loads(market["outcomes"])
    return copy
