"""The local exchange keeps the venues' rules, odd ones included: a fake that is too kind proves nothing."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.exchange import ExchangeServer, world_frames
from tests.fakes.exchange_recordings import recorded_frames
from tests.fakes.world import World

Json = dict[str, Any]


async def get(url: str, **params: str) -> httpx.Response:
    """One request without our own manners."""
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        return await client.get(url, params=params)


@pytest.mark.parametrize("path", ["events/keyset", "markets/keyset"])
async def test_gamma_pages_by_after_cursor_alone(exchange: ExchangeServer, path: str) -> None:
    """`cursor` is ignored, `offset` refused, a larger limit clamped, and the last page has no cursor."""
    url, name = f"{exchange.polymarket_url}/{path}", path.split("/", maxsplit=1)[0]
    first = (await get(url, limit="1000")).json()
    assert len(first[name]) == 100
    assert (await get(url, limit="100", cursor=first["next_cursor"])).json()[name] == first[name]
    assert (await get(url, offset="100")).status_code == 422
    page, seen = first, list(first[name])
    while "next_cursor" in page:
        page = (await get(url, limit="100", after_cursor=page["next_cursor"])).json()
        seen += page[name]
    ids = [record["id"] for record in seen]
    assert len(ids) == len(set(ids)) > 100


async def test_a_gamma_cursor_is_bound_to_its_filters(exchange: ExchangeServer) -> None:
    """Dropping a filter on page two is a mistake the real one punishes too."""
    cursor = (await get(f"{exchange.polymarket_url}/events/keyset", closed="false")).json()["next_cursor"]
    answer = await get(f"{exchange.polymarket_url}/events/keyset", closed="true", after_cursor=cursor)
    assert answer.status_code == 422


async def test_gamma_lists_closed_markets_only_on_request(exchange: ExchangeServer) -> None:
    """`closed` defaults to false."""
    url = f"{exchange.polymarket_url}/markets/keyset"
    assert not any(market["closed"] for market in (await get(url)).json()["markets"])
    assert all(market["closed"] for market in (await get(url, closed="true")).json()["markets"])


async def test_kalshi_ends_with_an_empty_cursor_and_nests_on_request(exchange: ExchangeServer) -> None:
    """The empty string is the end, not a missing field."""
    url = f"{exchange.kalshi_url}/events"
    first = (await get(url, status="open", limit="100", with_nested_markets="true")).json()
    rest = (await get(url, status="open", limit="100", with_nested_markets="true", cursor=first["cursor"])).json()
    assert (len(first["events"]), rest["cursor"]) == (100, "")
    assert {event["event_ticker"] for event in first["events"]}.isdisjoint(
        event["event_ticker"] for event in rest["events"]
    )
    assert "markets" not in (await get(url, status="open")).json()["events"][0]


async def test_kalshi_filters_in_other_words_than_its_fields(exchange: ExchangeServer) -> None:
    """`settled` finds `finalized`, and combos stay unless they are excluded."""
    url = f"{exchange.kalshi_url}/markets"
    settled = (await get(url, status="settled", limit="1000")).json()["markets"]
    assert {market["status"] for market in settled} == {"finalized"}
    everything = (await get(url, limit="1000")).json()["markets"]
    without = (await get(url, limit="1000", mve_filter="exclude")).json()["markets"]
    assert len(everything) - len(without) == 5


async def test_control_moves_ticks_and_orders_faults(exchange: ExchangeServer) -> None:
    """Tests in other processes steer it over HTTP."""
    async with httpx.AsyncClient(base_url=exchange.control_url, trust_env=False, verify=False) as control:
        for expected in (1, 2, 3, 3):
            assert (await control.post("/tick")).json() == {"tick": expected}
        assert (await control.post("/fault", json={"venue": "kalshi", "kind": "fire"})).status_code == 422
        await control.post("/fault", json={"venue": "kalshi", "kind": "429", "times": 2})
        statuses = [(await get(f"{exchange.kalshi_url}/events")).status_code for _ in range(3)]
        state = (await control.get("/state")).json()
    assert statuses == [429, 429, 200]
    assert state == {
        "tick": 3,
        "n_ticks": 4,
        "faults": [],
        "n_requests": {"polymarket": 0, "clob": 0, "data": 0, "kalshi": 3},
    }


def test_the_same_seed_tells_the_same_story() -> None:
    """A failing test must fail again."""
    first, again, other = (world_frames(World(seed)) for seed in (3, 3, 4))
    assert json.dumps([frame.gamma_events for frame in first]) == json.dumps([frame.gamma_events for frame in again])
    assert [frame.kalshi_events for frame in first] == [frame.kalshi_events for frame in again]
    assert [frame.kalshi_events for frame in first] != [frame.kalshi_events for frame in other]


def test_recordings_become_four_ticks(recordings: Path) -> None:
    """Raw records, merged by id: one event per id and one market per id in each tick."""
    frames = recorded_frames(recordings)
    assert len(frames) == 4
    for frame in frames:
        for events, key in ((frame.gamma_events, "id"), (frame.kalshi_events, "ticker")):
            ids = [market[key] for event in events for market in event["markets"]]
            assert len(ids) == len(set(ids)) > 250
    assert frames[0].gamma_events != frames[1].gamma_events


async def test_the_server_ends_cleanly_on_sigterm() -> None:
    """The demo starts it as a process and must leave none behind."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.exchange", "--port", "0", "--ticks", "2", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        addresses = json.loads(await process.stdout.readline())
        assert (await get(f"{addresses['control_url']}/state")).json()["n_ticks"] == 2
        assert (await get(f"{addresses['kalshi_url']}/events")).status_code == 200
        assert (await get(f"{addresses['polymarket_url']}/events/keyset")).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
