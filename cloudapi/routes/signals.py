"""/v1/signals: where a forecast and a price disagree, or come together fast. Information, never an order."""

from datetime import datetime
from typing import Any

from litestar import Response, get
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery

from cloudapi.auth import Caller
from cloudapi.errors import Forbidden
from cloudapi.queries import signals
from cloudapi.queries.signals import SignalFilters
from cloudapi.routes.shapes import FAILURES, TIERED, Cursor, Limit, PageText, SignalPage
from cloudapi.services import AnyRequest, Wired
from cloudapi.tiers import lowest_tier_with_signals
from sync.records import SignalKind


def may_read_signals(connection: ASGIConnection[Any, Caller, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the tier includes signals."""
    caller = connection.user
    if not caller.entitlement.signals:
        raise Forbidden(f"Signals are part of {lowest_tier_with_signals()} and above; yours is {caller.tier}.")


@get(
    "/v1/signals",
    tags=["signals"],
    guards=[may_read_signals],
    responses={200: ResponseSpec(SignalPage), 400: FAILURES[422], **TIERED, **FAILURES},
)
async def list_signals(
    services: Wired,
    request: AnyRequest,
    *,
    market: PageText = None,
    kind: FromQuery[SignalKind | None] = None,
    experiment: PageText = None,
    expired: FromQuery[bool] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response[bytes]:
    """Signals that still stand, newest first, each with its forecaster's record; `expired=true` shows past ones too."""
    narrowed = {"market": market, "kind": kind, "experiment": experiment, "expired": expired}
    before = None
    if cursor is not None:
        before = services.cursors.read(cursor, tuple[datetime, str], listing="signals", filters=narrowed)

    async def make() -> SignalPage:
        filters = SignalFilters(market=market, kind=kind, experiment=experiment, at=None if expired else services.now())
        rows = await signals.load_signals(services.pool, filters, before=before, limit=limit)
        page, follow = rows[:limit], None
        if len(rows) > limit:
            position = [page[-1].created_at, page[-1].signal_id]
            follow = services.cursors.make(position, listing="signals", filters=narrowed)
        return SignalPage(data=page, has_more=follow is not None, next_cursor=follow)

    chosen = {**narrowed, "limit": limit, "before": before}
    return await services.answer(request, "signals", kinds=("signal",), parameters=chosen, ttl_s=30, make=make)
