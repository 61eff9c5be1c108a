"""/v1/auth, /v1/me, /v1/usage, /v1/api-keys: people, what they hold and what they have used.

Law: an account sees its own and nothing else: a stranger's key is a 404 like one that never was. Keys are managed by
whoever logged in, or by a key that was given the scope `manage`: a reader's key that leaks makes no others.
"""

import secrets
import uuid
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec
from litestar import Response, delete, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody

from cloudapi import keys
from cloudapi.accounts import Tokens
from cloudapi.db import Connection
from cloudapi.errors import Conflict, Invalid, NotAllowed, NotFound, Unauthenticated
from cloudapi.idempotency import once
from cloudapi.problems import Problem
from cloudapi.queries import accounts
from cloudapi.queries.accounts import OwnKey
from cloudapi.ratelimit import address_of
from cloudapi.routes.shapes import FAILURES, MISSING, aware
from cloudapi.services import AnyRequest, Wired
from cloudapi.tiers import Tier
from cloudapi.windows import WINDOW_S

MAX_KEYS = 10

Email: TypeAlias = Annotated[str, msgspec.Meta(min_length=3, max_length=254)]
Password: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Secret: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
RequestKey: TypeAlias = Annotated[
    str,
    HeaderParameter(
        name="idempotency-key", min_length=1, max_length=200, description="Yours to choose; repeats create nothing new."
    ),
]
OPEN = {
    "public": True,
    "strangers": True,  # counted by address: nobody is known yet
}
NO_STORE = {"cache-control": "no-store"}
MALFORMED = {400: FAILURES[422]}  # no JSON at all
CONFLICT = {409: ResponseSpec(Problem, description="Under way, or too many", media_type="application/problem+json")}
REFUSED = {403: ResponseSpec(Problem, description="Not with this key", media_type="application/problem+json")}


class Credentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """E-mail and password."""

    email: Email
    password: Password


class RefreshRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A refresh token to be taken for new ones."""

    refresh_token: Secret


class PasswordChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The password as it is and as it shall be."""

    old_password: Password
    new_password: Password


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The same whether or not the e-mail had an account."""

    detail: str = "If this e-mail had no account, it has one now: log in."


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who the caller is."""

    account_id: uuid.UUID
    name: str
    email: str | None
    tier: Tier
    scopes: list[str]
    created_at: datetime
    is_operator: bool = False  # may look at the edges: /v1/edges


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One limit and what is left of it."""

    limit: int
    remaining: int
    resets_in: int | None  # seconds; None: on the first of the month, UTC


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What an account may still ask. `not modified` is free of the month's count."""

    burst: Window
    month: Window
    live_streams: Window


class KeyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The key somebody wants."""

    label: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    scopes: Annotated[tuple[Literal["read", "manage"], ...], msgspec.Meta(min_length=1, max_length=2)] = ("read",)
    requests_per_minute: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    expires_at: datetime | None = None


class NewKey(OwnKey, frozen=True, kw_only=True):
    """A key just made; `key` is shown this once."""

    key: str | None


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """The live keys of an account, newest first."""

    data: list[OwnKey]


@post(
    "/v1/auth/register",
    tags=["accounts"],
    opt=OPEN,
    status_code=202,
    security=[{}],
    responses={202: ResponseSpec(Registered), **MALFORMED, **REFUSED, **FAILURES},
)
async def register(services: Wired, data: JSONBody[Credentials]) -> Response[Registered]:
    """Make an account on the lowest tier; the answer does not tell whether there was one."""
    await services.accounts.register(data.email, data.password)
    return Response(Registered(), status_code=202, headers=NO_STORE)


@post(
    "/v1/auth/login",
    tags=["accounts"],
    opt=OPEN,
    status_code=200,
    security=[{}],
    responses={200: ResponseSpec(Tokens), **MALFORMED, **FAILURES},
)
async def log_in(services: Wired, request: AnyRequest, data: JSONBody[Credentials]) -> Response[Tokens]:
    """An access token for half an hour and a refresh token that works once."""
    network = address_of(request.scope, services.address_header)
    tokens = await services.accounts.log_in(data.email, data.password, network=network)
    return Response(tokens, status_code=200, headers=NO_STORE)


@post(
    "/v1/auth/refresh",
    tags=["accounts"],
    opt=OPEN,
    status_code=200,
    security=[{}],
    responses={200: ResponseSpec(Tokens), **MALFORMED, **FAILURES},
)
async def refresh(services: Wired, data: JSONBody[RefreshRequest]) -> Response[Tokens]:
    """New tokens for a refresh token; one that comes twice ends the login."""
    return Response(await services.accounts.refresh(data.refresh_token), status_code=200, headers=NO_STORE)


@post("/v1/auth/logout", tags=["accounts"], status_code=204, opt={"counts": False}, responses=FAILURES)
async def log_out(services: Wired, request: AnyRequest) -> None:
    """End this login: its access tokens stop at once, on every replica."""
    if request.user.login_id is None:
        raise Invalid("A key is not logged in; to end a key, delete it.")
    await services.accounts.log_out(request.user.login_id)


@post(
    "/v1/auth/password",
    tags=["accounts"],
    status_code=204,
    opt={"scope": "manage"},
    responses={**MALFORMED, **REFUSED, **FAILURES},
)
async def change_password(services: Wired, request: AnyRequest, data: JSONBody[PasswordChange]) -> None:
    """Change the password; every login ends, this one too."""
    if request.user.login_id is None:
        raise NotAllowed("Log in to change the password; a key cannot.")
    await services.accounts.change_password(
        request.user.account_id,
        old=data.old_password,
        new=data.new_password,
        network=address_of(request.scope, services.address_header),
    )


@get("/v1/me", tags=["accounts"], responses={200: ResponseSpec(Me), **FAILURES})
async def get_me(services: Wired, request: AnyRequest) -> Response[Me]:
    """The account behind this key or login."""
    account = await accounts.load_account(services.pool, request.user.account_id)
    if account is None:
        raise Unauthenticated("This account is closed.")
    me = Me(
        account_id=account.account_id,
        name=account.name,
        email=account.email,
        tier=account.tier,
        scopes=sorted(request.user.scopes),
        created_at=account.created_at,
        is_operator=account.is_operator,
    )
    return Response(me, headers=NO_STORE)


@get("/v1/usage", tags=["accounts"], responses={200: ResponseSpec(Usage), **FAILURES})
async def get_usage(services: Wired, request: AnyRequest) -> Response[Usage]:
    """What is left of the minute, the month and the live streams."""
    caller, right = request.user, request.user.entitlement
    left, wait_s = await services.limiter.remaining(f"account:{caller.account_id}", right.requests_per_minute)
    used = await services.quota.used(caller.account_id)
    n_open = await services.places.n_taken(caller.account_id)
    month_left = max(right.requests_per_month - used, 0)
    usage = Usage(
        burst=Window(limit=right.requests_per_minute, remaining=left, resets_in=wait_s),
        month=Window(limit=right.requests_per_month, remaining=month_left, resets_in=None),
        live_streams=Window(limit=right.live_streams, remaining=max(right.live_streams - n_open, 0), resets_in=0),
    )
    header = f'"burst";r={left};t={min(wait_s, WINDOW_S)}, "month";r={month_left}'
    return Response(usage, headers={**NO_STORE, "ratelimit": header})


@get(
    "/v1/api-keys",
    tags=["accounts"],
    opt={"scope": "manage"},
    responses={200: ResponseSpec(KeyList), **REFUSED, **FAILURES},
)
async def list_keys(services: Wired, request: AnyRequest) -> Response[KeyList]:
    """The account's live keys by prefix; never the keys."""
    return Response(
        KeyList(data=await accounts.load_own_keys(services.pool, request.user.account_id)), headers=NO_STORE
    )


@post(
    "/v1/api-keys",
    tags=["accounts"],
    status_code=201,
    opt={"scope": "manage"},
    responses={201: ResponseSpec(NewKey), **MALFORMED, **REFUSED, **CONFLICT, **FAILURES},
)
async def create_key(
    services: Wired, request: AnyRequest, data: JSONBody[KeyRequest], request_key: RequestKey
) -> Response[bytes]:
    """A key, shown this once. A repeat with the same Idempotency-Key makes no second one and shows none."""
    ends_at = aware(data.expires_at, "expires_at", of="body")
    if ends_at is not None and ends_at <= services.now():
        errors = [{"pointer": "/body/expires_at", "detail": "in the past"}]
        raise Invalid("A key cannot end before it begins.", errors=errors)

    async def work(connection: Connection) -> tuple[NewKey, NewKey]:
        if await accounts.count_own_keys(connection, request.user.account_id) >= MAX_KEYS:
            raise Conflict(f"An account has at most {MAX_KEYS} keys; delete one first.")
        made = keys.make_key(secrets.token_bytes(keys.N_RANDOM_BYTES))
        row = await accounts.add_key(
            connection,
            request.user.account_id,
            key=made,
            label=data.label,
            scopes=tuple(sorted(set(data.scopes))),
            requests_per_minute=data.requests_per_minute,
            expires_at=data.expires_at,
        )
        fields = msgspec.structs.asdict(row)
        return NewKey(**fields, key=made), NewKey(**fields, key=None)

    return await once(services.pool, request.user, request_key, data, work)


@delete(
    "/v1/api-keys/{key_id:uuid}",
    tags=["accounts"],
    status_code=204,
    opt={"scope": "manage", "counts": False},  # ending a key that leaked must always work
    responses={**REFUSED, **MISSING, **FAILURES},
)
async def delete_key(services: Wired, request: AnyRequest, key_id: FromPath[uuid.UUID]) -> None:
    """End a key, on every replica within two seconds."""
    if not await accounts.revoke_own_key(services.pool, request.user.account_id, key_id):
        raise NotFound(f"There is no key {key_id}.")
