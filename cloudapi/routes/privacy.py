"""/v1/account and /v1/audit: an account's own data and deeds, to take along or to take away."""

from typing import Any, Literal

import msgspec
from litestar import Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from cloudapi import privacy
from cloudapi.audit import AuditLine, load_lines, note
from cloudapi.behalf import on_behalf_of
from cloudapi.routes.accounts import NO_STORE, REFUSED
from cloudapi.routes.shapes import FAILURES, Cursor, Limit
from cloudapi.services import AnyRequest, Wired


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of what was done with an account, newest first."""

    data: list[AuditLine]
    has_more: bool
    next_cursor: str | None


class Deletion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Said in full, so that nobody deletes an account by accident."""

    confirm: Literal["delete my account"]


@get(
    "/v1/audit",
    tags=["accounts"],
    opt={"scope": "manage"},
    responses={200: ResponseSpec(AuditPage), **REFUSED, **FAILURES},
)
async def list_audit(
    services: Wired, request: AnyRequest, *, limit: Limit = 20, cursor: Cursor = None
) -> Response[AuditPage]:
    """What was done with the account: tiers, keys of services, mails, webhooks."""
    before = None
    if cursor is not None:
        (before,) = services.cursors.read(cursor, tuple[int], listing="audit", filters={})
    rows = await load_lines(services.pool, request.user.account_id, before=before, limit=limit + 1)
    page, follow = rows[:limit], None
    if len(rows) > limit:
        follow = services.cursors.make([page[-1].audit_id], listing="audit", filters={})
    return Response(AuditPage(data=page, has_more=follow is not None, next_cursor=follow), headers=NO_STORE)


@get("/v1/account/export", tags=["accounts"], opt={"scope": "manage"}, responses={**REFUSED, **FAILURES})
async def export_account(services: Wired, request: AnyRequest) -> Response[dict[str, Any]]:
    """Everything kept about the account, by table; keys, secrets and hashes are not in it."""
    async with services.pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        found = await privacy.export(connection, request.user.account_id)
    await note(services.pool, request.user.account_id, "account_exported")
    headers = {**NO_STORE, "content-disposition": 'attachment; filename="oddsd-account.json"'}
    return Response(found, headers=headers)


@post(
    "/v1/account/delete",
    tags=["accounts"],
    status_code=204,
    opt={"scope": "manage", "counts": False},
    responses={**REFUSED, **FAILURES},
)
async def delete_account(services: Wired, request: AnyRequest, data: JSONBody[Deletion]) -> None:
    """End the subscription, every key and login, and remove what names a person. It cannot be undone."""
    _ = data
    account_id = request.user.account_id
    await services.payments.forget(account_id)  # first: an account that is gone must not be charged again
    # What must stay (the audit, Stripe's events) becomes nobody's, which no account may say of its rows.
    with on_behalf_of(None):
        async with services.pool.acquire() as connection:
            await privacy.erase(connection, account_id)


HANDLERS = (list_audit, export_account, delete_account)
