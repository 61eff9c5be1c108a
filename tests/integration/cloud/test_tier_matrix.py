"""Route by tier: who gets in, who sees which fields, and that no cache mixes them up. A new route must be entered."""

from datetime import timedelta

import pytest

from cloudapi.app import HANDLERS
from cloudapi.queries.insights import DEEP, InsightBrief
from cloudapi.tiers import ENTITLEMENTS, Tier
from sync.records import Insight
from tests.integration.cloud.conftest import Clock, Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import (
    NOW,
    make_arbitrage,
    make_benchmark_report,
    make_insight,
    make_market,
    make_one_of_each,
)

ALL, PAID, PRO = (200, 200, 200), (403, 200, 200), (403, 403, 200)
FREE_SIDE = {"/health", "/healthz", "/readyz", "/metrics", "/docs", "/v1/live", "/v1/live/ws"}  # own tests
# What belongs to one account and is no different question per tier; the edge's own road.
OTHERS = ("/v1/edge", "/v1/prediction-sessions", "/v1/billing", "/v1/account", "/v1/watch", "/v1/webhooks", "/v1/audit")
OTHERS += ("/v1/credits", "/v1/channels", "/v1/mail", "/mail", "/app", "/static")

MATRIX = {
    "/v1/markets": ALL,
    "/v1/markets/search": ALL,
    "/v1/markets/{market_id:str}": ALL,
    "/v1/markets/{market_id:str}/price": ALL,
    "/v1/markets/{market_id:str}/series": ALL,
    "/v1/prices": ALL,
    "/v1/series": ALL,
    "/v1/insights": ALL,
    "/v1/insights/{insight_id:str}": ALL,
    "/api/v1/insights/ai": ALL,
    "/v1/digests": ALL,
    "/v1/arbitrage": PAID,
    "/v1/matches": PAID,
    "/v1/signals": PRO,
    "/v1/predictions": PAID,
    "/v1/predictions/{prediction_id:str}": PAID,
    "/v1/predictions/{prediction_id:str}/benchmarks": PAID,
    "/v1/predictions/{prediction_id:str}/marks": PAID,
    "/v1/predictions/{prediction_id:str}/series": PAID,
    "/v1/benchmark/summary": ALL,
    "/v1/benchmarks/hourly": ALL,
    "/v1/experiments": ALL,
    "/v1/experiments/{experiment:str}/report": ALL,
    "/v1/leaderboard": ALL,
    "/v1/leaderboards/{name:str}": ALL,
    "/v1/record/head": ALL,
    "/v1/record": PAID,
    "/v1/me": ALL,
    "/v1/usage": ALL,
    "/v1/api-keys": (403, 403, 403),  # a reader's key manages no keys, whatever its tier
}
QUERIES = {
    "/v1/markets/search": "?q=rain",
    "/v1/prices": "?ids=kalshi:KXRAIN-26",
    "/v1/series": "?ids=kalshi:KXRAIN-26,kalshi:NOPE",
    "/v1/leaderboards/{name:str}": "",
}


def filled(template: str) -> str:
    ids = {"market_id": "kalshi:KXRAIN-26", "insight_id": "ins-1", "prediction_id": "prd-1", "name": "recent"}
    path = template
    for name, value in (ids | {"experiment": "single_model"}).items():
        path = path.replace(f"{{{name}:str}}", value)
    return path + QUERIES.get(template, "")


@pytest.fixture
async def stocked(edge: HandEdge, replica: Replica, clock: Clock) -> Replica:
    await edge.hello()
    boards = [
        make_benchmark_report(report_id=f"b-{sort}", scope=f"leaderboard:{sort}") for sort in ("recent", "brier_skill")
    ]
    await edge.send([*make_one_of_each(), *boards])
    await replica.landed(10)
    clock.moment = (NOW + timedelta(days=1)).replace(hour=0, minute=30)  # the hour and the day are full for everybody
    return replica


