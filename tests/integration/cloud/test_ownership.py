"""Two accounts, every route that takes an id of an account's own, every method: the stranger meets nothing.

Made from the route table. A route with a parameter that is neither shared nor made here fails the test by itself.
"""

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import httpx
import pytest

from cloudapi.app import HANDLERS
from cloudapi.telling import tell_account
from cloudapi.tiers import Tier
from cloudapi.webhooks import Topic
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import KEY, make_market, make_quote
from tests.integration.cloud.subscribed import Person, make_person, settings_of
from tests.integration.cloud.test_api import land

SHARED = {"market_id", "insight_id", "prediction_id", "experiment", "name"}  # the same for everybody of a tier
BODIES = {
    ("PATCH", "/v1/watchlist/{watch_id:uuid}"): {"min_move": 0.5, "min_confidence": 1},
}

PARAMETER = re.compile(r"{(\w+):\w+}")


def owned_routes() -> list[tuple[str, str]]:
    """Method and template of each route a person may ask for an object of an account's own."""
    return sorted(
        (method, path)
        for handler in HANDLERS
        if not handler.opt.get("public") and handler.opt.get("scope") != "ingest"
        for path in handler.paths
        if set(PARAMETER.findall(path)) - SHARED
        for method in getattr(handler, "http_methods", {"GET"}) - {"HEAD", "OPTIONS"}
    )


@pytest.fixture
async def replica(start_replica: Callable[..., Awaitable[Replica]], dsns: tuple[str, str], edge: HandEdge) -> Replica:
    started = await start_replica(**settings_of(dsns[0], sessions="shadow", webhook_exceptions=("127.0.0.1:9",)))
    await land(edge, started, [make_market(), make_quote()])
    return started


async def made_by(ann: Person, replica: Replica) -> dict[str, str]:
    """One object of each kind, by the name routes give its id."""

    async def post(path: str, body: dict[str, Any], name: str) -> str:
        answer = await ann.ask("POST", path, body)
        assert answer.is_success, answer.text
        return str(answer.json()[name])

    endpoint = {"url": "http://127.0.0.1:9/hook", "topics": ["session"]}
    ids = {
        "key_id": await post("/v1/api-keys", {"label": "mine"}, "key_id"),
        "watch_id": await post("/v1/watchlist", {"kind": "keyword", "subject": "rain"}, "watch_id"),
        "session_id": await post("/v1/predictions", {"market_key": KEY}, "session_id"),
        "endpoint_id": await post("/v1/webhooks", endpoint, "endpoint_id"),
        "channel_id": await post(
            "/v1/channels", {"kind": "ntfy", "address": "secret-topic-1", "topics": ["session"]}, "channel_id"
        ),
    }
    async with replica.services.pool.acquire() as connection, connection.transaction():
        await tell_account(connection, ann.account_id, Topic.SESSION, "ref", {"state": "COMPLETED"})
        dead = "update webhook_message set state = 'dead' returning message_id"
        ids["message_id"] = str(await connection.fetchval(dead))
    return ids


def filled(template: str, ids: dict[str, str]) -> str:
    return PARAMETER.sub(lambda found: ids[found[1]], template)


def told(answer: httpx.Response, ids: dict[str, str]) -> dict[str, Any]:
    """What an answer says, the id that was asked for left out."""
    said: dict[str, Any] = answer.json() | {"request_id": "", "instance": ""}
    for value in ids.values():
        said["detail"] = said["detail"].replace(value, "ID")
    return said


async def test_a_stranger_gets_the_404_of_what_never_was(replica: Replica, owner: asyncpg.Connection) -> None:
    """The same words as for an id nobody has, on every method, and nothing of the owner's has changed."""
    ann, eve = await make_person(replica, tier=Tier.PRO), await make_person(replica, "eve@example.org", Tier.PRO)
    ids = await made_by(ann, replica)
    nobodys = {name: str(uuid.UUID(int=7)) for name in ids}
    routes = owned_routes()
    tables = (
        "api_key",
        "watch_entry",
        "prediction_session",
        "webhook_endpoint",
        "webhook_message",
        "notification_channel",
    )
    before = [await owner.fetch(f"select * from {table} order by 1") for table in tables]

    for method, template in routes:
        body = BODIES.get((method, template))
        foreign = await eve.ask(method, filled(template, ids), body)
        unknown = await eve.ask(method, filled(template, nobodys), body)

        assert foreign.status_code == unknown.status_code == 404, (method, template, foreign.text)
        assert told(foreign, ids) == told(unknown, nobodys), (method, template)
    assert len(routes) > 8
    assert [await owner.fetch(f"select * from {table} order by 1") for table in tables] == before


async def test_the_owner_gets_what_the_stranger_does_not(replica: Replica) -> None:
    """The matrix proves nothing about ids that open nothing for anybody."""
    ann = await make_person(replica, tier=Tier.PRO)
    ids = await made_by(ann, replica)
    # Reading first; then what ends an object, each once.
    for method, template in sorted(owned_routes(), key=lambda one: (one[0] == "DELETE", one)):
        if template.endswith("/events"):
            continue  # a stream that stays open: it has tests of its own
        answer = await ann.ask(method, filled(template, ids), BODIES.get((method, template)))
        assert answer.status_code not in {403, 404}, (method, template, answer.text)


async def test_lists_hold_nothing_of_a_stranger(replica: Replica) -> None:
    """Every list of an account's own things, by the reader who has none."""
    ann, eve = await make_person(replica, tier=Tier.PRO), await make_person(replica, "eve@example.org", Tier.PRO)
    ids = await made_by(ann, replica)
    lists = {template.rpartition("/{")[0] for _, template in owned_routes() if template.endswith("}")}
    assert "/v1/watchlist" in lists

    for path in lists:
        answer = await eve.ask("GET", path)
        assert answer.status_code == 200, (path, answer.text)
        assert not any(known in answer.text for known in ids.values()), path
