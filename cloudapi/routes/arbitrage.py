"""/v1/arbitrage: sides that together pay more than they cost. Information: nothing is bought for anyone."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Response, get
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, QueryParameter

from cloudapi.auth import Caller
from cloudapi.errors import Forbidden
from cloudapi.queries import arbitrage
from cloudapi.queries.arbitrage import ArbitrageFilters
from cloudapi.routes.shapes import FAILURES, TIERED, ArbitragePage, Cursor, Limit, PageText
from cloudapi.services import AnyRequest, Wired
from cloudapi.tiers import lowest_tier_with_arbitrage, visible_until
from sync.records import ArbitrageKind, ArbitrageStatus


def may_read_arbitrage(connection: ASGIConnection[Any, Caller, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the tier includes arbitrage."""
    caller = connection.user
    if not caller.entitlement.arbitrage:
        raise Forbidden(f"Arbitrage is part of {lowest_tier_with_arbitrage()} and above; yours is {caller.tier}.")


@get(
    "/v1/arbitrage",
    tags=["arbitrage"],
    guards=[may_read_arbitrage],
    responses={200: ResponseSpec(ArbitragePage), 400: FAILURES[422], **TIERED, **FAILURES},
)
async def list_arbitrage(
    services: Wired,
    request: AnyRequest,
    *,
    status: FromQuery[ArbitrageStatus | None] = ArbitrageStatus.ACTIVE,
    kind: FromQuery[ArbitrageKind | None] = None,
    market: PageText = None,
    min_net_edge: Annotated[float | None, QueryParameter(ge=0, le=10)] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response[bytes]:
    """What pays for certain, net of fees, the newest find first; EXPIRED: what there was. Premium: by the full hour."""
    until = visible_until(request.user.entitlement.insights_every_s, services.now())
    filters = ArbitrageFilters(status=status, kind=kind, market=market, min_net_edge=min_net_edge, until=until)
    narrowed = {"status": status, "kind": kind, "market": market, "min_net_edge": min_net_edge}
    before = None
    if cursor is not None:
        before = services.cursors.read(cursor, tuple[datetime, str], listing="arbitrage", filters=narrowed)

    async def make() -> ArbitragePage:
        rows = await arbitrage.load_arbitrage(services.pool, filters, before=before, limit=limit)
        page, follow = rows[:limit], None
        if len(rows) > limit:
            position = [page[-1].detected_at, page[-1].arbitrage_id]
            follow = services.cursors.make(position, listing="arbitrage", filters=narrowed)
        return ArbitragePage(data=page, has_more=follow is not None, next_cursor=follow)

    chosen = {**narrowed, "limit": limit, "before": before, "until": until}
    return await services.answer(request, "arbitrage", kinds=("arbitrage",), parameters=chosen, ttl_s=30, make=make)
