"""/v1/matches: which markets of the two venues ask the same, and why we think so. Arbitrage rests on it: same tiers."""

from datetime import datetime
from typing import Any

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery

from cloudapi.queries import matches
from cloudapi.queries.matches import MatchFilters
from cloudapi.routes.arbitrage import may_read_arbitrage
from cloudapi.routes.shapes import FAILURES, TIERED, Cursor, Limit, MatchPage, PageText
from cloudapi.services import AnyRequest, Wired
from sync.records import Relation


@get(
    "/v1/matches",
    tags=["arbitrage"],
    guards=[may_read_arbitrage],
    responses={200: ResponseSpec(MatchPage), 400: FAILURES[422], **TIERED, **FAILURES},
)
async def list_matches(
    services: Wired,
    request: AnyRequest,
    *,
    market: PageText = None,
    relation: FromQuery[Relation | None] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response[bytes]:
    """Pairs across the venues with the newest verdict on each: what it stands on, and how the rules differ."""
    narrowed: dict[str, Any] = {"market": market, "relation": relation}
    before = None
    if cursor is not None:
        before = services.cursors.read(cursor, tuple[datetime, str], listing="matches", filters=narrowed)

    async def make() -> MatchPage:
        filters = MatchFilters(market=market, relation=relation)
        rows = await matches.load_matches(services.pool, filters, before=before, limit=limit)
        page, follow = rows[:limit], None
        if len(rows) > limit:
            position = [page[-1].judged_at, page[-1].match_id]
            follow = services.cursors.make(position, listing="matches", filters=narrowed)
        return MatchPage(data=page, has_more=follow is not None, next_cursor=follow)

    chosen = {**narrowed, "limit": limit, "before": before}
    return await services.answer(request, "matches", kinds=("match",), parameters=chosen, ttl_s=60, make=make)
