"""Waiting for the first of several events: it ends for an event, for time, and above all for a stop."""

import asyncio

import pytest

from sync.waiting import first_of


async def test_one_event_is_enough():
    """The others are still awaited by somebody else."""
    told, silent = asyncio.Event(), asyncio.Event()
    told.set()

    async with asyncio.timeout(5):
        await first_of(60, silent, told)

    assert not silent.is_set()


async def test_time_is_enough():
    """A loop that waits for work has other things to do now and then."""
    async with asyncio.timeout(5):
        await first_of(0.001, asyncio.Event())


@pytest.mark.parametrize("steps", range(6))
async def test_a_stop_is_heard_whenever_it_comes(steps):
    """One that came while the other waits were put away was swallowed, and the loop around it ran for ever."""
    event = asyncio.Event()
    waiting = asyncio.create_task(first_of(60, event, asyncio.Event()))
    await asyncio.sleep(0)
    event.set()
    for _ in range(steps):
        await asyncio.sleep(0)

    if waiting.cancel():  # else it was over already
        with pytest.raises(asyncio.CancelledError):
            await waiting
