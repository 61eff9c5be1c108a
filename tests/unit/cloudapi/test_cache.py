"""Ready answers: kept for a while, made once, limited in size."""

import asyncio

import pytest

from cloudapi.cache import CachedBody, MemoryCache, Shelf


async def test_entry_is_gone_when_its_time_is_over() -> None:
    """The time to live is the bound on staleness when nothing is announced."""
    moment = 100.0
    cache = MemoryCache(monotonic=lambda: moment)
    await cache.put("key", CachedBody.of(b"x"), 5)
    assert await cache.get("key") is not None

    moment = 105.0

    assert await cache.get("key") is None
    assert cache.size_bytes == 0


async def test_least_recently_used_goes_first() -> None:
    """Memory is bounded whatever is asked for."""
    cache = MemoryCache(limit_bytes=30)
    for name in ("a", "b", "c"):
        await cache.put(name, CachedBody.of(b"x" * 10), 60)
    await cache.get("a")

    await cache.put("d", CachedBody.of(b"x" * 10), 60)

    assert await cache.get("b") is None
    assert await cache.get("a") is not None
    assert cache.size_bytes == 30


def test_equal_answers_have_equal_etags() -> None:
    """On every replica, so that a reader may move between them."""
    assert CachedBody.of(b"x") == CachedBody.of(b"x")
    assert CachedBody.of(b"x").etag != CachedBody.of(b"y").etag


async def test_answer_is_made_once_for_all_who_wait() -> None:
    """A thousand readers at the moment of a landing are one query, not a thousand."""
    shelf, gate, n_made = Shelf(MemoryCache()), asyncio.Event(), 0

    async def make() -> bytes:
        nonlocal n_made
        n_made += 1
        await gate.wait()
        return b"answer"

    waiting = [asyncio.create_task(shelf.fetch("key", 60, make)) for _ in range(50)]
    await asyncio.sleep(0)
    gate.set()
    answers = await asyncio.gather(*waiting)

    assert n_made == 1
    assert {answer.body for answer in answers} == {b"answer"}
    assert shelf.n_misses == 1


async def test_one_who_hangs_up_does_not_take_the_answer_from_the_others() -> None:
    """The first caller owns nothing: its cancellation must not reach the query."""
    shelf, gate = Shelf(MemoryCache()), asyncio.Event()

    async def make() -> bytes:
        await gate.wait()
        return b"answer"

    first = asyncio.create_task(shelf.fetch("key", 60, make))
    second = asyncio.create_task(shelf.fetch("key", 60, make))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()

    assert (await second).body == b"answer"


async def test_failure_reaches_every_waiter_and_is_not_kept() -> None:
    """The database comes back; the failure must not stay."""
    shelf, answers = Shelf(MemoryCache()), iter([OSError("away"), b"answer"])

    async def make() -> bytes:
        await asyncio.sleep(0)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    failed = await asyncio.gather(*(shelf.fetch("key", 60, make) for _ in range(3)), return_exceptions=True)

    assert [type(failure) for failure in failed] == [OSError] * 3
    assert (await shelf.fetch("key", 60, make)).body == b"answer"


async def test_closed_shelf_waits_for_answers_in_the_making() -> None:
    """Nothing may use the pool after it is closed."""
    shelf, gate = Shelf(MemoryCache()), asyncio.Event()

    async def make() -> bytes:
        await gate.wait()
        return b"answer"

    waiting = asyncio.create_task(shelf.fetch("key", 60, make))
    await asyncio.sleep(0)
    closing = asyncio.create_task(shelf.close())
    await asyncio.sleep(0)
    assert not closing.done()
    gate.set()
    await closing

    assert (await waiting).body == b"answer"


@pytest.mark.parametrize("ttl_s", [1, 3600])
async def test_same_key_put_twice_is_counted_once(ttl_s: float) -> None:
    """The size must not drift, or the cache empties itself."""
    cache = MemoryCache()

    for _ in range(3):
        await cache.put("key", CachedBody.of(b"12345"), ttl_s)

    assert cache.size_bytes == 5
