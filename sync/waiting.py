"""Waiting for the first of several events.

Law: a stop that arrives while the other waits are put away is heard like any other: nothing here swallows a
cancellation. Both sides wait this way, the sender for work and the service for news.
"""

import asyncio


async def first_of(timeout_s: float, *events: asyncio.Event) -> None:
    """Return once one of the events is set, or after timeout_s."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
