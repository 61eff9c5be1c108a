"""/v1/watchlist and /v1/mail: what a reader follows and when he is mailed; and the way out of a mail."""

import secrets
import uuid
from typing import Annotated, Any

import asyncpg
import msgspec
from litestar import MediaType, Request, Response, delete, get, patch, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody

from cloudapi.audit import note
from cloudapi.db import Connection
from cloudapi.errors import Conflict, Invalid, NotFound
from cloudapi.idempotency import once
from cloudapi.queries import mail, watch
from cloudapi.queries.accounts import new_id
from cloudapi.queries.mail import Preference
from cloudapi.queries.watch import WatchRow
from cloudapi.routes.accounts import CONFLICT, NO_STORE, REFUSED, RequestKey
from cloudapi.routes.shapes import FAILURES, MISSING, Text
from cloudapi.services import AnyRequest, Wired
from cloudapi.watching import MAX_ENTRIES, MIN_CONFIDENCE, MIN_MOVE, WatchKind, zone_of
from cloudapi.webhooks import stranger

Move = Annotated[float, msgspec.Meta(ge=0, le=1, description="Of the mid within a day; 0.05 is five points.")]
Confidence = Annotated[int, msgspec.Meta(ge=0, le=100)]


class WatchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to follow: a market by its key, a category by its name, or words of a title."""

    kind: WatchKind
    subject: Text
    min_move: Move = MIN_MOVE
    min_confidence: Confidence = MIN_CONFIDENCE


class Thresholds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New thresholds of an entry."""

    min_move: Move
    min_confidence: Confidence


class WatchList(msgspec.Struct, frozen=True, kw_only=True):
    """What an account follows, newest first."""

    data: list[WatchRow]


class MailRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to be mailed: from this hour on, by the clock of this zone."""

    time_zone: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "UTC"
    hour: Annotated[int, msgspec.Meta(ge=0, le=23)] = 7
    is_on: bool = True


@get("/v1/watchlist", tags=["watch list"], responses={200: ResponseSpec(WatchList), **FAILURES})
async def list_entries(services: Wired, request: AnyRequest) -> Response[WatchList]:
    """What the account follows."""
    found = await watch.load_entries(services.pool, request.user.account_id)
    return Response(WatchList(data=found), headers=NO_STORE)


@post(
    "/v1/watchlist",
    tags=["watch list"],
    status_code=201,
    opt={"scope": "manage"},
    responses={201: ResponseSpec(WatchRow), **REFUSED, **CONFLICT, **FAILURES},
)
async def add_entry(
    services: Wired, request: AnyRequest, data: JSONBody[WatchRequest], request_key: RequestKey
) -> Response[bytes]:
    """Follow something. A market nobody has seen yet is followed all the same."""
    account_id = request.user.account_id

    async def work(connection: Connection) -> tuple[WatchRow, WatchRow]:
        if await watch.count_entries(connection, account_id) >= MAX_ENTRIES:
            raise Conflict(f"A watch list has at most {MAX_ENTRIES} entries; delete one first.")
        row = await watch.save_entry(
            connection,
            account_id,
            new_id(),
            data.kind,
            data.subject.strip(),
            min_move=data.min_move,
            min_confidence=data.min_confidence,
        )
        if row is None:
            raise Conflict("You follow this already; change its thresholds instead.")
        return row, row

    return await once(services.pool, request.user, request_key, data, work)


@patch(
    "/v1/watchlist/{watch_id:uuid}",
    tags=["watch list"],
    opt={"scope": "manage"},
    responses={200: ResponseSpec(WatchRow), **REFUSED, **MISSING, **FAILURES},
)
async def change_entry(
    services: Wired, request: AnyRequest, watch_id: FromPath[uuid.UUID], data: JSONBody[Thresholds]
) -> Response[WatchRow]:
    """Other thresholds for an entry."""
    row = await watch.change_entry(
        services.pool,
        request.user.account_id,
        watch_id,
        min_move=data.min_move,
        min_confidence=data.min_confidence,
    )
    if row is None:
        raise stranger("entry")
    return Response(row, headers=NO_STORE)


@delete(
    "/v1/watchlist/{watch_id:uuid}",
    tags=["watch list"],
    status_code=204,
    opt={"scope": "manage"},
    responses={**REFUSED, **MISSING, **FAILURES},
)
async def delete_entry(services: Wired, request: AnyRequest, watch_id: FromPath[uuid.UUID]) -> None:
    """Follow it no more."""
    if not await watch.delete_entry(services.pool, request.user.account_id, watch_id):
        raise stranger("entry")


@get("/v1/mail", tags=["watch list"], responses={200: ResponseSpec(Preference), **FAILURES})
async def get_mail(services: Wired, request: AnyRequest) -> Response[Preference]:
    """When the account is mailed, and why not if it is not."""
    found = await mail.load_preference(services.pool, request.user.account_id)
    return Response(found or Preference(time_zone="UTC", hour=7, is_on=False), headers=NO_STORE)


@put(
    "/v1/mail",
    tags=["watch list"],
    opt={"scope": "manage"},
    responses={200: ResponseSpec(Preference), **REFUSED, **FAILURES},
)
async def set_mail(services: Wired, request: AnyRequest, data: JSONBody[MailRequest]) -> Response[Preference]:
    """Choose the hour and the zone of the daily mail, or none."""
    wrong_zone = Invalid(
        "There is no such time zone; write one like Europe/Berlin.",
        errors=[{"pointer": "/body/time_zone", "detail": "unknown zone"}],
    )
    if zone_of(data.time_zone) is None:
        raise wrong_zone
    account_id = request.user.account_id
    async with services.pool.acquire() as connection, connection.transaction():
        try:
            # The database does the sums: a zone it does not know would stop everybody's mail.
            await connection.fetchval("select now() at time zone $1", data.time_zone)
        except asyncpg.DataError as exc:
            raise wrong_zone from exc
        kept = await mail.save_preference(
            connection,
            account_id,
            time_zone=data.time_zone,
            hour=data.hour,
            is_on=data.is_on,
            key=secrets.token_urlsafe(32),
        )
        await note(connection, account_id, "mail_set", is_on=data.is_on, hour=data.hour, time_zone=data.time_zone)
    return Response(kept, headers=NO_STORE)


PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    '<meta name="viewport" content="width=device-width,initial-scale=1"></head>'
    "<body><h1>{title}</h1>{body}</body></html>"
)
FORM = '<form method="post"><button type="submit">No more mails</button></form>'


@get("/mail/unsubscribe/{key:str}", opt={"public": True, "strangers": True}, include_in_schema=False)
async def ask_unsubscribe(key: FromPath[str]) -> Response[str]:
    """A page with one button: link scanners open addresses, so opening one changes nothing."""
    _ = key
    return _page(PAGE.format(title="Stop the daily mail?", body=FORM))


@post("/mail/unsubscribe/{key:str}", status_code=200, opt={"public": True, "strangers": True}, include_in_schema=False)
async def unsubscribe(services: Wired, request: Request[Any, Any, Any], key: FromPath[str]) -> Response[str]:
    """One click of a mail program (RFC 8058), or the button of the page."""
    _ = request
    async with services.pool.acquire() as connection, connection.transaction():
        account_id = await mail.unsubscribe(connection, key)
        if account_id is None:
            raise NotFound("This address unsubscribes nobody; it may have been cut off.")
        await note(connection, account_id, "mail_unsubscribed", why="link")
    return _page(PAGE.format(title="Done", body="<p>You get no more mails. Your watch list is still there.</p>"))


def _page(text: str) -> Response[str]:
    policy = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    headers = {**NO_STORE, "content-security-policy": policy, "referrer-policy": "no-referrer"}
    return Response(text, media_type=MediaType.HTML, headers=headers)


HANDLERS = (list_entries, add_entry, change_entry, delete_entry, get_mail, set_mail, ask_unsubscribe, unsubscribe)
