"""A deadline that moves: rings in time, once, and not for what has ended."""

import asyncio

import pytest

from cloudapi.patience import Patience


class Bell:
    """When it rang, by the loop's clock."""

    def __init__(self) -> None:
        self.rang: list[float] = []

    def __call__(self) -> None:
        self.rang.append(asyncio.get_running_loop().time())


@pytest.fixture
def bell() -> Bell:
    return Bell()


async def test_rings_once_and_never_early(bell: Bell) -> None:
    patience, began = Patience(bell), asyncio.get_running_loop().time()
    patience.begin(0.05)
    await asyncio.sleep(0.2)
    assert len(bell.rang) == 1
    assert bell.rang[0] >= began + 0.05


async def test_a_deadline_that_moves_on_rings_behind_the_last_one(bell: Bell) -> None:
    """Each begin gives the whole time anew, whenever the timer under way would have rung."""
    patience = Patience(bell)
    for _ in range(10):
        await asyncio.sleep(0.1)
        last = asyncio.get_running_loop().time()
        patience.begin(0.7)
    assert not bell.rang
    await asyncio.sleep(1.2)
    assert len(bell.rang) == 1
    assert bell.rang[0] >= last + 0.7


async def test_a_shorter_time_than_the_timer_under_way_is_kept(bell: Bell) -> None:
    patience = Patience(bell)
    patience.begin(60)
    patience.end()
    patience.begin(0.02)
    await asyncio.sleep(0.2)
    assert len(bell.rang) == 1


@pytest.mark.parametrize("over", [Patience.end, Patience.close])
async def test_what_has_ended_never_rings(bell: Bell, over) -> None:
    patience = Patience(bell)
    patience.begin(0.02)
    over(patience)
    await asyncio.sleep(0.1)
    assert not bell.rang
    patience.begin(0.02)  # and the next one does
    await asyncio.sleep(0.2)
    assert len(bell.rang) == 1


async def test_many_moves_are_one_timer(bell: Bell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason to be: an event costs an assignment."""
    loop, armed = asyncio.get_running_loop(), []
    call_at = loop.call_at
    monkeypatch.setattr(loop, "call_at", lambda at, call: armed.append(at) or call_at(at, call))
    patience = Patience(bell)
    for _ in range(1000):
        patience.begin(30)
        patience.end()
    assert len(armed) == 1
    patience.close()
