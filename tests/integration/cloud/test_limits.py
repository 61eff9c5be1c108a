"""Limits over replicas, and the service under load while what it stands on goes away and comes back."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest

from cloudapi.errors import QuotaSpent
from cloudapi.queries import usage
from cloudapi.quota import AHEAD, MOST_AT_ONCE, Quota
from cloudapi.ratelimit import STRANGERS_PER_MINUTE, address_of
from cloudapi.tiers import ENTITLEMENTS, Tier
from tests.fakes.postgres import EmbeddedPostgres
from tests.fakes.redis import RedisServer, needs_redis
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import make_market, make_quote


async def count_passed(quotas: list[Quota], account_id: uuid.UUID, per_month: int, n_calls: int) -> int:
    answers = await asyncio.gather(
        *(quotas[i % len(quotas)].spend(account_id, per_month) for i in range(n_calls)), return_exceptions=True
    )
    assert all(answer is None or isinstance(answer, QuotaSpent) for answer in answers)
    return sum(answer is None for answer in answers)


async def test_month_is_exact_over_replicas(owner: asyncpg.Connection, dsns: tuple[str, str], keys: object) -> None:
    """Blocks shrink to single requests: all of the quota can be used, and nothing beyond it, by any number of replicas."""
    account_id = await owner.fetchval("select account_id from account limit 1")
    async with asyncpg.create_pool(dsns[0], min_size=0, max_size=4) as pool:
        quotas = [Quota(pool, lambda: datetime.now(UTC)) for _ in range(3)]

        first = await count_passed(quotas, account_id, 100, 60)
        await quotas[0].close()  # a replica that stops gives back what it holds
        rest = await count_passed(quotas, account_id, 100, 90)
        last = [await count_passed([quota], account_id, 100, 20) for quota in quotas]

        assert first == 60
        assert first + rest + sum(last) == 100
        assert await quotas[1].used(account_id) == 100


async def test_nobody_who_waits_for_a_block_is_overtaken_by_all_the_others(
    owner: asyncpg.Connection, dsns: tuple[str, str], keys: object
) -> None:
    """Sixty-four connections of one account: a block that is handed on one by one lets the last wait for sixty turns."""
    account_id = await owner.fetchval("select account_id from account limit 1")
    n_clients, n_passed, waited = 64, 0, Counter[int]()
    async with asyncpg.create_pool(dsns[0], min_size=0, max_size=2) as pool:
        quota = Quota(pool, lambda: datetime.now(UTC))

        async def ask() -> None:
            nonlocal n_passed
            for _ in range(40):
                before = n_passed
                await quota.spend(account_id, 10**9)
                waited[n_passed - before] += 1  # answers to others since it was asked
                n_passed += 1
                await asyncio.sleep(0)

        await asyncio.gather(*(ask() for _ in range(n_clients)))

        assert n_passed == 40 * n_clients
        assert max(waited) <= 2 * n_clients
        assert (await quota.used(account_id)) == n_passed


async def test_the_next_block_is_on_its_way_before_the_last_is_used_up(
    owner: asyncpg.Connection, dsns: tuple[str, str], keys: object
) -> None:
    """Nobody in a steady stream of requests waits for the database."""
    account_id = await owner.fetchval("select account_id from account limit 1")
    async with asyncpg.create_pool(dsns[0], min_size=0, max_size=1) as pool:
        quota = Quota(pool, lambda: datetime.now(UTC))
        for _ in range(MOST_AT_ONCE - AHEAD):
            await quota.spend(account_id, 10**9)
        async with asyncio.timeout(5):
            while await owner.fetchval("select sum(n_requests) from account_usage") < 2 * MOST_AT_ONCE:
                await asyncio.sleep(0.01)
        async with pool.acquire():  # and none is left to ask it with
            for _ in range(2 * AHEAD):
                await quota.spend(account_id, 10**9)


async def test_new_month_starts_anew_and_the_refusal_says_when(
    owner: asyncpg.Connection, dsns: tuple[str, str], keys: object
) -> None:
    """The wait ends on the first of the next month, in December too."""
    account_id = await owner.fetchval("select account_id from account limit 1")
    moment = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    async with asyncpg.create_pool(dsns[0], min_size=0, max_size=2) as pool:
        quota = Quota(pool, lambda: moment)
        await quota.spend(account_id, 1)
        with pytest.raises(QuotaSpent) as caught:
            await quota.spend(account_id, 1)

        moment = datetime(2027, 1, 1, tzinfo=UTC)
        await quota.spend(account_id, 1)

    assert caught.value.retry_after_s == 61


async def test_unchanged_answer_is_free_of_the_month(edge: HandEdge, replica: Replica) -> None:
    """Polling with If-None-Match is what we ask for."""
    await edge.hello()
    await edge.send([make_market()])
    await replica.landed(1)
    etag = (await replica.get("/v1/markets")).headers["etag"]
    before = (await replica.get("/v1/usage")).json()["month"]["remaining"]

    same = await replica.get("/v1/markets", headers={"if-none-match": etag})
    after = (await replica.get("/v1/usage")).json()["month"]["remaining"]

    assert same.status_code == 304
    assert before - after == 1  # the second look at the usage itself


async def test_spent_month_is_told_as_such(owner: asyncpg.Connection, replica: Replica) -> None:
    """Another minute would not help: the problem says which limit it was."""
    most = ENTITLEMENTS[Tier.BASIC].requests_per_month
    await owner.execute(
        "insert into account_usage select account_id, date_trunc('month', now() at time zone 'UTC'), $1"
        " from account where tier = 'basic'",
        most,
    )

    answer = await replica.get("/v1/markets", tier=Tier.BASIC)

    assert answer.status_code == 429
    assert answer.json()["type"] == "/docs#problem-quota"
    assert int(answer.headers["retry-after"]) > 0


async def test_strangers_are_counted_by_network_before_anything_is_looked_up(replica: Replica) -> None:
    """Invented keys cost no look-ups without end; who is known is not affected by his neighbours."""
    assert (await replica.get("/v1/me")).status_code == 200

    answers = await asyncio.gather(*(replica.http.get("/v1/markets") for _ in range(STRANGERS_PER_MINUTE + 20)))

    counted = Counter(answer.status_code for answer in answers)
    assert counted[429] >= 20
    assert counted[401] + counted[429] == STRANGERS_PER_MINUTE + 20
    assert (await replica.get("/v1/me")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "trusted", "network"),
    [
        ([], None, "10.0.0.9"),
        ([(b"x-real-ip", b"1.2.3.4")], None, "10.0.0.9"),
        ([(b"x-real-ip", b"1.2.3.4"), (b"x-forwarded-for", b"9.9.9.9")], b"x-real-ip", "1.2.3.4"),
        ([(b"x-real-ip", b"2001:db8:1:2:3:4:5:6")], b"x-real-ip", "2001:db8:1:2::/64"),
        ([(b"x-real-ip", b"::ffff:1.2.3.4")], b"x-real-ip", "1.2.3.4"),
        ([(b"x-real-ip", b"nonsense")], b"x-real-ip", "unknown"),
    ],
)
def test_network_is_what_the_platform_says_never_what_the_caller_writes(
    headers: list[tuple[bytes, bytes]], trusted: bytes | None, network: str
) -> None:
    """A forged header must not give everyone a limit of his own; a household has a /64 of addresses."""
    assert address_of({"headers": headers, "client": ("10.0.0.9", 1)}, trusted) == network


@needs_redis
async def test_redis_killed_under_load_makes_it_slower_never_wrong(
    edge: HandEdge, start_replica: Callable[..., Awaitable[Replica]], tmp_path: object
) -> None:
    """Reads go on, what creates is closed, and afterwards the limit is shared again."""
    async with RedisServer() as redis:
        replica = await start_replica(redis_url=redis.url)
        await edge.hello()
        await edge.send([make_market(), make_quote()])
        await replica.landed(2)
        seen: Counter[int] = Counter()
        is_over = asyncio.Event()

        async def read() -> None:
            while not is_over.is_set():
                answer = await replica.get("/v1/markets/kalshi:KXRAIN-26/price")
                seen[answer.status_code] += 1
                assert answer.status_code != 200 or answer.json()["bid"] == 0.4123

        readers = [asyncio.create_task(read()) for _ in range(8)]
        await reach(seen, 100)
        await redis.kill()
        await reach(seen, 200)
        ticket = await replica.http.post(
            "/v1/live/tickets", headers={"authorization": f"Bearer {replica.keys[Tier.PRO]}"}
        )
        is_over.set()
        await asyncio.gather(*readers)

    assert set(seen) <= {200, 429}
    assert ticket.status_code in {503, 429}


async def test_postgres_restarted_under_load_heals_without_a_leak(
    postgres: EmbeddedPostgres, edge: HandEdge, start_replica: Callable[..., Awaitable[Replica]]
) -> None:
    """Errors are 503 with a problem, then it answers again, and no connection is left behind."""
    replica = await start_replica(pool_size=4)
    await edge.hello()
    await edge.send([make_market()])
    await replica.landed(1)
    seen: Counter[int] = Counter()
    odd: list[str] = []
    is_over = asyncio.Event()

    async def read(number: int) -> None:
        count = 0
        while not is_over.is_set():
            count += 1
            answer = await replica.get(f"/v1/markets/kalshi:NO-{number}-{count}")  # never cached
            seen[answer.status_code] += 1
            if answer.status_code == 503 and answer.headers["content-type"] != "application/problem+json":
                odd.append(answer.text)

    readers = [asyncio.create_task(read(number)) for number in range(6)]
    await reach(seen, 30)
    await asyncio.to_thread(postgres.restart_immediate)
    await reach(seen, sum(seen.values()) + 30)
    async with asyncio.timeout(20):
        while (await replica.get("/health", tier=None)).status_code != 200:
            await asyncio.sleep(0.05)
    n_healed = seen[404] + seen[429]
    async with asyncio.timeout(20):
        while seen[404] + seen[429] == n_healed:
            await asyncio.sleep(0.01)
    is_over.set()
    await asyncio.gather(*readers)

    assert set(seen) <= {404, 429, 503}
    assert not odd
    assert replica.services.pool.get_size() <= 4
    assert replica.services.pool.get_idle_size() == replica.services.pool.get_size()


async def reach(seen: Counter[int], n_answers: int) -> None:
    async with asyncio.timeout(30):
        while sum(seen.values()) < n_answers:
            await asyncio.sleep(0.005)


async def test_sweep_removes_what_is_over_and_keeps_the_newest_event(
    owner: asyncpg.Connection, dsns: tuple[str, str]
) -> None:
    """The newest number stays, or nobody could tell whether something was missed."""
    await owner.execute(
        "insert into live_event (topic, body, at)"
        " select 'insight', '{}', now() - interval '1 hour' from generate_series(1, 3)"
    )
    await owner.execute("insert into login_failure values ('address:x', 3, now() - interval '2 days')")
    async with asyncpg.create_pool(dsns[0], min_size=0, max_size=1) as pool:
        await usage.sweep(pool)

    assert await owner.fetchval("select array_agg(event_id) from live_event") == [3]
    assert await owner.fetchval("select count(*) from login_failure") == 0
