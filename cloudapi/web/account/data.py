"""/app/account/data: everything kept about the account, to take along or to take away, and what was done with it."""

from typing import Any

from litestar import Response, get, post
from litestar.response import Redirect

from cloudapi.routes import privacy
from cloudapi.routes.privacy import AuditPage, Deletion
from cloudapi.routes.shapes import Cursor
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.web.account.room import ENDS, MANAGES, room
from cloudapi.web.asking import Asker
from cloudapi.web.forms import BLANK, NO_STORE, Form, read, submit
from cloudapi.web.signin import no_cookie

PATH = "/app/account/data"


@get(PATH, opt=MANAGES)
async def data_page(services: Wired, request: AnyRequest, *, cursor: Cursor = None) -> Response[str]:
    """The export, the deeds, and the end."""
    return await _shown(services, request, cursor=cursor)


@post(PATH + "/delete", opt=ENDS, status_code=303)
async def delete_account(services: Wired, request: AnyRequest) -> Response[Any]:
    """Delete the account, said in full."""

    async def work(given: dict[str, list[str]]) -> Response[Any]:
        await Asker(services, request).do(privacy.delete_account, data=read(Deletion, given))
        return Redirect("/?said=deleted", status_code=303, headers=NO_STORE, cookies=[no_cookie(services)])

    async def again(form: Form) -> Response[str]:
        return await _shown(services, request, form=form)

    return await submit(request, "delete", work, again)


async def _shown(
    services: Services, request: AnyRequest, *, form: Form = BLANK, cursor: str | None = None
) -> Response[str]:
    listed = await Asker(services, request)(privacy.list_audit, AuditPage, cursor=cursor)
    return room(request, "account_data.html", form=form, listed=listed)


HANDLERS = (data_page, delete_account)
