"""/v1/insights: what patterns mean and what to do. The lowest tier sees the strongest of the day."""

from datetime import datetime
from typing import Annotated

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, QueryParameter

from cloudapi.queries import insights
from cloudapi.queries.insights import InsightFilters
from cloudapi.routes.shapes import FAILURES, Cursor, InsightPage, Limit, PageText, aware
from cloudapi.services import AnyRequest, Wired
from cloudapi.tiers import UPGRADE_PROMPT


@get("/v1/insights", tags=["insights"], responses={200: ResponseSpec(InsightPage), 400: FAILURES[422], **FAILURES})
async def list_insights(
    services: Wired,
    request: AnyRequest,
    *,
    market: PageText = None,
    category: PageText = None,
    min_confidence: Annotated[int | None, QueryParameter(ge=0, le=100)] = None,
    since: FromQuery[datetime | None] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response[bytes]:
    """Insights, newest first. Basic: the five most confident of the UTC day."""
    filters = InsightFilters(
        market=market, category=category, min_confidence=min_confidence, since=aware(since, "since")
    )
    narrowed = {"market": market, "category": category, "min_confidence": min_confidence, "since": since}
    per_day = request.user.entitlement.insights_per_day
    before = None
    if cursor is not None:
        before = services.cursors.read(cursor, tuple[datetime, str], listing="insights", filters=narrowed)

    async def make() -> InsightPage:
        if per_day is not None:
            midnight = services.now().replace(hour=0, minute=0, second=0, microsecond=0)
            shown = min(per_day, limit)
            top = await insights.load_strongest(services.pool, filters, since=midnight, limit=shown)
            return InsightPage(data=top, has_more=False, next_cursor=None, upgrade_prompt=UPGRADE_PROMPT)
        rows = await insights.load_insights(services.pool, filters, before=before, limit=limit)
        page, follow = rows[:limit], None
        if len(rows) > limit:
            position = [page[-1].created_at, page[-1].insight_id]
            follow = services.cursors.make(position, listing="insights", filters=narrowed)
        return InsightPage(data=page, has_more=follow is not None, next_cursor=follow)

    chosen = {**narrowed, "limit": limit, "before": before}
    kinds = ("insight", "market")  # the market's category is part of the filter
    return await services.answer(request, "insights", kinds=kinds, parameters=chosen, ttl_s=30, make=make)
