"""Templates to pages: the one environment, its filters, the headers each page has, and failures as pages.

Law: everything is escaped, and a name a template does not know is an error, not an empty place. What is missing is a
dash, never 0. No page carries a script or a style of its own: the policy would refuse it.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import MediaType, Request, Response
from litestar.response import Redirect
from litestar.types import ExceptionHandlersMap

from cloudapi import problems
from cloudapi.errors import Unauthenticated
from cloudapi.services import Services
from cloudapi.web.links import with_query

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {"content-security-policy": POLICY, "cache-control": "private, no-store", "vary": "Cookie, Authorization"}
STALE_S = 120  # a feed silent for longer is told in red
ABSENT = "–"  # noqa: RUF001  a dash as printed

MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
ASSETS = {path.name: path.read_bytes() for path in sorted((HERE / "static").iterdir()) if path.suffix in MEDIA_TYPES}
DIGESTS = {name: hashlib.sha256(body).hexdigest()[:12] for name, body in ASSETS.items()}


def percent(value: float | None, digits: int = 1) -> str:
    """A share as percent: 0.4125 is 41.2 %."""
    return ABSENT if value is None else f"{value * 100:.{digits}f}\u202f%"


def points(value: float | None) -> str:
    """A difference of probabilities, with its sign, in percentage points."""
    return ABSENT if value is None else f"{value * 100:+.1f}\u202fpp"


def number(value: float | None, digits: int = 3) -> str:
    """A number as it is."""
    return ABSENT if value is None else f"{value:.{digits}f}"


def words(value: str | None) -> str:
    """A name of the code as a reader would say it: STRONG_BET is strong bet."""
    return ABSENT if value is None else str(value).replace("_", " ").lower()


def minute(moment: datetime) -> str:
    """A moment in UTC, for whoever reads without our script."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def asset(name: str) -> str:
    """The address of a file of ours; another content is another address."""
    return f"/app/static/{DIGESTS[name]}/{name}"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": percent, "points": points, "number": number, "words": words, "minute": minute}
    made.globals |= {"asset": asset, "with_query": with_query, "ABSENT": ABSENT}
    return made


ENVIRONMENT = _environment()


def page(
    request: Request[Any, Any, Any],
    template: str,
    *,
    status_code: int = 200,
    headers: dict[str, str] | None = None,
    **shown: Any,
) -> Response[str]:
    """A page for whoever asks."""
    services = cast("Services", request.app.state.services)
    landed_at = services.versions.last_landing_at
    now = services.now()
    text = ENVIRONMENT.get_template(template).render(
        path=request.url.path,
        query=request.url.query,
        caller=request.scope.get("user"),
        landed_at=landed_at,
        is_stale=landed_at is not None and (now - landed_at).total_seconds() > STALE_S,
        now=now,
        **shown,
    )
    return Response(text, status_code=status_code, media_type=MediaType.HTML, headers={**HEADERS, **(headers or {})})


def exception_handlers() -> ExceptionHandlersMap:
    """Each failure the API tells as a problem, told as a page; who is not signed in is led to the door."""
    return dict.fromkeys(problems.exception_handlers(), _answer)


def _answer(request: Request[Any, Any, Any], exc: Exception) -> Response[Any]:
    if isinstance(exc, Unauthenticated) and request.method == "GET":
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return Redirect(with_query("/app/sign-in", next=asked), status_code=303, headers={"cache-control": "no-store"})
    known = problems.exception_handlers()
    handler = next(cast("Any", known)[kind] for kind in type(exc).__mro__ if kind in known)
    told: Response[problems.Problem] = handler(request, exc)
    kept = {name: text for name, text in told.headers.items() if name in {"retry-after", "ratelimit", "link"}}
    return page(request, "problem.html", status_code=told.content.status, headers=kept, problem=told.content)
