"""What every answer carries, and what a failed one says: request id, security headers, application/problem+json.

Law: one shape for every failure, the framework's own included (404, 405, 422, 500); a caller sees code and sentence,
never a stack, SQL or a value from the configuration. `type` is a stable address under our documentation.
"""

import itertools
import re
import secrets
import time
from http import HTTPStatus
from typing import Any

import asyncpg
import msgspec
import structlog
from litestar import Request, Response
from litestar.enums import ParamType, ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import BeforeMessageSendHookHandler, ExceptionHandlersMap, HTTPScope, Message, Scope, Send

from cloudapi.db import AWAY
from cloudapi.errors import ApiError, Forbidden, QuotaSpent, Unauthenticated
from cloudapi.metrics import Metrics
from cloudapi.quota import Quota
from cloudapi.ratelimit import policy_header
from cloudapi.windows import WINDOW_S

log = structlog.get_logger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
REQUEST_ID_HEADERS = (b"x-railway-request-id", b"x-request-id")
RETRY_AFTER_S = 5  # the database restarts in about that

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-content-type-options": "nosniff",
}

# Codes of failures the framework raises; ours are in the ApiError tree.
FRAMEWORK_CODES = {400: "bad-request", 401: "unauthenticated", 403: "forbidden", 404: "not-found"}
FRAMEWORK_CODES |= {405: "method-not-allowed", 413: "too-large", 415: "unsupported-media-type", 422: "invalid"}
FRAMEWORK_CODES |= {500: "internal"}

LOG_ONE_OF = 50  # answered reads; failures of ours and whatever writes are logged each


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A failed answer (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[dict[str, str]] | None = None


def request_id(scope: Scope, headers: dict[bytes, bytes] | None = None) -> str:
    """The id the platform gave this request, or one of ours; the same in headers, problems and logs."""
    state: dict[str, Any] = scope.setdefault("state", {})
    if "request_id" not in state:
        headers = dict(scope["headers"]) if headers is None else headers
        given = next((headers[name].decode("latin-1") for name in REQUEST_ID_HEADERS if name in headers), "")
        state["request_id"] = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    return str(state["request_id"])


def note_start(scope: Scope) -> None:
    """Start the request's clock."""
    scope.setdefault("state", {})["started_at"] = time.perf_counter()


class Answered:
    """Counts and logs answers, whichever way they leave."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._turn = itertools.count()

    def note(self, scope: HTTPScope, route: str, status: int, duration_s: float | None) -> None:
        """One answer begins."""
        self._metrics.note_request(scope["method"], route, status, duration_s)
        is_told = status >= HTTPStatus.INTERNAL_SERVER_ERROR or scope["method"] not in {"GET", "HEAD"}
        if is_told or not next(self._turn) % LOG_ONE_OF:
            _log_request(scope, route, status, duration_s)


def make_send_hook(answered: Answered, quota: Quota) -> BeforeMessageSendHookHandler:
    """Adds the headers every answer has, counts the answer and logs it. Runs for unrouted paths too."""

    async def before_send(message: Message, scope: Scope) -> None:
        if message["type"] != "http.response.start" or scope["type"] != ScopeType.HTTP:
            return
        headers = list(message.get("headers", []))
        present = {name.lower() for name, _ in headers}
        extra = SECURITY_HEADERS | {"x-request-id": request_id(scope)}
        caller = scope.get("user")
        if caller is not None:
            right = caller.entitlement
            extra["ratelimit-policy"] = policy_header(right.requests_per_minute, right.requests_per_month)
            if message["status"] == HTTPStatus.NOT_MODIFIED:
                quota.give_back(caller.account_id)
        headers += [(name.encode(), text.encode()) for name, text in extra.items() if name.encode() not in present]
        message["headers"] = headers
        started_at = scope["state"].get("started_at")
        duration_s = None if started_at is None else time.perf_counter() - started_at
        answered.note(scope, _route_of(scope), message["status"], duration_s)

    return before_send


def _log_request(scope: HTTPScope, route: str, status: int, duration_s: float | None) -> None:
    """One line: who by id, what by route, never a credential, a query or a body."""
    caller = scope.get("user")
    log.info(
        "request answered",
        action="request",
        id=request_id(scope),
        method=scope["method"],
        route=route,
        status=status,
        duration_ms=None if duration_s is None else round(duration_s * 1000, 1),
        account_id=None if caller is None else str(caller.account_id),
        key_id=None if caller is None or caller.key_id is None else str(caller.key_id),
    )


async def refuse_socket(scope: Scope, send: Send, exc: ApiError) -> None:
    """Refuse a WebSocket before it is one: with a problem where the server can say it, else by closing."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": exc.code})
        return
    problem = Problem(
        type=f"/docs#problem-{exc.code}",
        title=exc.title,
        status=exc.status,
        detail=exc.detail,
        instance=scope["path"],
        request_id=request_id(scope),
    )
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    headers += [(name.encode(), text.encode()) for name, text in SECURITY_HEADERS.items()]
    start: Any = {"type": "websocket.http.response.start", "status": exc.status, "headers": headers}
    await send(start)
    body: Any = {"type": "websocket.http.response.body", "body": msgspec.json.encode(problem)}
    await send(body)


