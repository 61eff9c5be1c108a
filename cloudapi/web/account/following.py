"""/app/account/watch: what the account follows, from when on it is worth a line, and the daily mail."""

import uuid
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from cloudapi.queries.mail import Preference
from cloudapi.queries.watch import WatchRow
from cloudapi.routes import watch
from cloudapi.routes.watch import MailRequest, Thresholds, WatchList, WatchRequest
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.watching import MAX_ENTRIES, MIN_CONFIDENCE, MIN_MOVE, WatchKind
from cloudapi.web.account.room import MANAGES, room
from cloudapi.web.asking import Asker
from cloudapi.web.forms import BLANK, Form, done, number_of, read, submit

PATH = "/app/account/watch"


@get(PATH)
async def watch_page(services: Wired, request: AnyRequest) -> Response[str]:
    """What is followed, and when a mail comes."""
    return await _shown(services, request)


@post(PATH, opt=MANAGES, status_code=303)
async def follow(services: Wired, request: AnyRequest) -> Response[Any]:
    """Follow a market, a category or words."""

    async def work(given: dict[str, list[str]]) -> Response[Any]:
        wanted = read(WatchRequest, _in_shares(given))
        await Asker(services, request)(watch.add_entry, WatchRow, data=wanted, request_key=number_of(given))
        return done(PATH, "watched")

    return await submit(request, "follow", work, _again(services, request))


@post(PATH + "/{watch_id:uuid}", opt=MANAGES, status_code=303)
async def change(services: Wired, request: AnyRequest, watch_id: FromPath[uuid.UUID]) -> Response[Any]:
    """Other thresholds, or no more of it, by the button that was pressed."""
    ask = Asker(services, request)

    async def work(given: dict[str, list[str]]) -> Response[Any]:
        if given.get("do") == ["end"]:
            await ask.do(watch.delete_entry, watch_id=watch_id)
            return done(PATH, "unwatched")
        await ask(watch.change_entry, WatchRow, watch_id=watch_id, data=read(Thresholds, _in_shares(given)))
        return done(PATH, "changed")

    return await submit(request, str(watch_id), work, _again(services, request))


@post(PATH + "/mail", opt=MANAGES, status_code=303)
async def set_mail(services: Wired, request: AnyRequest) -> Response[Any]:
    """The hour and the zone of the daily mail, or none."""

    async def work(given: dict[str, list[str]]) -> Response[Any]:
        await Asker(services, request)(watch.set_mail, Preference, data=read(MailRequest, given))
        return done(PATH, "mail")

    return await submit(request, "mail", work, _again(services, request))


def _in_shares(given: dict[str, list[str]]) -> dict[str, list[str]]:
    """Points of a form as the share the API takes; what is no number goes on as it is, to be refused there."""
    typed = (given.get("min_move") or [""])[0].strip().replace(",", ".")
    try:
        share = [repr(float(typed) / 100)]
    except ValueError:
        share = [typed]
    return given | {"min_move": share}


def _again(services: Services, request: AnyRequest) -> Any:
    async def again(form: Form) -> Response[str]:
        return await _shown(services, request, form=form)

    return again


async def _shown(services: Services, request: AnyRequest, *, form: Form = BLANK) -> Response[str]:
    ask = Asker(services, request)
    entries = (await ask(watch.list_entries, WatchList)).data
    preference = await ask(watch.get_mail, Preference)
    return room(
        request,
        "account_watch.html",
        form=form,
        entries=entries,
        mail=preference,
        kinds=list(WatchKind),
        most=MAX_ENTRIES,
        begins={"min_move": MIN_MOVE, "min_confidence": MIN_CONFIDENCE},
        may_manage="manage" in request.user.scopes,
    )


HANDLERS = (watch_page, follow, change, set_mail)
