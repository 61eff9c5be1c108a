"""/app/account: who is here and what is left of the limits; /app/account/password: another password."""

from typing import Any

from litestar import Response, get, post

from cloudapi.errors import Unauthenticated
from cloudapi.routes import accounts
from cloudapi.routes.accounts import Me, PasswordChange, Usage
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.web.account.room import MANAGES, room
from cloudapi.web.asking import Asker
from cloudapi.web.forms import BLANK, Form, done, read, submit


@get("/app/account")
async def account_page(services: Wired, request: AnyRequest) -> Response[str]:
    """Who is here and what may still be asked."""
    ask = Asker(services, request)
    me = await ask(accounts.get_me, Me)
    usage = await ask(accounts.get_usage, Usage)
    return room(request, "account.html", me=me, usage=usage)


@get("/app/account/password", opt=MANAGES)
async def password_page(services: Wired, request: AnyRequest) -> Response[str]:
    """The password as it is and as it shall be."""
    return await _password(services, request, BLANK)


@post("/app/account/password", opt=MANAGES, status_code=303)
async def change_password(services: Wired, request: AnyRequest) -> Response[Any]:
    """Change it; every login ends, this one too."""

    async def work(given: dict[str, list[str]]) -> Response[Any]:
        try:
            await Asker(services, request).do(accounts.change_password, data=read(PasswordChange, given))
        except Unauthenticated as exc:
            errors = [{"pointer": "/body/old_password", "detail": "this is not your password"}]
            raise Unauthenticated("The password was not changed.", errors=errors) from exc
        return done("/app/sign-in", "password")

    async def again(form: Form) -> Response[str]:
        return await _password(services, request, form)

    return await submit(request, "password", work, again)


async def _password(services: Services, request: AnyRequest, form: Form) -> Response[str]:
    me = await Asker(services, request)(accounts.get_me, Me)
    return room(request, "account_password.html", form=form, me=me)


HANDLERS = (account_page, password_page, change_password)
