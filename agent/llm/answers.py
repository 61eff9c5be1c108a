"""Reads what came back: text in, a checked answer or a fault out. Pure.

Law: `finish_reason` first (strict decoding promises form, not length), then the fence's marker, then the struct, then
the request's own ids. Whatever fails was paid for all the same.
"""

from typing import Any, TypeVar

import msgspec

from agent.llm.calls import RawReply
from agent.llm.faults import CallFailed, Fault, FaultKind
from agent.llm.models import JsonMode
from agent.llm.schemas import MarketReply, ModelReply, ReplySchema

R = TypeVar("R", bound=ModelReply)


def read(raw: RawReply, schema: ReplySchema[R], mode: JsonMode, *, marker: str) -> R:
    """The answer behind a reply. Raises: CallFailed."""
    if raw.finish_reason == "length":
        raise _failed(FaultKind.CUT, "the answer was cut at its token limit")
    if marker in raw.text:
        raise _failed(FaultKind.LEAKED, "the answer repeats the fence's marker")
    return _decoded(_object_in(raw.text, mode), schema)


def rescued(fault: Fault, schema: ReplySchema[R], *, marker: str) -> R | None:
    """The answer inside what the service called bad JSON: often a good one with words around it."""
    if fault.failed_text is None or marker in fault.failed_text:
        return None
    try:
        return _decoded(_object_in(fault.failed_text, JsonMode.BEST_EFFORT), schema)
    except CallFailed:
        return None


def _object_in(text: str, mode: JsonMode) -> str:
    """Models without strict decoding wrap the object in fences and thoughts."""
    start, end = text.find("{"), text.rfind("}")
    return text if mode is JsonMode.STRICT or start < 0 or end < start else text[start : end + 1]


def _decoded(text: str, schema: ReplySchema[R]) -> R:
    try:
        value = msgspec.json.decode(text, type=schema.reply)
    except msgspec.ValidationError as exc:
        raise _failed(FaultKind.INVALID, f"the answer does not fit the schema {schema.name}: {exc}") from exc
    except (msgspec.MsgspecError, UnicodeError) as exc:
        raise _failed(FaultKind.BAD_JSON, f"the answer is not JSON: {exc}") from exc
    if (wrong := _fault_of(value, schema)) is not None:
        raise _failed(FaultKind.INVALID, f"the answer {wrong}")
    return value


def _fault_of(reply: ModelReply, schema: ReplySchema[Any]) -> str | None:
    """What a well-formed answer gets wrong about its request; lists of many markets are weeded by who asked."""
    if isinstance(reply, MarketReply) and reply.market not in schema.aliases:
        return f"speaks of {reply.market[:20]!r}, which was not asked about"
    return None


def _failed(kind: FaultKind, message: str) -> CallFailed:
    return CallFailed(Fault(kind=kind, message=message, charged=True))
