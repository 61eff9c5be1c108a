"""Ready answers: the same as the long way's to the last header, never somebody else's, never older, counted alike."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
import httpx
import pytest
from structlog.testing import capture_logs

from cloudapi.cache import CachedBody
from cloudapi.hot import OVERHEAD_BYTES, Asked, Hot, HotAnswers
from cloudapi.keys import prefix_of
from cloudapi.queries.accounts import revoke_key
from cloudapi.services import Shelved
from cloudapi.tiers import ENTITLEMENTS, Tier
from tests.integration.cloud.conftest import Clock, Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import NOW, make_benchmark_report, make_market, make_one_of_each, make_quote
from tests.integration.cloud.test_tier_matrix import MATRIX, filled

PERSONAL = {"/v1/me", "/v1/usage", "/v1/api-keys"}
PRICE = "/v1/markets/kalshi:KXRAIN-26/price"
PAGE = "https://page.example"


def hot_of(replica: Replica) -> HotAnswers:
    return replica.server.config.app.hot


def said(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """All of an answer but for the second it was given in."""
    headers = [(name, value) for name, value in answer.headers.multi_items() if name != "date"]
    return answer.status_code, headers, answer.content


@pytest.fixture
def hold_time(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Nothing ends by its age while a test looks, however slow the machine."""

    def hold(replica: Replica, moment: float) -> None:
        for clock in (hot_of(replica), replica.services.shelf._cache):
            monkeypatch.setattr(clock, "_monotonic", lambda: moment)

    return hold


async def stock(edge: HandEdge, replica: Replica, clock: Clock) -> None:
    await edge.hello()
    boards = [
        make_benchmark_report(report_id=f"b-{sort}", scope=f"leaderboard:{sort}") for sort in ("recent", "brier_skill")
    ]
    await edge.send([*make_one_of_each(), *boards])
    await replica.landed(10)
    clock.moment = (NOW + timedelta(days=1)).replace(hour=0, minute=30)


async def test_both_ways_say_the_same_to_the_last_header(
    edge: HandEdge,
    start_replica: Callable[..., Awaitable[Replica]],
    clock: Clock,
    hold_time: Callable[..., None],
) -> None:
    """Every route that gives a tiered answer, 200 and 304 alike, with and without a page of another site asking."""
    replica = await start_replica(cors_origins=(PAGE,))
    await stock(edge, replica, clock)
    hot = hot_of(replica)
    hold_time(replica, 0.0)
    seen = set()

    for template, statuses in sorted(MATRIX.items()):
        if statuses[-1] != 200 or template in PERSONAL:
            continue
        path = filled(template)
        for origin in (None, PAGE, "https://stranger.example"):
            asked = {"x-request-id": "from-the-caller", **({} if origin is None else {"origin": origin})}
            before = hot.n_hits
            long, again = await replica.get(path, headers=asked), await replica.get(path, headers=asked)
            copy = asked | {"if-none-match": long.headers["etag"]}
            long_same, same = await replica.get(path, headers=copy), await replica.get(path, headers=copy)

            assert hot.n_hits - before == 2, (template, "asked for the second time it was not ready")
            assert said(again) == said(long), template
            assert said(same) == said(long_same), template
            assert (long.status_code, same.status_code) == (200, 304), template
            assert again.headers.get("access-control-allow-origin") == (PAGE if origin == PAGE else None), template
        seen.add(template)

    assert len(seen) > 20


async def test_bytes_are_of_the_tier_and_nobody_elses(
    edge: HandEdge, replica: Replica, clock: Clock, hold_time: Callable[..., None]
) -> None:
    """Warm in every tier, then each asks in turn: what is ready is as different as what is made; nothing is personal."""
    await stock(edge, replica, clock)
    hot = hot_of(replica)
    hold_time(replica, 0.0)
    made = {}
    for tier in Tier:
        for template, statuses in MATRIX.items():
            if statuses[list(Tier).index(tier)] == 200:
                made[template, tier] = (await replica.get(filled(template), tier=tier)).content

    for (template, tier), body in made.items():
        answer = await replica.get(filled(template), tier=tier)
        if template not in PERSONAL:
            assert answer.content == body, (template, tier)
            limit = ENTITLEMENTS[tier].requests_per_minute
            assert answer.headers["ratelimit-policy"].startswith(f'"burst";q={limit};'), (template, tier)

    assert hot.n_hits == sum(template not in PERSONAL for template, _ in made)
    assert made["/v1/insights", Tier.PRO] != made["/v1/insights", Tier.BASIC]
    assert (await replica.get("/v1/arbitrage", tier=Tier.BASIC)).status_code == 403


