"""/v1/insights: what patterns mean and what to do. The lowest tier sees the strongest of the day, the highest at once
and with the analysis behind them; between them an hour's insights appear together when the hour is over.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, QueryParameter

from cloudapi.auth import Caller
from cloudapi.errors import NotFound
from cloudapi.queries import insights
from cloudapi.queries.insights import InsightBrief, InsightFilters
from cloudapi.routes.shapes import FAILURES, MISSING, Cursor, InsightPage, Key, Limit, PageText, aware
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.tiers import UPGRADE_PROMPT, visible_until
from sync.records import Insight

KINDS = ("insight", "market")  # the market's category is part of the filter
TTL_S = 30.0


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """When there may be something new."""

    every_s: int  # 0: as it lands
    shown_until: datetime  # what is later is not in this answer
    next_at: datetime | None  # None: any moment


class AiInsights(msgspec.Struct, frozen=True, kw_only=True):
    """The strongest insights, as subscribers were promised them."""

    tier: str
    category: str | None
    insights: list[Insight | InsightBrief]
    refresh: Refresh
    upgrade_prompt: str | None


@get("/v1/insights", tags=["insights"], responses={200: ResponseSpec(InsightPage), 400: FAILURES[422], **FAILURES})
async def list_insights(
    services: Wired,
    request: AnyRequest,
    *,
    market: PageText = None,
    category: PageText = None,
    min_confidence: Annotated[int | None, QueryParameter(ge=0, le=100)] = None,
    actionable: Annotated[
        bool, QueryParameter(description="Only those of a confidence above 60 that no rule of ours held back.")
    ] = False,
    since: FromQuery[datetime | None] = None,
    until: FromQuery[datetime | None] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response[bytes]:
    """Insights, newest first. Basic: the five most confident of the UTC day; `reasoning` and our numbers: pro."""
    shown_until = visible_until(request.user.entitlement.insights_every_s, services.now())
    asked_until = aware(until, "until")
    filters = InsightFilters(
        market=market,
        category=category,
        min_confidence=min_confidence,
        since=aware(since, "since"),
        until=min((each for each in (shown_until, asked_until) if each is not None), default=None),
        actionable=actionable,
    )
    narrowed: dict[str, Any] = {"market": market, "category": category, "min_confidence": min_confidence}
    narrowed |= {"since": since, "until": until, "actionable": actionable}
    before = None
    if cursor is not None:
        before = services.cursors.read(cursor, tuple[datetime, str], listing="insights", filters=narrowed)

    async def make() -> InsightPage:
        if request.user.entitlement.insights_per_day is not None:
            top = await _strongest(services, request.user, filters, limit)
            return InsightPage(data=top, has_more=False, next_cursor=None, upgrade_prompt=UPGRADE_PROMPT)
        rows = await insights.load_insights(services.pool, filters, before=before, limit=limit)
        page, follow = rows[:limit], None
        if len(rows) > limit:
            position = [page[-1].created_at, page[-1].insight_id]
            follow = services.cursors.make(position, listing="insights", filters=narrowed)
        return InsightPage(data=_shown(page, request.user), has_more=follow is not None, next_cursor=follow)

    chosen = {**narrowed, "limit": limit, "before": before, "shown_until": shown_until}
    return await services.answer(request, "insights", kinds=KINDS, parameters=chosen, ttl_s=TTL_S, make=make)


@get(
    "/v1/insights/{insight_id:str}",
    tags=["insights"],
    responses={200: ResponseSpec(Insight), **MISSING, **FAILURES},
)
async def get_insight(services: Wired, request: AnyRequest, insight_id: Key) -> Response[bytes]:
    """One insight. Basic: if it is one of the day's five; `reasoning` and our numbers: pro."""
    right = request.user.entitlement
    until = visible_until(right.insights_every_s, services.now())

    async def make() -> Insight | InsightBrief:
        found = await insights.load_insight(services.pool, insight_id, until=until)
        if found is not None and right.insights_per_day is not None:
            top = await _strongest(services, request.user, InsightFilters(until=until), right.insights_per_day)
            found = found if found.insight_id in {each.insight_id for each in top} else None
        if found is None:
            raise NotFound(f"There is no insight {insight_id!r} for you.")
        return _shown([found], request.user)[0]

    chosen = {"insight": insight_id, "until": until}
    return await services.answer(request, "insight", kinds=KINDS, parameters=chosen, ttl_s=TTL_S, make=make)


@get("/api/v1/insights/ai", tags=["insights"], responses={200: ResponseSpec(AiInsights), **FAILURES})
async def list_ai_insights(
    services: Wired, request: AnyRequest, *, category: PageText = None, limit: Limit = 20
) -> Response[bytes]:
    """The day's strongest insights of a category, when to come back, and what a higher tier would add."""
    right = request.user.entitlement
    shown_until = visible_until(right.insights_every_s, services.now())
    filters = InsightFilters(category=category, until=shown_until)

    async def make() -> AiInsights:
        now = services.now()
        ahead = None if shown_until is None else visible_until(right.insights_every_s, now)
        return AiInsights(
            tier=request.user.tier,
            category=category,
            insights=await _strongest(services, request.user, filters, limit),
            refresh=Refresh(
                every_s=right.insights_every_s,
                shown_until=shown_until or now,
                next_at=None if ahead is None else ahead + timedelta(seconds=right.insights_every_s),
            ),
            upgrade_prompt=None if right.insights_per_day is None else UPGRADE_PROMPT,
        )

    chosen = {"category": category, "limit": limit, "until": shown_until}
    return await services.answer(request, "insights-ai", kinds=KINDS, parameters=chosen, ttl_s=TTL_S, make=make)


async def _strongest(
    services: Services, caller: Caller, filters: InsightFilters, limit: int
) -> list[Insight | InsightBrief]:
    """The most confident of the UTC day, as many as the tier sees; just after midnight those of the day before."""
    most = caller.entitlement.insights_per_day
    end = filters.until or services.now()
    midnight = (end - timedelta(microseconds=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    shown = limit if most is None else min(most, limit)
    return _shown(await insights.load_strongest(services.pool, filters, since=midnight, limit=shown), caller)


def _shown(page: list[Insight], caller: Caller) -> list[Insight | InsightBrief]:
    """As deep as the tier goes: another type, so that no field can be forgotten."""
    if caller.entitlement.deep_analysis:
        return list(page)
    return [InsightBrief(**{name: getattr(each, name) for name in InsightBrief.__struct_fields__}) for each in page]
