"""Templates to pages: the one environment, its filters, the headers each page has, and failures as pages.

Law: everything is escaped, and a name a template does not know is an error, not an empty place. What is missing is a
dash, never 0; a minus is a minus, no hyphen, and what rounds to 0 has none. No page carries a script or a style of its
own: the policy would refuse it, and lets one hand alone make HTML, that of `page.js` for htmx. What comes from other
hands (`make assets`) may be absent: pages are whole without.
"""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal
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
from cloudapi.web.reliability import reliability

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types oddsd"
)
HEADERS = {"content-security-policy": POLICY, "cache-control": "private, no-store", "vary": "Cookie, Authorization"}
STALE_S = 120  # a feed silent for longer is told in red
ABSENT = "–"  # noqa: RUF001  a dash as printed
MINUS = "\N{MINUS SIGN}"  # as wide as a plus, and never the end of a line

MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
VENDOR = ("htmx.min.js", "uplot.min.js", "uplot.min.css")  # the folder `vendor` holds them, once they were fetched


def read_assets(here: Path = HERE) -> dict[str, bytes]:
    """Our own files, and those of other hands as far as they are here."""
    fetched = [path for name in VENDOR if (path := here / "vendor" / name).is_file()]
    own = [path for path in (here / "static").iterdir() if path.suffix in MEDIA_TYPES]
    return {path.name: path.read_bytes() for path in sorted([*own, *fetched])}


ASSETS = read_assets()
DIGESTS = {name: hashlib.sha256(body).hexdigest()[:12] for name, body in ASSETS.items()}


def percent(value: float | None, digits: int = 1) -> str:
    """A share as percent: 0.4125 is 41.2 %."""
    return ABSENT if value is None else f"{_printed(f'{value * 100:z.{digits}f}')}\u202f%"


def points(value: float | None) -> str:
    """A difference of probabilities, with its sign, in percentage points."""
    return ABSENT if value is None else f"{_printed(f'{value * 100:+z.1f}')}\u202fpp"


def number(value: float | None, digits: int = 3) -> str:
    """A number as it is."""
    return ABSENT if value is None else _printed(f"{value:z.{digits}f}")


def signed(value: int) -> str:
    """A whole number with its sign."""
    return _printed(f"{value:+d}")


def usd(value: Decimal) -> str:
    """An amount as it was reckoned, to the last place."""
    return f"{MINUS if value < 0 else ''}${abs(value)}"


def _printed(text: str) -> str:
    return text.replace("-", MINUS)


def words(value: str | None) -> str:
    """A name of the code as a reader would say it: STRONG_BET is strong bet."""
    return ABSENT if value is None else str(value).replace("_", " ").lower()


def minute(moment: datetime) -> str:
    """A moment in UTC, for whoever reads without our script."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def instant(text: str) -> datetime:
    """A moment as JSON has it."""
    return datetime.fromisoformat(text)


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago something was, in its two largest units."""
    if moment is None:
        return ABSENT
    seconds = max(0, int((now - moment).total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours = seconds // 60, seconds // 3600
    return f"{minutes} min {seconds % 60} s" if hours == 0 else f"{hours} h {minutes % 60} min"


def asset(name: str) -> str:
    """The address of a file of ours; another content is another address."""
    return f"/app/static/{DIGESTS[name]}/{name}"


def has_asset(*names: str) -> bool:
    """Whether all of these are here."""
    return all(name in ASSETS for name in names)


def missing_assets() -> list[str]:
    """What `make assets` would have brought."""
    return [name for name in VENDOR if name not in ASSETS]


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": percent, "points": points, "number": number, "words": words, "minute": minute}
    made.filters |= {"signed": signed, "usd": usd, "instant": instant, "ago": ago, "reliability": reliability}
    made.globals |= {"asset": asset, "has_asset": has_asset, "with_query": with_query, "ABSENT": ABSENT}
    made.globals["VENDOR"] = VENDOR
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


def handlers_by_address() -> ExceptionHandlersMap:
    """For what no route took: a page under /app, a problem elsewhere."""
    told = problems.exception_handlers()

    def answer(request: Request[Any, Any, Any], exc: Exception) -> Response[Any]:
        path = request.url.path
        return _answer(request, exc) if path == "/app" or path.startswith("/app/") else _problem(request, exc)

    return dict.fromkeys(told, answer)


def _problem(request: Request[Any, Any, Any], exc: Exception) -> Response[problems.Problem]:
    known = cast("Any", problems.exception_handlers())
    handler = next(known[kind] for kind in type(exc).__mro__ if kind in known)
    told: Response[problems.Problem] = handler(request, exc)
    return told


def _answer(request: Request[Any, Any, Any], exc: Exception) -> Response[Any]:
    if isinstance(exc, Unauthenticated):
        return Redirect(_door(request), status_code=303, headers={"cache-control": "no-store"})
    told = _problem(request, exc)
    kept = {name: text for name, text in told.headers.items() if name in {"retry-after", "ratelimit", "link"}}
    wait_s = next((text for name, text in kept.items() if name == "retry-after"), None)
    return page(
        request, "problem.html", status_code=told.content.status, headers=kept, problem=told.content, wait_s=wait_s
    )


def _door(request: Request[Any, Any, Any]) -> str:
    """The way to sign in and back; what a form asked is not done, and said so."""
    if request.method != "GET":
        return with_query("/app/sign-in", said="ended", next="/app/account")
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return with_query("/app/sign-in", next=asked)