async def test_pages_and_other_ways_to_ask_take_the_long_way(edge: HandEdge, replica: Replica, clock: Clock) -> None:
    """A page asks the API inside; its bytes are not the API's. A host nobody has heard of is judged each time."""
    await stock(edge, replica, clock)
    await replica.get("/app/insights")
    api = await replica.get("/v1/insights")
    page = await replica.get("/app/insights")
    odd = await replica.get("/v1/insights", headers={"host": "bad host"})
    posted = await replica.http.request(
        "GET", "/v1/insights", content=b"x", headers={"authorization": f"Bearer {replica.keys[Tier.PRO]}"}
    )

    assert api.headers["content-type"] == "application/json"
    assert page.headers["content-type"].startswith("text/html")
    assert (odd.status_code, posted.status_code) == (400, 200)
    assert hot_of(replica).n_hits == 0


async def test_landing_is_seen_at_once(edge: HandEdge, replica: Replica) -> None:
    """Ready is what no landing has touched: its own kinds make it anew, others leave it."""
    await edge.hello()
    await edge.send([make_market(), make_quote(bid=0.2)])
    await replica.landed(2)
    hot = hot_of(replica)
    for _ in range(2):
        await replica.get(PRICE)
        await replica.get("/v1/markets")
    assert hot.n_hits == 2

    await edge.send([make_quote(bid=0.3, fetched_at=NOW + timedelta(seconds=1))])
    await replica.landed(3)
    price, markets = await replica.get(PRICE), await replica.get("/v1/markets")

    assert price.json()["bid"] == 0.3
    assert markets.status_code == 200
    assert hot.n_hits == 3  # the markets: none has landed


async def test_answer_is_not_kept_longer_than_the_shelf_would(
    edge: HandEdge, replica: Replica, hold_time: Callable[..., None]
) -> None:
    """Learned late from a shelf that has held it for a while, it ends with the shelf's time, not with its own."""
    await edge.hello()
    await edge.send([make_market(), make_quote()])
    await replica.landed(2)
    hot, shelf = hot_of(replica), replica.services.shelf
    hold_time(replica, 0.0)
    await replica.get(PRICE, headers={"host": "first.example"})

    hold_time(replica, 4.9)  # of five
    await replica.get(PRICE)
    await replica.get(PRICE)
    assert (hot.n_hits, shelf.n_misses) == (1, 1)

    hold_time(replica, 5.1)
    await replica.get(PRICE)
    assert (hot.n_hits, shelf.n_misses) == (1, 2)


async def test_ready_answer_ends_with_the_hour_in_which_it_was_made(
    edge: HandEdge, replica: Replica, clock: Clock
) -> None:
    """What a tier may see moves on by the clock alone; the second before, it may not."""
    clock.moment = NOW.replace(minute=59, second=59, microsecond=0)
    await edge.hello()
    await edge.send([make_market()])
    await replica.landed(1)
    hot = hot_of(replica)
    for _ in range(2):
        await replica.get("/v1/insights", tier=Tier.PREMIUM)
    assert hot.n_hits == 1

    clock.moment += timedelta(seconds=1)
    await replica.get("/v1/insights", tier=Tier.PREMIUM)

    assert hot.n_hits == 1


async def test_revoked_key_opens_nothing_ready(
    owner: asyncpg.Connection, edge: HandEdge, start_replica: Callable[..., Awaitable[Replica]]
) -> None:
    """Within two seconds on every replica, however often it was let in a moment ago."""
    replicas = [await start_replica(), await start_replica()]
    await edge.hello()
    await edge.send([make_market()])
    for replica in replicas:
        await replica.landed(1)
        for _ in range(3):
            assert (await replica.get("/v1/markets", tier=Tier.PREMIUM)).status_code == 200
        assert hot_of(replica).n_hits == 2

    await revoke_key(owner, prefix_of(replicas[0].keys[Tier.PREMIUM]))

    async with asyncio.timeout(2):
        for replica in replicas:
            while (await replica.get("/v1/markets", tier=Tier.PREMIUM)).status_code != 401:
                await asyncio.sleep(0.01)