def exception_handlers() -> ExceptionHandlersMap:
    """The explicit map: without it the framework answers plain JSON for what nobody expected."""
    handlers: ExceptionHandlersMap = {
        ApiError: _answer_api_error,
        HTTPException: _answer_framework,
        asyncpg.CharacterNotInRepertoireError: _answer_unstorable,
        asyncpg.UntranslatableCharacterError: _answer_unstorable,
        Exception: _answer_unexpected,
    }
    return {**handlers, **dict.fromkeys(AWAY, _answer_away)}


def _route_of(scope: Scope) -> str:
    handler = scope.get("route_handler")
    return str(scope.get("path_template", "matched")) if handler is not None else "unmatched"


def _answer_api_error(request: Request[Any, Any, Any], exc: ApiError) -> Response[Problem]:
    headers = {}
    if exc.retry_after_s is not None:
        headers["retry-after"] = str(exc.retry_after_s)
        if exc.status == HTTPStatus.TOO_MANY_REQUESTS and not isinstance(exc, QuotaSpent):
            headers["ratelimit"] = f'"burst";r=0;t={min(exc.retry_after_s, WINDOW_S)}'
    if isinstance(exc, Unauthenticated):
        headers["www-authenticate"] = 'Bearer realm="oddsd"'
    if isinstance(exc, Forbidden):
        headers["link"] = '</docs#tiers>; rel="help"'
    return _answer(request, exc.status, exc.code, exc.title, exc.detail, errors=exc.errors, headers=headers)


def _answer_framework(request: Request[Any, Any, Any], exc: HTTPException) -> Response[Problem]:
    if isinstance(exc, ValidationException):
        details = exc.extra if isinstance(exc.extra, list) else []
        errors = [_pointer(item) for item in details if isinstance(item, dict)]
        detail = "One or more parameters cannot be used; see errors."
        return _answer(request, 422, "invalid", "The request is not valid", detail, errors=errors or None)
    title = HTTPStatus(exc.status_code).phrase
    if exc.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _answer_unexpected(request, exc)
    detail = exc.detail if exc.detail and exc.detail != title else f"{title}: {request.method} {request.url.path}"
    code = FRAMEWORK_CODES.get(exc.status_code, "bad-request")
    return _answer(request, exc.status_code, code, title, detail, headers=dict(exc.headers or {}))


def _answer_unstorable(request: Request[Any, Any, Any], _: Exception) -> Response[Problem]:
    """A NUL is text in JSON, in a form and in an address, and none to PostgreSQL."""
    detail = "A text holds a sign that cannot be kept (NUL); send it without."
    return _answer(request, 422, "invalid", "The request is not valid", detail)


def _answer_away(request: Request[Any, Any, Any], exc: Exception) -> Response[Problem]:
    log.warning("database is away", action="database_away", cause=type(exc).__name__, id=request_id(request.scope))
    headers = {"retry-after": str(RETRY_AFTER_S)}
    detail = "The database does not answer; try again shortly."
    return _answer(request, 503, "unavailable", "Not available just now", detail, headers=headers)


def _answer_unexpected(request: Request[Any, Any, Any], exc: Exception) -> Response[Problem]:
    log.error("request failed", action="request_failed", id=request_id(request.scope), exc_info=exc)
    return _answer(
        request, 500, "internal", "Internal error", "Something broke here; the request id finds it in our log."
    )


def _pointer(item: dict[str, Any]) -> dict[str, str]:
    source = item.get("source", "body")
    where = source.value if isinstance(source, ParamType) else str(source)
    return {"pointer": f"/{where}/{item.get('key', '')}", "detail": str(item.get("message", ""))}


def _answer(
    request: Request[Any, Any, Any],
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response[Problem]:
    problem = Problem(
        type=f"/docs#problem-{code}",
        title=title,
        status=status,
        detail=detail,
        instance=request.url.path,
        request_id=request_id(request.scope),
        errors=errors,
    )
    return Response(
        problem,
        status_code=status,
        media_type="application/problem+json",
        headers={"cache-control": "no-store", **(headers or {})},
    )
