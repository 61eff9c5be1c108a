"""The API as a reader meets it: over HTTP, from a running server, with data an edge delivered."""

import asyncio
import math
import re
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest

from cloudapi.app import HANDLERS
from cloudapi.queries.accounts import revoke_key
from cloudapi.queries.prices import Series
from cloudapi.tiers import ENTITLEMENTS, UPGRADE_PROMPT, Interval, Tier
from cloudapi.web import pages
from sync.records import (
    Arbitrage,
    ArbitrageKind,
    ArbitrageStatus,
    Check,
    Digest,
    Insight,
    Market,
    MarketStatus,
    Match,
    Prediction,
    Quote,
    Relation,
    Venue,
)
from tests.fakes.postgres import EmbeddedPostgres
from tests.integration.cloud.conftest import Clock, Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import (
    NOW,
    make_arbitrage,
    make_check,
    make_digest,
    make_insight,
    make_market,
    make_match,
    make_one_of_each,
    make_prediction,
    make_quote,
)

PATHS = {
    "/v1/markets",
    "/v1/markets/kalshi:KXRAIN-26",
    "/v1/markets/kalshi:KXRAIN-26/price",
    "/v1/markets/kalshi:KXRAIN-26/series",
    "/v1/insights",
    "/v1/digests",
    "/v1/arbitrage",
    "/v1/matches",
    "/v1/signals",
    "/v1/predictions",
    "/v1/predictions/prd-1",
    "/v1/predictions/prd-1/benchmarks",
    "/v1/predictions/prd-1/marks",
    "/v1/benchmark/summary",
    "/v1/experiments",
    "/v1/experiments/single_model/report",
}
PUBLIC = {"/health", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"}

OPEN_TO_STRANGERS = {"/v1/auth/register", "/v1/auth/login", "/v1/auth/refresh"}


async def nothing_counted(*_: object, **__: object) -> None:
    """In place of a limiter."""


REFUSALS = [
    ("/nowhere", 404, "not-found"),
    ("/v1/markets/kalshi:NOPE", 404, "not-found"),
    ("/v1/markets/kalshi:NOPE/price", 404, "not-found"),
    ("/v1/markets/kalshi:NOPE/series", 404, "not-found"),
    ("/v1/predictions/nope", 404, "not-found"),
    ("/v1/predictions/nope/benchmarks", 404, "not-found"),
    ("/v1/predictions/nope/marks", 404, "not-found"),
    ("/v1/experiments/nope/report", 404, "not-found"),
    ("/v1/leaderboard", 404, "not-found"),
    ("/v1/leaderboard?sort=luck", 422, "invalid"),
    ("/v1/benchmark/summary?cursor=%00", 400, "bad-cursor"),
    ("/v1/markets?limit=0", 422, "invalid"),
    ("/v1/markets?limit=101", 422, "invalid"),
    ("/v1/markets?limit=many", 422, "invalid"),
    ("/v1/markets?venue=nyse", 422, "invalid"),
    ("/v1/markets?cursor=bm90IG91cnM", 400, "bad-cursor"),
    ("/v1/insights?cursor=%00", 400, "bad-cursor"),
    ("/v1/digests?cursor=%00", 400, "bad-cursor"),
    ("/v1/arbitrage?cursor=%00", 400, "bad-cursor"),
    ("/v1/signals?cursor=%00", 400, "bad-cursor"),
    ("/v1/signals?kind=TIP", 422, "invalid"),
    ("/v1/matches?relation=TWIN", 422, "invalid"),
    ("/v1/matches?cursor=%00", 400, "bad-cursor"),
    ("/v1/arbitrage?status=gone", 422, "invalid"),
    ("/v1/arbitrage?kind=FREE_LUNCH", 422, "invalid"),
    ("/v1/arbitrage?min_net_edge=-1", 422, "invalid"),
    ("/v1/insights?since=2026-01-01T00:00:00", 422, "invalid"),
    ("/v1/insights?since=yesterday", 422, "invalid"),
    ("/v1/markets/kalshi:X/series?interval=2h", 422, "invalid"),
    ("/v1/markets/kalshi:X/series?interval=5m&start=2024-01-01T00:00:00Z&end=2026-01-01T00:00:00Z", 422, "invalid"),
    ("/v1/markets/kalshi:X/series?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z", 422, "invalid"),
    ("/v1/markets/kalshi:X/series?start=0001-01-01T00:00:00Z", 422, "invalid"),
]


async def land(edge: HandEdge, replica: Replica, records: list[Any]) -> None:
    if edge.fence == 0:
        await edge.hello()
    before = sum(replica.services.versions.n_landed.values())
    receipt = await edge.send(records)
    assert receipt["quarantined"] == 0
    await replica.landed(before + receipt["inserted"])


async def test_what_landed_is_what_is_served(edge: HandEdge, replica: Replica) -> None:
    """One definition of a record: the store saves it, the wire carries it, the API returns it unchanged."""
    market, quote, _, insight, prediction, check, digest, _, arbitrage, *_ = records = make_one_of_each()
    await land(edge, replica, records)

    bodies = {path: (await replica.get(path)).content for path in PATHS}

    assert msgspec.json.decode(bodies["/v1/markets/kalshi:KXRAIN-26"], type=Market) == market
    assert msgspec.json.decode(bodies["/v1/markets/kalshi:KXRAIN-26/price"], type=Quote) == quote
    assert msgspec.json.decode(bodies["/v1/predictions/prd-1"], type=Prediction) == prediction
    listed = {path: msgspec.json.decode(body).get("data") for path, body in bodies.items()}
    assert msgspec.convert(listed["/v1/markets"], list[Market]) == [market]
    assert msgspec.convert(listed["/v1/insights"], list[Insight]) == [insight]
    assert msgspec.convert(listed["/v1/digests"], list[Digest]) == [digest]
    assert msgspec.convert(listed["/v1/arbitrage"], list[Arbitrage]) == [arbitrage]
    assert msgspec.convert(listed["/v1/predictions"], list[Prediction]) == [prediction]
    assert msgspec.convert(listed["/v1/predictions/prd-1/benchmarks"], list[Check]) == [check]


async def test_every_route_under_v1_needs_a_key(replica: Replica) -> None:
    """Deny by default: walked from the route table, so a new route cannot be forgotten."""
    templates = {route.path for route in replica.server.config.app.routes}
    templates = {path for path in templates if not path.startswith("/openapi.json")}  # the framework's own handlers
    templates -= {path for handler in pages.HANDLERS for path in handler.paths}  # walked by the pages' own tests
    declared_public = {path for handler in HANDLERS if handler.opt.get("public") for path in handler.paths}
    assert PUBLIC - {"/openapi.json"} <= declared_public
    assert {path for path in declared_public if path.startswith(("/v1", "/api"))} == OPEN_TO_STRANGERS
    assert all(path.startswith(("/v1/", "/api/v1/")) for path in templates - declared_public - {"/openapi.json"})

    replica.services.limiter.hit = nothing_counted  # strangers are slowed down: another test's business
    for handler in HANDLERS:
        if handler.opt.get("public") or not hasattr(handler, "http_methods"):
            continue
        for template in handler.paths:
            path = re.sub(r"{\w+:uuid}", str(uuid.UUID(int=1)), template)
            path = re.sub(r"{\w+:str}", "x", path)
            for headers in ({}, {"authorization": "Bearer odds_live_invented"}, {"authorization": "Basic eDp5"}):
                (method,) = handler.http_methods - {"HEAD", "OPTIONS"}
                response = await replica.http.request(method, path, headers=headers)
                assert response.status_code == 401, path
                assert response.headers["content-type"] == "application/problem+json"
                assert response.headers["www-authenticate"].startswith("Bearer")


async def test_malformed_credentials_are_refused_alike(replica: Replica) -> None:
    """Whatever stands in the header, the answer is the same."""
    for path in ("/v1/markets",):
        for headers in ({"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer a.b.c"}):
            response = await replica.get(path, tier=None, headers=headers)
            assert response.status_code == 401, path
            assert response.headers["content-type"] == "application/problem+json"
            assert response.headers["www-authenticate"].startswith("Bearer")


async def test_public_routes_answer_without_a_key(replica: Replica) -> None:
    """A platform's probe has no key."""
    for path in PUBLIC:
        assert (await replica.get(path, tier=None)).status_code == 200, path


async def test_refusals_are_problems_with_a_reason(replica: Replica) -> None:
    """One shape for every failure, whoever raised it; the documentation explains each."""
    documentation = (await replica.get("/docs")).text

    for path, status, code in REFUSALS:
        response = await replica.get(path)

        problem = response.json()
        assert response.status_code == problem["status"] == status, path
        assert response.headers["content-type"] == "application/problem+json", path
        assert problem["type"] == f"/docs#problem-{code}", path
        assert problem["request_id"] == response.headers["x-request-id"], path
        assert len(problem["detail"]) > 10, path
        assert f'id="problem-{code}"' in documentation


async def test_method_that_is_not_there_is_a_problem_too(replica: Replica) -> None:
    """405 comes from the router, before any of our handlers."""
    response = await replica.http.post("/v1/markets", json={})

    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"


async def test_large_body_is_refused(replica: Replica) -> None:
    """No request of ours needs a body; one of a gigabyte must not be read."""
    response = await replica.http.request("GET", "/health", content=b"x" * 70_000)

    assert response.status_code == 413
    assert response.json()["type"] == "/docs#problem-too-large"


async def test_unexpected_error_tells_nothing_of_the_inside(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack trace is a map for attackers; the request id is enough for us."""

    async def broken(*_: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr("cloudapi.queries.markets.load_market", broken)

    response = await replica.get("/v1/markets/kalshi:X")

    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text


async def test_every_answer_carries_the_security_headers(replica: Replica) -> None:
    """Routed or not, allowed or not."""
    for path in ("/v1/markets", "/nowhere", "/health", "/docs"):
        for tier in (Tier.PRO, None):
            headers = (await replica.get(path, tier=tier)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert "max-age" in headers["strict-transport-security"]
            assert headers["referrer-policy"] == "same-origin"
            assert headers["x-request-id"]


async def test_request_id_of_the_platform_is_kept_unless_it_is_odd(replica: Replica) -> None:
    """It ties our log to the platform's; a forged one must not write into our log."""
    kept = await replica.get("/health", headers={"x-railway-request-id": "abc-123"})
    odd = await replica.get("/health", headers={"x-railway-request-id": "a b\tc"})

    assert kept.headers["x-request-id"] == "abc-123"
    assert len(odd.headers["x-request-id"]) == 32


async def test_documentation_lists_every_route_and_loads_nothing(replica: Replica) -> None:
    """The page works under its own strict policy: no script, no foreign host."""
    page = await replica.get("/docs", tier=None)
    document = (await replica.get("/openapi.json", tier=None)).json()

    shown = (handler for handler in HANDLERS if getattr(handler, "include_in_schema", False) is not False)
    routed = {re.sub(r":\w+", "", path) for handler in shown for path in handler.paths}
    assert set(document["paths"]) == routed
    for path in document["paths"]:
        assert path in page.text
    for tier in Tier:
        assert f"<td>{tier}</td>" in page.text
    assert "<script" not in page.text
    assert "src=" not in page.text
    assert "://" not in page.text
    assert "sha256-" in page.headers["content-security-policy"]


# ---------------------------------------------------------------- lists


async def test_pages_follow_each_other_without_gap_or_repeat(edge: HandEdge, replica: Replica) -> None:
    """A reader walks the whole list by cursor, even while new markets appear at the front."""
    await land(edge, replica, [make_market(f"KX{i:02}") for i in range(25)])
    seen, path = [], "/v1/markets?limit=10"
    while path:
        page = (await replica.get(path)).json()
        seen += [market["market_key"] for market in page["data"]]
        if len(seen) == 10:
            await land(edge, replica, [make_market("KXNEW")])
        path = f"/v1/markets?limit=10&cursor={page['next_cursor']}" if page["has_more"] else None

    assert sorted(seen) == [f"kalshi:KX{i:02}" for i in range(25)]
    assert len(set(seen)) == 25


async def test_cursor_of_other_filters_is_refused(edge: HandEdge, replica: Replica) -> None:
    """It would silently skip rows."""
    await land(edge, replica, [make_market(f"KX{i}") for i in range(3)])
    cursor = (await replica.get("/v1/markets?limit=1")).json()["next_cursor"]

    response = await replica.get(f"/v1/markets?limit=1&status=open&cursor={cursor}")

    assert response.status_code == 400


async def test_markets_are_filtered_and_searched(edge: HandEdge, replica: Replica) -> None:
    """Venue, status, category in any case, words of the title in any form."""
    fed = make_market("FED", title="Will the Fed raise rates?", category="Economics", status=MarketStatus.CLOSED)
    poly = make_market(
        market_key="polymarket:0xabc", venue=Venue.POLYMARKET, venue_market_id="0xabc", title="Raised taxes in 2027?"
    )
    await land(edge, replica, [make_market(), fed, poly, make_quote("STUB")])

    async def found(query: str) -> set[str]:
        return {market["market_key"] for market in (await replica.get(f"/v1/markets?{query}")).json()["data"]}

    assert await found("") == {"kalshi:KXRAIN-26", "kalshi:FED", "polymarket:0xabc"}
    assert await found("venue=polymarket") == {"polymarket:0xabc"}
    assert await found("status=closed") == {"kalshi:FED"}
    assert await found("category=economics") == {"kalshi:FED"}
    assert await found("q=raising") == {"kalshi:FED", "polymarket:0xabc"}
    assert await found("q=raise&venue=kalshi") == {"kalshi:FED"}
    assert await found("q=%22%27%3B--") == set()


async def test_stub_is_hidden_until_its_market_lands(edge: HandEdge, replica: Replica) -> None:
    """A price may arrive before its market: half a market is shown to nobody, then the whole at once."""
    await land(edge, replica, [make_quote("LATE")])
    assert (await replica.get("/v1/markets/kalshi:LATE")).status_code == 404

    await land(edge, replica, [make_market("LATE")])

    assert (await replica.get("/v1/markets/kalshi:LATE")).status_code == 200


# ---------------------------------------------------------------- prices


async def test_landed_price_is_visible_at_once_on_every_replica(
    edge: HandEdge, start_replica: Callable[..., Awaitable[Replica]]
) -> None:
    """A cached answer must not outlive the data it was made of, on whichever replica it was cached."""
    replicas = [await start_replica(), await start_replica()]
    await land(edge, replicas[0], [make_market(), make_quote()])
    await replicas[1].landed(2)
    path = "/v1/markets/kalshi:KXRAIN-26/price"
    for replica in replicas:
        assert (await replica.get(path)).json()["bid"] == 0.4123

    await land(edge, replicas[0], [make_quote(fetched_at=NOW + timedelta(minutes=1), bid=0.42)])
    await replicas[1].landed(3)

    for replica in replicas:
        assert (await replica.get(path)).json()["bid"] == 0.42


async def test_basic_sees_prices_fifteen_minutes_late(edge: HandEdge, replica: Replica, clock: Clock) -> None:
    """Warm the cache as pro, read as basic, and the reverse: the leak a shared cache key would make."""
    old = make_quote(fetched_at=NOW - timedelta(minutes=20), bid=0.1)
    await land(edge, replica, [make_market(), old, make_quote(bid=0.4)])
    clock.moment = NOW + timedelta(seconds=5)
    path = "/v1/markets/kalshi:KXRAIN-26/price"

    seen = [(await replica.get(path, tier=tier)).json()["bid"] for tier in (Tier.PRO, Tier.BASIC, Tier.PREMIUM)]

    assert seen == [0.4, 0.1, 0.4]


async def test_empty_side_of_the_book_is_absent_not_zero(edge: HandEdge, replica: Replica) -> None:
    """A zero would be read as a price."""
    await land(edge, replica, [make_market(), make_quote(bid=None, mid=None)])

    quote = (await replica.get("/v1/markets/kalshi:KXRAIN-26/price")).json()

    assert "bid" not in quote
    assert "mid" not in quote
    assert quote["ask"] == 0.4127


async def test_series_are_columns_with_the_last_quote_of_each_interval(
    edge: HandEdge, replica: Replica, clock: Clock
) -> None:
    """Columns of equal length, oldest first, nulls where a side was empty."""
    hour = NOW.replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    quotes = [make_quote(fetched_at=hour + timedelta(minutes=15 * i), bid=0.1 + i / 100) for i in range(8)]
    quotes[-1] = make_quote(fetched_at=quotes[-1].fetched_at, bid=None)
    await land(edge, replica, [make_market(), *quotes])
    path = "/v1/markets/kalshi:KXRAIN-26/series"

    hourly = msgspec.json.decode((await replica.get(path)).content, type=Series)
    raw = msgspec.json.decode((await replica.get(f"{path}?interval=raw")).content, type=Series)

    assert hourly.t == [int(hour.timestamp()), int(hour.timestamp()) + 3600]
    assert hourly.bid == [130_000, None]
    assert hourly.ask == [412_700, 412_700]
    assert len(raw.t) == len(raw.bid) == len(raw.mid) == 8
    assert raw.bid[0] == 0.1 * raw.scale


async def test_series_intervals_are_those_of_the_tier(edge: HandEdge, replica: Replica) -> None:
    """The guard and the table of entitlements say the same, for every pair."""
    await land(edge, replica, [make_market()])

    for tier in Tier:
        for interval in Interval:
            response = await replica.get(f"/v1/markets/kalshi:KXRAIN-26/series?interval={interval}", tier=tier)

            allowed = interval in ENTITLEMENTS[tier].series_intervals
            assert response.status_code == (200 if allowed else 403), (tier, interval)


# ---------------------------------------------------------------- insights, predictions


async def test_basic_sees_the_five_strongest_of_the_day_and_why(edge: HandEdge, replica: Replica, clock: Clock) -> None:
    """The paid answer must not be what a basic reader gets from a warm cache, nor the reverse."""
    clock.moment = NOW.replace(hour=12)
    noon = clock.moment - timedelta(hours=2)  # before the hour was full: every tier may see it
    many = [make_insight(insight_id=f"ins-{i}", confidence=40 + i, created_at=noon) for i in range(8)]
    yesterday = make_insight(insight_id="old", confidence=99, created_at=noon - timedelta(days=1))
    await land(edge, replica, [make_market(), *many, yesterday])

    pro = (await replica.get("/v1/insights")).json()
    basic = (await replica.get("/v1/insights", tier=Tier.BASIC)).json()
    premium = (await replica.get("/v1/insights?limit=4", tier=Tier.PREMIUM)).json()

    assert len(pro["data"]) == 9
    assert pro["upgrade_prompt"] is None
    assert [insight["confidence"] for insight in basic["data"]] == [47, 46, 45, 44, 43]
    assert basic["upgrade_prompt"] == UPGRADE_PROMPT
    assert (len(premium["data"]), premium["has_more"]) == (4, True)


async def test_insights_are_filtered_by_category_confidence_and_time(edge: HandEdge, replica: Replica) -> None:
    """The three ways people narrow them."""
    old = make_insight(insight_id="old", confidence=90, created_at=NOW - timedelta(days=3))
    other = make_insight(insight_id="other", market_key="kalshi:FED", confidence=80)
    await land(edge, replica, [make_market(), make_market("FED", category="Economics"), make_insight(), old, other])

    async def found(**query: str) -> set[str]:
        page = (await replica.get("/v1/insights", params=query)).json()
        return {insight["insight_id"] for insight in page["data"]}

    assert await found() == {"ins-1", "old", "other"}
    assert await found(category="ECONOMICS") == {"other"}
    assert await found(min_confidence="80") == {"old", "other"}
    assert await found(since=(NOW - timedelta(days=1)).isoformat()) == {"ins-1", "other"}
    assert await found(market="kalshi:FED") == {"other"}


async def test_only_insights_to_act_on_are_shown_where_asked(edge: HandEdge, replica: Replica, clock: Clock) -> None:
    """Above sixty and held back by no rule: for every tier, and a page goes on with the filter it began with."""
    clock.moment = NOW.replace(hour=12)
    at = {"created_at": clock.moment - timedelta(hours=2)}  # before the hour was full: every tier may see it
    bold = [make_insight(insight_id=f"bold-{n}", confidence=61 + n, actionable=True, **at) for n in range(3)]
    held_back = make_insight(insight_id="held", confidence=95, actionable=False, clamps=("the book is thin",), **at)
    unsure = make_insight(insight_id="unsure", confidence=60, actionable=False, **at)
    await land(edge, replica, [make_market(), *bold, held_back, unsure])
    asked, bold_ones = "/v1/insights?actionable=true", {"bold-0", "bold-1", "bold-2"}

    whole = {tier: (await replica.get(asked, tier=tier)).json()["data"] for tier in Tier}
    first = (await replica.get(f"{asked}&limit=2")).json()
    rest = (await replica.get(f"{asked}&limit=2&cursor={first['next_cursor']}")).json()
    elsewhere = await replica.get(f"/v1/insights?limit=2&cursor={first['next_cursor']}")

    assert all({each["insight_id"] for each in data} == bold_ones for data in whole.values())
    assert {each["insight_id"] for each in (*first["data"], *rest["data"])} == bold_ones
    assert (elsewhere.status_code, elsewhere.json()["type"]) == (400, "/docs#problem-bad-cursor")
    assert len((await replica.get("/v1/insights?actionable=false")).json()["data"]) == 5


async def test_prices_of_many_come_in_the_order_asked(edge: HandEdge, replica: Replica) -> None:
    """A caller lines them up with his list; who may see prices late gets the late ones here too."""
    long_ago, now = NOW - timedelta(hours=1), NOW
    quotes = [make_quote("A", fetched_at=long_ago, bid=0.1), make_quote("A", fetched_at=now, bid=0.2)]
    quotes += [make_quote("B", fetched_at=long_ago, bid=0.3), make_quote("C", fetched_at=now, bid=0.4)]
    await land(edge, replica, [*(make_market(ticker) for ticker in "ABC"), *quotes])
    asked = "/v1/prices?ids=kalshi:C,kalshi:none,kalshi:A,kalshi:B,kalshi:A"

    found = {
        tier: [(quote["market_key"], quote["bid"]) for quote in (await replica.get(asked, tier=tier)).json()["data"]]
        for tier in (Tier.PRO, Tier.BASIC)
    }

    assert found[Tier.PRO] == [("kalshi:C", 0.4), ("kalshi:A", 0.2), ("kalshi:B", 0.3)]
    assert found[Tier.BASIC] == [("kalshi:A", 0.1), ("kalshi:B", 0.3)]


async def test_insight_pages_break_ties_of_time(edge: HandEdge, replica: Replica) -> None:
    """A run writes many insights with one stamp; the cursor must not skip its twins."""
    await land(edge, replica, [make_market(), *(make_insight(insight_id=f"i{i}") for i in range(7))])
    seen, path = [], "/v1/insights?limit=3"
    while path:
        page = (await replica.get(path)).json()
        seen += [insight["insight_id"] for insight in page["data"]]
        path = f"/v1/insights?limit=3&cursor={page['next_cursor']}" if page["has_more"] else None

    assert sorted(seen) == [f"i{i}" for i in range(7)]


async def test_predictions_and_arbitrage_need_premium(edge: HandEdge, replica: Replica) -> None:
    """Warm as pro, read as basic: 403 on every route that shows one, with the tier that would do."""
    await land(edge, replica, make_one_of_each())

    forecasts = ("/v1/predictions", "/v1/predictions/prd-1", "/v1/predictions/prd-1/benchmarks")
    for path in (*forecasts, "/v1/predictions/prd-1/marks", "/v1/predictions/prd-1/series", "/v1/arbitrage"):
        assert (await replica.get(path)).status_code == 200
        refused = await replica.get(path, tier=Tier.BASIC)
        assert refused.status_code == 403
        assert "premium" in refused.json()["detail"]


async def test_benchmarks_page_newest_first(edge: HandEdge, replica: Replica) -> None:
    """Weeks of hourly checks: a page at a time."""
    checks = [make_check(checked_at=NOW - timedelta(hours=i), hours_since_prediction=float(9 - i)) for i in range(9)]
    await land(edge, replica, [make_prediction(), *checks])

    first = (await replica.get("/v1/predictions/prd-1/benchmarks?limit=5")).json()
    rest = (await replica.get(f"/v1/predictions/prd-1/benchmarks?limit=5&cursor={first['next_cursor']}")).json()

    hours = [check["hours_since_prediction"] for check in first["data"] + rest["data"]]
    assert hours == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    assert not rest["has_more"]


async def test_digests_page_newest_first_and_one_that_lands_is_seen(edge: HandEdge, replica: Replica) -> None:
    """Two edges may write the same day at the same moment: pages skip none; the cache hears of the next one."""
    await land(edge, replica, [make_digest(digest_id=f"dig-{i}") for i in range(5)])

    first = (await replica.get("/v1/digests?limit=3")).json()
    rest = (await replica.get(f"/v1/digests?limit=3&cursor={first['next_cursor']}")).json()
    await land(edge, replica, [make_digest(digest_id="dig-9", created_at=NOW + timedelta(minutes=1))])
    newest = (await replica.get("/v1/digests?limit=1")).json()

    assert [row["digest_id"] for row in first["data"] + rest["data"]] == [f"dig-{i}" for i in (4, 3, 2, 1, 0)]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert newest["data"][0]["digest_id"] == "dig-9"


async def test_arbitrage_is_shown_as_it_stands_now(edge: HandEdge, replica: Replica) -> None:
    """A late batch must not revive what has ended, and an ended one is there for who asks for it."""
    ended = make_arbitrage(computed_at=NOW, status=ArbitrageStatus.EXPIRED, ended_reason="gone")
    await land(edge, replica, [ended])
    await land(edge, replica, [make_arbitrage(computed_at=NOW - timedelta(minutes=15))])

    assert (await replica.get("/v1/arbitrage")).json()["data"] == []
    (shown,) = (await replica.get("/v1/arbitrage?status=EXPIRED")).json()["data"]
    assert (shown["status"], shown["ended_reason"]) == ("EXPIRED", "gone")


async def test_arbitrage_is_narrowed_and_pages_newest_first(edge: HandEdge, replica: Replica) -> None:
    """A reader follows one market, or wants the wide ones only; a cursor keeps what it was made with."""
    found = [
        make_arbitrage(arbitrage_id=f"arb-{i}", detected_at=NOW - timedelta(minutes=i), net_edge=0.02 + i / 100)
        for i in range(5)
    ]
    hedge = make_arbitrage(
        arbitrage_id="arb-h", arbitrage_kind=ArbitrageKind.HEDGE, legs=found[0].legs[:1], net_edge=0.03,
        detected_at=NOW - timedelta(hours=1),
    )  # fmt: skip
    await land(edge, replica, [*found, hedge])

    async def ids(query: str) -> list[str]:
        return [row["arbitrage_id"] for row in (await replica.get(f"/v1/arbitrage?{query}")).json()["data"]]

    first = (await replica.get("/v1/arbitrage?limit=4")).json()
    rest = (await replica.get(f"/v1/arbitrage?limit=4&cursor={first['next_cursor']}")).json()
    assert [row["arbitrage_id"] for row in first["data"] + rest["data"]] == [*(f"arb-{i}" for i in range(5)), "arb-h"]
    assert await ids("kind=HEDGE") == ["arb-h"]
    assert await ids("min_net_edge=0.05") == ["arb-3", "arb-4"]
    assert await ids("market=polymarket:0xfed0") == [f"arb-{i}" for i in range(5)]
    assert await ids("market=polymarket:0xnone") == []
    refused = await replica.get(f"/v1/arbitrage?limit=4&kind=HEDGE&cursor={first['next_cursor']}")
    assert refused.status_code == 400


# ---------------------------------------------------------------- caching, keys, limits, health


async def test_reader_with_the_same_answer_gets_304(edge: HandEdge, replica: Replica) -> None:
    """Polling costs a header, until something lands."""
    await land(edge, replica, [make_market()])
    etag = (await replica.get("/v1/markets")).headers["etag"]

    same = await replica.get("/v1/markets", headers={"if-none-match": etag})
    await land(edge, replica, [make_market("NEW")])
    changed = await replica.get("/v1/markets", headers={"if-none-match": etag})

    assert (same.status_code, same.content) == (304, b"")
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


async def test_revoked_key_stops_working_at_once_on_every_replica(
    owner: asyncpg.Connection, start_replica: Callable[..., Awaitable[Replica]]
) -> None:
    """Within two seconds, the replica that remembered it included."""
    replicas = [await start_replica(), await start_replica()]
    for replica in replicas:
        assert (await replica.get("/v1/markets", tier=Tier.PRO)).status_code == 200

    assert await revoke_key(owner, replicas[0].keys[Tier.PRO][:18])

    async with asyncio.timeout(2):
        for replica in replicas:
            while (await replica.get("/v1/markets", tier=Tier.PRO)).status_code != 401:
                await asyncio.sleep(0.01)
    assert (await replicas[0].get("/v1/markets", tier=Tier.BASIC)).status_code == 200


async def test_database_holds_no_usable_key(owner: asyncpg.Connection, keys: dict[Tier, str]) -> None:
    """A stolen dump opens nothing."""
    dump = "".join(str(tuple(row)) for row in await owner.fetch("select * from api_key, account"))

    for key in keys.values():
        assert key not in dump
        assert key[20:] not in dump


async def test_limit_of_the_tier_is_kept_and_explained(replica: Replica) -> None:
    """60 a minute on basic: the 61st is told how long to wait; another key is not affected."""
    allowed = ENTITLEMENTS[Tier.BASIC].requests_per_minute

    began = time.monotonic()
    answers = await asyncio.gather(*(replica.get("/v1/markets", tier=Tier.BASIC) for _ in range(allowed + 15)))
    faded = math.ceil(allowed * (time.monotonic() - began) / 60)  # where the minute turns meanwhile

    refused = [answer for answer in answers if answer.status_code == 429]
    assert max(1, 15 - faded) <= len(refused) <= 15
    assert 1 <= int(refused[0].headers["retry-after"]) <= 60
    assert refused[0].headers["ratelimit"].startswith('"burst";r=0;t=')
    assert refused[0].json()["type"] == "/docs#problem-rate-limited"
    assert answers[0].headers["ratelimit-policy"] == f'"burst";q={allowed};w=60, "month";q=20000;w=2592000'
    assert (await replica.get("/v1/markets", tier=Tier.PREMIUM)).status_code == 200


async def test_metrics_count_what_happened(edge: HandEdge, replica: Replica) -> None:
    """True counters, labelled by template: a path would be a label per market."""
    await land(edge, replica, make_one_of_each())
    await replica.get("/v1/markets/kalshi:KXRAIN-26")
    await replica.get("/v1/markets/kalshi:KXRAIN-26")
    await replica.get("/nowhere")

    text = (await replica.get("/metrics", tier=None)).text

    assert 'oddsd_http_requests_total{method="GET",route="/v1/markets/{market_id}",status="200"} 2' in text
    assert 'oddsd_http_requests_total{method="GET",route="unmatched",status="404"} 1' in text
    assert 'oddsd_landed_rows_total{kind="quote"} 1' in text
    assert "oddsd_cache_hits_total 1" in text
    assert "kalshi:" not in text


async def test_metrics_can_be_locked(start_replica: Callable[..., Awaitable[Replica]]) -> None:
    """On a public address the counters are nobody's business."""
    replica = await start_replica(metrics_token="a token")

    assert (await replica.get("/metrics", tier=None)).status_code == 401
    allowed = await replica.get("/metrics", tier=None, headers={"authorization": "Bearer a token"})
    assert allowed.status_code == 200


async def test_a_pair_is_served_with_its_newest_verdict(edge: HandEdge, replica: Replica) -> None:
    """A verdict is never edited: a later one takes its place, and a reader asks by either market."""
    first = make_match(match_id="mat-1", judged_at=NOW - timedelta(hours=2))
    newer = make_match(match_id="mat-2", judged_at=NOW - timedelta(hours=1), relation=Relation.DIFFERENT)
    other = make_match(match_id="mat-3", kalshi_key="kalshi:OTHER", polymarket_key="polymarket:other", judged_at=NOW)
    await land(edge, replica, [first, newer, other])

    async def found(query: str = "") -> list[Match]:
        return msgspec.convert((await replica.get(f"/v1/matches{query}")).json()["data"], list[Match])

    page = (await replica.get("/v1/matches?limit=1")).json()
    rest = (await replica.get(f"/v1/matches?limit=1&cursor={page['next_cursor']}")).json()
    refused = await replica.get(f"/v1/matches?market=kalshi:OTHER&cursor={page['next_cursor']}")

    assert await found() == [other, newer]
    assert msgspec.convert(page["data"] + rest["data"], list[Match]) == [other, newer]
    assert await found(f"?market={first.polymarket_key}") == [newer]
    assert await found("?market=kalshi:OTHER") == [other]
    assert await found(f"?relation={first.relation}&market={first.kalshi_key}") == []
    assert refused.status_code == 400


async def test_without_redis_the_service_is_degraded_and_ready(
    redis_url: str, start_replica: Callable[..., Awaitable[Replica]]
) -> None:
    """Slower is no reason to send nobody; but who looks must see it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        without = await start_replica(redis_url=f"redis://127.0.0.1:{held.getsockname()[1]}/0")
        with_it, alone = await start_replica(redis_url=redis_url), await start_replica()

        told = {name: await one.get("/readyz", tier=None) for name, one in
                (("without", without), ("with", with_it), ("alone", alone))}  # fmt: skip

    assert {answer.status_code for answer in told.values()} == {200}
    assert (told["without"].json()["status"], told["without"].json()["redis"]) == ("degraded", "away")
    assert (told["with"].json()["status"], told["with"].json()["redis"]) == ("ok", "ok")
    assert told["alone"].json() == {"status": "ok", "database": "ok", "redis": None, "reason": None}


async def test_a_database_that_is_not_ours_is_not_ready(
    postgres: EmbeddedPostgres, start_replica: Callable[..., Awaitable[Replica]], keys: dict[Tier, str]
) -> None:
    """It answers `select 1` and has none of our tables: traffic would meet nothing but errors."""
    assert keys
    replica = await start_replica(database_url=postgres.create_empty_database())

    async with asyncio.timeout(30):  # on a crowded machine the first connections take longer than a probe waits
        while (answer := await replica.get("/readyz", tier=None)).json()["database"] == "away":
            assert answer.status_code == 503
            await asyncio.sleep(0.1)

    assert answer.status_code == 503
    assert answer.json()["database"] == "unusable"


async def test_stopping_service_is_not_ready(replica: Replica) -> None:
    """The platform must stop sending before the process stops listening."""
    replica.services.stopping.set()

    assert (await replica.get("/readyz", tier=None)).status_code == 503
    assert (await replica.get("/healthz", tier=None)).status_code == 200


async def test_dead_task_makes_the_process_unhealthy(replica: Replica) -> None:
    """A replica that no longer hears would serve old data for ever: better a restart."""
    replica.services.broken = "listener"

    response = await replica.get("/healthz", tier=None)

    assert response.status_code == 503
    assert "listener" in response.json()["reason"]


async def test_restarted_database_is_503_then_well_again(
    postgres: EmbeddedPostgres, edge: HandEdge, replica: Replica
) -> None:
    """The service outlives its database: 503 while it is away, fresh data after, without a restart."""
    await land(edge, replica, [make_market()])
    postgres.server.kill()
    away = await replica.get("/v1/markets/kalshi:OTHER")
    unhealthy = await replica.get("/health", tier=None)
    postgres.server.resume()

    async with asyncio.timeout(20):
        while (await replica.get("/health", tier=None)).status_code != 200 or not replica.services.versions.is_hearing:
            await asyncio.sleep(0.05)
    again = await replica.get("/v1/markets/kalshi:KXRAIN-26")

    assert away.status_code == unhealthy.status_code == 503
    assert int(away.headers["retry-after"]) > 0
    assert away.headers["content-type"] == "application/problem+json"
    assert again.status_code == 200