async def test_limit_counts_ready_answers_and_refuses_like_the_long_way(
    edge: HandEdge, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty a minute are sixty, whichever way they were answered; the refusal is the problem it always is."""
    monkeypatch.setattr("cloudapi.ratelimit.time.time", lambda: 1_000_000 * 60 + 1.0)  # a minute that does not turn
    most = ENTITLEMENTS[Tier.BASIC].requests_per_minute

    answers = [await replica.get("/v1/markets", tier=Tier.BASIC) for _ in range(most + 2)]
    elsewhere = await replica.get("/v1/me", tier=Tier.BASIC)

    assert [answer.status_code for answer in answers] == [200] * most + [429] * 2
    assert hot_of(replica).n_hits == most - 1
    ready, long = answers[-1], elsewhere
    assert ready.json() | {"instance": "", "request_id": ""} == long.json() | {"instance": "", "request_id": ""}
    assert {
        name: ready.headers[name] for name in ready.headers if name not in {"date", "x-request-id", "content-length"}
    } == {name: long.headers[name] for name in long.headers if name not in {"date", "x-request-id", "content-length"}}


async def test_limit_is_exact_over_two_replicas_that_answer_from_memory(
    redis_url: str, start_replica: Callable[..., Awaitable[Replica]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready on both, asked on both at once: all of the limit and no more."""
    monkeypatch.setattr("cloudapi.cache.REDIS_TIMEOUT_S", 10)  # a machine at its limit is not a Redis that is away
    replicas = [await start_replica(redis_url=redis_url), await start_replica(redis_url=redis_url)]
    most = ENTITLEMENTS[Tier.BASIC].requests_per_minute
    warm = [(await replica.get("/v1/markets", tier=Tier.BASIC)).status_code for replica in replicas]

    answers = await asyncio.gather(
        *(replica.get("/v1/markets", tier=Tier.BASIC) for replica in replicas for _ in range(most))
    )

    assert warm == [200, 200]
    assert sum(answer.status_code == 200 for answer in answers) == most - 2
    assert sum(hot_of(replica).n_hits for replica in replicas) >= most - 10


async def test_request_that_is_ready_in_half_is_counted_once(edge: HandEdge, replica: Replica) -> None:
    """The first 304 of an answer is not ready yet: counted here, answered the long way, and free of the month."""
    await edge.hello()
    await edge.send([make_market()])
    await replica.landed(1)
    etag = (await replica.get("/v1/markets")).headers["etag"]
    before = (await replica.get("/v1/usage")).json()

    same = [await replica.get("/v1/markets", headers={"if-none-match": etag}) for _ in range(3)]
    after = (await replica.get("/v1/usage")).json()

    assert [answer.status_code for answer in same] == [304, 304, 304]
    assert hot_of(replica).n_hits == 2
    assert before["burst"]["remaining"] - after["burst"]["remaining"] == 4  # the second look at the usage too
    assert before["month"]["remaining"] - after["month"]["remaining"] == 1


async def test_ready_answers_are_counted_and_logged_like_any(
    edge: HandEdge, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The route's template, the account and the key by id, the status: an operator sees no difference."""
    monkeypatch.setattr("cloudapi.problems.LOG_ONE_OF", 1)
    await edge.hello()
    await edge.send([make_market(), make_quote()])
    await replica.landed(2)
    with capture_logs() as lines:
        for _ in range(3):
            await replica.get(PRICE)

    told = [line for line in lines if line["action"] == "request"]
    route = "/v1/markets/{market_id}/price"
    metrics = (await replica.get("/metrics", tier=None)).text
    assert hot_of(replica).n_hits == 2
    assert f'route="{route}",status="200"}} 3' in metrics
    assert "oddsd_cache_hits_total 2" in metrics
    assert [line["route"] for line in told] == [route] * 3
    assert len({(line["account_id"], line["key_id"], line["status"]) for line in told}) == 1
    assert len({line["id"] for line in told}) == 3


async def test_memory_is_bounded_whatever_is_asked_for(replica: Replica) -> None:
    """A caller who varies his question drops what was kept longest."""
    hot = HotAnswers(replica.services, answered=None, limit_bytes=3 * (OVERHEAD_BYTES + 10))
    shelved = Shelved(CachedBody.of(b"x" * 10), ("market",), "v", time.monotonic() + 60)

    for n in range(5):
        target = Asked({"query_string": b"n=%d" % n}, {}, 0.0).target(Tier.PRO, "/v1/markets")
        hot._keep(target, Hot(shelved, "/v1/markets", 0, {200: ([], [])}))
        hot._keep(target, Hot(shelved, "/v1/markets", 0, {304: ([], [])}))

    assert hot.size_bytes == 3 * (OVERHEAD_BYTES + 10)
    assert [target[2] for target in hot._kept] == [b"n=2", b"n=3", b"n=4"]
    assert {*hot._kept.popitem()[1].heads} == {200, 304}
