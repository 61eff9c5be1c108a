"""/app/account/keys: the account's keys. One is made, shown this once, and ended."""

import uuid
from datetime import UTC, date, datetime, time
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from cloudapi.errors import Invalid
from cloudapi.routes import accounts
from cloudapi.routes.accounts import MAX_KEYS, KeyList, KeyRequest, NewKey
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.web.account.room import ENDS, MANAGES, room
from cloudapi.web.asking import Asker
from cloudapi.web.forms import BLANK, Form, done, number_of, read, submit

PATH = "/app/account/keys"


@get(PATH, opt=MANAGES)
async def keys_page(services: Wired, request: AnyRequest) -> Response[str]:
    """The live keys by prefix, and the form for another."""
    return await _shown(services, request)


@post(PATH, opt=MANAGES, status_code=200)
async def make_key(services: Wired, request: AnyRequest) -> Response[Any]:
    """A key, shown this once; the page opened again makes no other and shows none."""

    async def work(given: dict[str, list[str]]) -> Response[Any]:
        wanted = read(KeyRequest, _with_end(given), lists=frozenset({"scopes"}))
        made = await Asker(services, request)(accounts.create_key, NewKey, data=wanted, request_key=number_of(given))
        return await _shown(services, request, made=made)

    async def again(form: Form) -> Response[str]:
        return await _shown(services, request, form=form)

    return await submit(request, "make", work, again)


@post(PATH + "/{key_id:uuid}/end", opt=ENDS, status_code=303)
async def end_key(services: Wired, request: AnyRequest, key_id: FromPath[uuid.UUID]) -> Response[Any]:
    """End a key."""
    await Asker(services, request).do(accounts.delete_key, key_id=key_id)
    return done(PATH, "key-ended")


def _with_end(given: dict[str, list[str]]) -> dict[str, list[str]]:
    """A day of the form as the instant it begins, in UTC."""
    typed = (given.get("expires_at") or [""])[0].strip()
    if not typed:
        return given
    try:
        moment = datetime.combine(date.fromisoformat(typed), time(), UTC)
    except ValueError as exc:
        errors = [{"pointer": "/body/expires_at", "detail": "is no day: write it as 2027-01-31"}]
        raise Invalid("This cannot be used.", errors=errors) from exc
    return given | {"expires_at": [moment.isoformat()]}


async def _shown(
    services: Services, request: AnyRequest, *, form: Form = BLANK, made: NewKey | None = None
) -> Response[str]:
    listed = (await Asker(services, request)(accounts.list_keys, KeyList)).data
    return room(request, "account_keys.html", form=form, keys=listed, made=made, most=MAX_KEYS)


HANDLERS = (keys_page, make_key, end_key)
