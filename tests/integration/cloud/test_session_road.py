"""A session over the whole road: asked of the API, leased, forecast at home, followed as events; edges that come and go."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from cloudapi.tiers import Tier
from tests.fakes.groq import GroqServer
from tests.fakes.session_edge import MODELS, SessionEdge
from tests.integration.cloud.made import make_market, make_quote
from tests.integration.cloud.test_sessions import ask, balance

SOON_S = 10.0  # what is promised; `make bench` says what it takes


@pytest.fixture
async def groq():
    """The model's service."""
    async with GroqServer(seed=5) as server:
        yield server


@pytest.fixture
def make_edge(tmp_path, dsns, groq):
    """The same machine, whenever it is switched on."""
    return lambda: SessionEdge(tmp_path / "oddsd.db", dsns[1], groq.url)


async def known_market(edge, owner) -> None:
    """The edge has collected it and the cloud has heard of it."""
    now = datetime.now(UTC)
    market = make_market(fetched_at=now, close_time=now + timedelta(days=7))
    await edge.save([market], [make_quote(fetched_at=now)])
    async with asyncio.timeout(SOON_S):
        while not await owner.fetchval("select count(*) from market"):
            await asyncio.sleep(0.02)


async def followed(replica, session) -> list[tuple[str, dict]]:
    """Every event of a session until its end."""
    found, name = [], ""
    headers = {"authorization": f"Bearer {replica.keys[Tier.PREMIUM]}"}
    async with replica.http.stream("GET", session["links"]["events"], headers=headers) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                found.append((name, json.loads(line.removeprefix("data: "))))
    return found


async def test_two_models_from_asking_to_forecasts_on_two_replicas(start_replica, make_edge, owner, groq):
    """Asked of one replica, followed on the other; both forecasts in the record, nothing paid twice."""
    first, second = await start_replica(), await start_replica()
    async with make_edge() as edge:
        await known_market(edge, owner)

        session = (await ask(first, models=MODELS)).json()
        async with asyncio.timeout(2 * SOON_S):
            told = await followed(second, session)

    moves = [(body["model"], body["state"]) for name, body in told if name == "step"]
    for model in MODELS:
        assert [state for name, state in moves if name == model] == ["RESEARCHING", "GENERATING", "COMPLETED"]
    end = told[-1][1]
    assert (end["state"], len(end["models"])) == ("COMPLETED", 2)
    seen = (await first.get(session["links"]["self"], tier=Tier.PREMIUM)).json()
    assert {made["model"] for made in seen["predictions"]} == set(MODELS)
    assert await balance(first) == 18
    assert len(groq.calls) == 2


async def test_a_session_asked_for_while_the_edge_is_off_begins_when_it_comes(replica, make_edge, owner):
    """It stays queued, and nobody has to ask again."""
    async with make_edge() as edge:
        await known_market(edge, owner)
    session = (await ask(replica)).json()
    assert session["state"] == "QUEUED"

    async with make_edge():
        async with asyncio.timeout(2 * SOON_S):
            told = await followed(replica, session)

    assert told[-1][1]["state"] == "COMPLETED"


async def test_an_edge_that_is_switched_off_in_the_middle_goes_on_and_pays_once(replica, make_edge, owner, groq):
    """One of two models had answered: the other alone is asked again."""
    async with make_edge() as edge:
        await known_market(edge, owner)
        groq.fault("slow", model=MODELS[1], seconds=60)
        session = (await ask(replica, models=MODELS)).json()
        async with asyncio.timeout(SOON_S):
            while not await edge.store.reader.fetch_value(
                "SELECT count(*) FROM forecasts WHERE state = 'made' AND model <> ''"
            ):
                await asyncio.sleep(0.02)
    groq.released.set()

    async with make_edge():
        async with asyncio.timeout(2 * SOON_S):
            told = await followed(replica, session)

    assert told[-1][1]["state"] == "COMPLETED"
    asked = [call["model"] for call in groq.calls]
    assert (asked.count(MODELS[0]), asked.count(MODELS[1])) == (1, 2)
    assert await balance(replica) == 18
