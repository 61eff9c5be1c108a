"""/app/sign-in, /app/register and out: a browser's session, for an e-mail and its password or a key that may manage.

Law: a session may do what a person may, so only a key with the scope `manage` is taken for one: a reader's key that
leaks opens no more than before. The cookie is out of reach of scripts, bound to our host, and sent by our pages alone;
forms are taken from our own pages only. A session for a key lasts a working day at most, and ends with its key.
Registering says the same whether or not there was an account, so nobody is signed in by it.
"""

from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from cloudapi.accounts import Session
from cloudapi.errors import ApiError, Conflict, NotAllowed, Unauthenticated
from cloudapi.keys import MARK
from cloudapi.queries import logins
from cloudapi.ratelimit import address_of
from cloudapi.routes.accounts import Credentials
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.settings import Environment
from cloudapi.tokens import SESSION_MARK, hash_secret, make_secret
from cloudapi.web.forms import BLANK, NO_STORE, Form, done, read, submit
from cloudapi.web.links import own_page
from cloudapi.web.render import page

KEY_SESSION_LASTS = timedelta(hours=12)
OPEN = {"public": True, "strangers": True}


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """What the form sends: one of the two ways."""

    email: str = ""
    password: str = ""
    key: str = ""
    next: str = ""


# What the door may be asked to say; an address says which, never what.
SAID = {
    "registered": "If this e-mail had no account, it has one now: sign in.",
    "password": "The password is changed and every login has ended: sign in with the new one.",
    "ended": "Your session had ended, so nothing was done. Sign in and do it again.",
}


@get("/app/sign-in", opt={"public": True})
async def sign_in_page(services: Wired, request: AnyRequest) -> Response[str]:
    """The door."""
    return _door(services, request, next_page=request.query_params.get("next"))


@post("/app/sign-in", opt=OPEN, status_code=303)
async def sign_in(services: Wired, request: AnyRequest, data: URLEncodedBody[SignIn]) -> Response[Any]:
    """A session in a cookie, or the form again with what was wrong."""
    try:
        _check_origin(request)
        session = await _opened(services, request, data)
    except ApiError as exc:
        return _door(services, request, next_page=data.next, email=data.email[:254], refused=exc)
    lasts_s = int((session.expires_at - services.now()).total_seconds())
    return Redirect(
        own_page(data.next), status_code=303, headers=NO_STORE, cookies=[_cookie(services, session.secret, lasts_s)]
    )


@get("/app/register", opt={"public": True})
async def register_page(services: Wired, request: AnyRequest) -> Response[str]:
    """The form for an account, or that there is none to be had."""
    return _registration(services, request, BLANK)


@post("/app/register", opt=OPEN, status_code=303)
async def register(services: Wired, request: AnyRequest) -> Response[Any]:
    """Make an account on the lowest tier."""

    async def work(given: dict[str, list[str]]) -> Response[Any]:
        _check_origin(request)
        wanted = read(Credentials, given)
        await services.accounts.register(wanted.email, wanted.password)
        return done("/app/sign-in", "registered")

    async def again(form: Form) -> Response[str]:
        return _registration(services, request, form)

    return await submit(request, "register", work, again)


@post("/app/sign-out", opt={"counts": False}, status_code=303)
async def sign_out(services: Wired, request: AnyRequest) -> Response[Any]:
    """End the session here and everywhere; the middleware has looked where the form came from."""
    if request.user.login_id is None:
        raise Conflict("A key is not signed in; to end a key, delete it.")
    await services.accounts.log_out(request.user.login_id)
    return Redirect("/", status_code=303, headers=NO_STORE, cookies=[no_cookie(services)])


def no_cookie(services: Services) -> Cookie:
    """What takes the session out of the browser."""
    return _cookie(services, "", 0)


def _door(
    services: Services,
    request: AnyRequest,
    *,
    next_page: str | None,
    email: str = "",
    refused: ApiError | None = None,
) -> Response[str]:
    fault, status, headers = None, 200, dict[str, str]()
    if refused is not None:
        fault, status = refused.detail, refused.status
        if refused.retry_after_s is not None:
            headers = {"retry-after": str(refused.retry_after_s)}
            fault = f"{fault} The right password is not looked at before then; a key still works."
    said = SAID.get(request.query_params.get("said", ""))
    shown = {"next": own_page(next_page), "fault": fault, "email": email, "said": said}
    return page(
        request, "sign_in.html", status_code=status, headers=headers, is_open=services.settings.registration, **shown
    )


def _registration(services: Services, request: AnyRequest, form: Form) -> Response[str]:
    is_open = services.settings.registration
    return page(
        request, "register.html", status_code=form.status, headers=NO_STORE | form.headers, form=form, is_open=is_open
    )


async def _opened(services: Services, request: AnyRequest, data: SignIn) -> Session:
    key = data.key.strip()
    if not key:
        network = address_of(request.scope, services.address_header)
        return await services.accounts.open_session(data.email, data.password, network=network)
    if not key.startswith(MARK):
        raise Unauthenticated("This is no API key of ours: one begins with odds_live_.")
    caller = await services.ring.caller_of(key)
    if "manage" not in caller.scopes:
        raise NotAllowed("This key may only read. Sign in with your e-mail, or with a key that has the scope manage.")
    session = Session(secret=make_secret(SESSION_MARK), expires_at=_end(services.now(), caller.until))
    async with services.pool.acquire() as connection:
        await logins.save_login(
            connection,
            caller.account_id,
            expires_at=session.expires_at,
            session_hash=hash_secret(session.secret),
            key_id=caller.key_id,
        )
    return session


def _end(now: datetime, key_ends_at: datetime | None) -> datetime:
    end = now + KEY_SESSION_LASTS
    return end if key_ends_at is None else min(end, key_ends_at)


def _cookie(services: Services, secret: str, lasts_s: int) -> Cookie:
    is_production = services.settings.env is Environment.PRODUCTION
    return Cookie(
        key=_cookie_name(services),
        value=secret,
        max_age=lasts_s,
        path="/",
        secure=is_production,
        httponly=True,
        samesite="lax",
    )


def _cookie_name(services: Services) -> str:
    """The name the middleware looks for."""
    from cloudapi.app import session_cookie  # the wiring imports the pages

    return session_cookie(services.settings)


def _check_origin(request: Request[Any, Any, Any]) -> None:
    """Nobody is signed in by another site's page. Raises: NotAllowed."""
    origin = cast("str", request.headers.get("origin", ""))
    if origin.partition("://")[2] != request.headers.get("host", "") or not origin:
        raise NotAllowed("Sign in from our own page.")
