"""What can go wrong with a call, and what follows from it: one table. Pure.

Law: the status code and the service's own error code decide, never an exception's class (413 and 498 have none).
`charged` says whether the service may have billed the call: only what surely was not gives its reservation back.
Source: facts on Groq's errors; the SDK's own retries are off because they ignore long retry-after headers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.llm.limits import parse_duration


class FaultKind(StrEnum):
    """Each kind has its own treatment in the gateway."""

    BAD_JSON = "bad_json"  # no JSON at all: the mode does not hold this model
    CUT = "cut"  # the completion budget ended before the JSON did
    INVALID = "invalid"  # JSON, and not an answer to what was asked
    LEAKED = "leaked"  # the fence's marker came back: the model followed the data, or repeats its prompt
    MODE_UNSUPPORTED = "mode_unsupported"
    MODEL_GONE = "model_gone"
    KEY_REFUSED = "key_refused"
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    RATE_LIMITED = "rate_limited"
    TRANSIENT = "transient"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One failed call."""

    kind: FaultKind
    message: str
    charged: bool = False
    wait_s: float | None = None  # how long the service asked us to stay away
    excess_tokens: int | None = None  # by how much a request was too large
    failed_text: str | None = None  # what the model had written


class CallFailed(Exception):
    """Raised by the wire; the gateway turns it into an error of ours or another try."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


_GONE = frozenset({"model_not_found", "model_decommissioned"})
_TOO_LARGE = re.compile(r"limit (\d+), requested (\d+)", re.IGNORECASE)
_TRY_AGAIN = re.compile(r"try again in ((?:\d+(?:\.\d+)?(?:ms|[hms]))+)", re.IGNORECASE)
_UNSUPPORTED = re.compile(r"does not support (?:response.format|.{0,40}json_schema)", re.IGNORECASE)


def fault_of(status: int, body: object, headers: Mapping[str, str]) -> Fault:
    """The fault behind an answer of 4xx or 5xx."""
    error = _error(body)
    code, message = str(error.get("code") or ""), str(error.get("message") or f"HTTP {status}")[:400]
    if code in _GONE:
        return Fault(kind=FaultKind.MODEL_GONE, message=message)
    match status:
        case 400:
            return _bad_request(code, message, error)
        case 413:
            return Fault(kind=FaultKind.TOO_LARGE, message=message, excess_tokens=_excess(message))
        case 429:
            return Fault(kind=FaultKind.RATE_LIMITED, message=message, wait_s=_asked_wait(headers, message))
    return Fault(kind=_kind_of(status), message=f"HTTP {status}: {message}", charged=status == 408)


def _kind_of(status: int) -> FaultKind:
    if status in (401, 403):
        return FaultKind.KEY_REFUSED
    # 498 is Groq's "flex tier full". Groq does not charge for server errors; a 408 may have run.
    return FaultKind.TRANSIENT if status in (408, 498) or status >= 500 else FaultKind.REFUSED


def _bad_request(code: str, message: str, error: Mapping[str, Any]) -> Fault:
    if code == "json_validate_failed":
        text = error.get("failed_generation")
        text = text if isinstance(text, str) else None
        return Fault(kind=FaultKind.BAD_JSON, message=message, charged=True, failed_text=text)
    if _UNSUPPORTED.search(message):
        return Fault(kind=FaultKind.MODE_UNSUPPORTED, message=message)
    return Fault(kind=FaultKind.REFUSED, message=f"HTTP 400 {code}: {message}")


def _error(body: object) -> Mapping[str, Any]:
    """The inner object of {"error": {…}}; an empty one for anything else, such as HTML."""
    inner = body.get("error") if isinstance(body, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _excess(message: str) -> int | None:
    found = _TOO_LARGE.search(message)
    return None if found is None else int(found[2]) - int(found[1])


def _asked_wait(headers: Mapping[str, str], message: str) -> float | None:
    """Seconds from retry-after, else from the text, else None."""
    try:
        return max(0.0, float(headers["retry-after"]))
    except (KeyError, ValueError):
        found = _TRY_AGAIN.search(message)
        return None if found is None else parse_duration(found[1])