async def test_every_route_answers_each_tier_as_the_matrix_says(stocked: Replica) -> None:
    """Warm as pro, read as basic, then upwards again: the leak a shared cache key makes shows here."""
    reading = {
        path
        for handler in HANDLERS
        if "GET" in getattr(handler, "http_methods", set())
        for path in handler.paths
        if path not in FREE_SIDE and not path.startswith(OTHERS)
    }
    assert reading == set(MATRIX)

    for template, statuses in sorted(MATRIX.items()):
        for tier in (Tier.PRO, Tier.BASIC, Tier.PREMIUM, Tier.PRO):
            answer = await stocked.get(filled(template), tier=tier)
            assert answer.status_code == statuses[list(Tier).index(tier)], (template, tier, answer.text)


async def test_fields_of_an_insight_are_those_of_the_tier(edge: HandEdge, replica: Replica, clock: Clock) -> None:
    """Another type, not a filter: what pro pays for is nowhere in the others' answers."""
    clock.moment = NOW.replace(hour=12)
    await edge.hello()
    await edge.send([make_market(), make_insight(created_at=clock.moment - timedelta(hours=2))])
    await replica.landed(2)

    for path in ("/v1/insights", "/api/v1/insights/ai", "/v1/insights/ins-1"):
        for tier in (Tier.PRO, Tier.BASIC, Tier.PREMIUM):
            text = (await replica.get(path, tier=tier)).text
            assert ('"reasoning"' in text) == ENTITLEMENTS[tier].deep_analysis, (path, tier)
    assert set(InsightBrief.__struct_fields__) == set(Insight.__struct_fields__) - set(DEEP)


async def test_premium_sees_the_hour_when_it_is_over_and_pro_at_once(
    edge: HandEdge, replica: Replica, clock: Clock
) -> None:
    """The boundary to the second: other rows, other cache keys."""
    clock.moment = NOW.replace(minute=30, second=0, microsecond=0)
    late = clock.moment - timedelta(minutes=10)
    early = clock.moment - timedelta(minutes=40)
    await edge.hello()
    insights = [make_insight(insight_id="early", created_at=early), make_insight(insight_id="late", created_at=late)]
    found = [
        make_arbitrage(arbitrage_id="early", detected_at=early, computed_at=early),
        make_arbitrage(arbitrage_id="late", detected_at=late, computed_at=late),
    ]
    await edge.send([make_market(), *insights, *found])
    await replica.landed(5)

    async def seen(path: str, tier: Tier, name: str) -> set[str]:
        return {row[name] for row in (await replica.get(path, tier=tier)).json()["data"]}

    for path, name in (("/v1/insights", "insight_id"), ("/v1/arbitrage", "arbitrage_id")):
        assert await seen(path, Tier.PRO, name) == {"early", "late"}
        assert await seen(path, Tier.PREMIUM, name) == {"early"}
    clock.moment = NOW.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    for path, name in (("/v1/insights", "insight_id"), ("/v1/arbitrage", "arbitrage_id")):
        assert await seen(path, Tier.PREMIUM, name) == {"early", "late"}


async def test_promised_alias_says_when_to_come_back_and_what_more_there_is(
    edge: HandEdge, replica: Replica, clock: Clock
) -> None:
    """`category`, `refresh` and `upgrade_prompt`, as subscribers were told."""
    clock.moment = NOW.replace(minute=30, second=0, microsecond=0)
    early = clock.moment - timedelta(minutes=40)
    await edge.hello()
    await edge.send([make_market(), make_insight(created_at=early)])
    await replica.landed(2)

    basic = (await replica.get("/api/v1/insights/ai?category=weather", tier=Tier.BASIC)).json()
    pro = (await replica.get("/api/v1/insights/ai?category=sports")).json()

    full_hour = clock.moment.replace(minute=0)
    assert [insight["insight_id"] for insight in basic["insights"]] == ["ins-1"]
    assert basic["refresh"]["every_s"] == 3600
    assert basic["refresh"]["next_at"] == (full_hour + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    assert "Premium" in basic["upgrade_prompt"]
    assert (pro["insights"], pro["upgrade_prompt"], pro["refresh"]["next_at"]) == ([], None, None)
