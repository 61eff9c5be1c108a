"""Places of live streams in a real Redis: never more than allowed, never held by the dead."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import BlockingConnectionPool, Redis

from cloudapi.cache import make_redis_pool
from cloudapi.places import KEPT_AT_ONCE, PREFIX, Places


@pytest.fixture
async def pool(redis_url: str) -> AsyncIterator[BlockingConnectionPool]:
    made = make_redis_pool(redis_url)
    yield made
    await made.disconnect()


async def test_a_crowd_at_one_moment_gets_as_many_places_as_there_are(pool: BlockingConnectionPool) -> None:
    """Counted first and entered then, two replicas would both see the last place."""
    replicas, account = [Places(pool), Places(pool)], uuid.uuid4()

    taken = await asyncio.gather(*(replicas[n % 2].take(account, 3) for n in range(16)))

    assert len([place for place in taken if place is not None]) == 3
    assert [await replica.n_taken(account) for replica in replicas] == [3, 3]


async def test_a_place_given_back_is_another_replicas_at_once(pool: BlockingConnectionPool) -> None:
    """A reader who is moved to another replica opens there what he closes here."""
    one, other, account = Places(pool), Places(pool), uuid.uuid4()
    place = await one.take(account, 1)
    assert await other.take(account, 1) is None

    await one.give_back(place)

    assert await other.take(account, 1) is not None
    assert await other.take(uuid.uuid4(), 1) is not None


async def test_places_of_a_replica_that_was_killed_fall_free(pool: BlockingConnectionPool) -> None:
    """Nobody gives them back: held for ever they would shut the account out."""
    dead, living, account = Places(pool, lasts_s=0.5), Places(pool), uuid.uuid4()
    assert all([await dead.take(account, 3), await dead.take(account, 3), await living.take(account, 3)])
    assert await living.take(account, 3) is None

    async with asyncio.timeout(5):
        while await living.take(account, 3) is None:
            await asyncio.sleep(0.02)

    assert await living.n_taken(account) == 2


async def test_kept_places_outlive_a_redis_that_forgot(pool: BlockingConnectionPool) -> None:
    """Restarted without its memory it would let everybody open as many again; also with more than fit one question."""
    here, there, account = Places(pool), Places(pool), uuid.uuid4()
    for _ in range(3):
        await here.take(account, 3)
    for _ in range(KEPT_AT_ONCE):
        await here.take(uuid.uuid4(), 3)
    await Redis(connection_pool=pool).flushall()

    await here.keep()

    assert await there.take(account, 3) is None
    assert len(await Redis(connection_pool=pool).keys(f"{PREFIX}:*")) == KEPT_AT_ONCE + 1


async def test_a_place_given_back_while_it_is_kept_stays_free(
    pool: BlockingConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat is on its way with the names it knew when it set out."""
    places, account = Places(pool), uuid.uuid4()
    place = await places.take(account, 1)
    send = places._keep

    async def slowly(**said: object) -> None:
        await places.give_back(place)
        await send(**said)

    monkeypatch.setattr(places, "_keep", slowly)
    await places.keep()

    assert await places.n_taken(account) == 0
