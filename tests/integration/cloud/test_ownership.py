"""Two accounts, every route and page that takes an id of an account's own, every method: the stranger meets nothing.

Made from the route tables. A route with a parameter that is neither shared nor made here fails the test by itself.
"""

import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import httpx
import pytest

from cloudapi.app import HANDLERS, session_cookie
from cloudapi.telling import tell_account
from cloudapi.tiers import Tier
from cloudapi.web import pages
from cloudapi.webhooks import Topic
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import KEY, make_market, make_quote
from tests.integration.cloud.subscribed import PASSWORD, Person, make_person, settings_of
from tests.integration.cloud.test_api import land

SHARED = {"market_id", "insight_id", "prediction_id", "experiment", "name", "rest"}  # the same for everybody of a tier
BODIES = {
    ("PATCH", "/v1/watchlist/{watch_id:uuid}"): {"min_move": 0.5, "min_confidence": 1},
}
# What a form of a page may ask; empty where it is a button alone.
FORMS: dict[str, tuple[dict[str, str], ...]] = {
    "/app/account/watch/{watch_id:uuid}": ({"min_move": "50", "min_confidence": "1"}, {"do": "end"}),
}
TABLES = (
    "api_key",
    "watch_entry",
    "prediction_session",
    "webhook_endpoint",
    "webhook_message",
    "notification_channel",
)

PARAMETER = re.compile(r"{(\w+):\w+}")
FRESH = re.compile(r'name="once" value="[^"]+"|Request [\w-]+')  # of a page, each time another


def owned_routes(handlers: Sequence[Any] = HANDLERS) -> list[tuple[str, str]]:
    """Method and template of each route a person may ask for an object of an account's own."""
    return sorted(
        (method, path)
        for handler in handlers
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


async def everything(owner: asyncpg.Connection) -> list[Any]:
    return [await owner.fetch(f"select * from {table} order by 1") for table in TABLES]


class Browser:
    """Somebody at the pages, signed in as a browser is."""

    def __init__(self, replica: Replica, secret: str) -> None:
        self.replica = replica
        self.headers = {"origin": replica.url, "cookie": f"{session_cookie(replica.services.settings)}={secret}"}

    async def open(self, method: str, path: str, form: dict[str, str] | None = None) -> httpx.Response:
        return await self.replica.http.request(method, path, data=form or None, headers=self.headers)


async def browser_of(replica: Replica, email: str = "ann@example.org") -> Browser:
    session = await replica.services.accounts.open_session(email, PASSWORD, network="here")
    return Browser(replica, session.secret)


def shown(answer: httpx.Response, ids: dict[str, str]) -> str:
    """What a page shows, the id that was asked for left out."""
    text = FRESH.sub("", answer.text)
    for value in ids.values():
        text = text.replace(value, "ID")
    return text


async def test_a_stranger_gets_the_404_of_what_never_was(replica: Replica, owner: asyncpg.Connection) -> None:
    """The same words as for an id nobody has, on every method, and nothing of the owner's has changed."""
    ann, eve = await make_person(replica, tier=Tier.PRO), await make_person(replica, "eve@example.org", Tier.PRO)
    ids = await made_by(ann, replica)
    nobodys = {name: str(uuid.UUID(int=7)) for name in ids}
    routes = owned_routes()
    before = await everything(owner)

    for method, template in routes:
        body = BODIES.get((method, template))
        foreign = await eve.ask(method, filled(template, ids), body)
        unknown = await eve.ask(method, filled(template, nobodys), body)

        assert foreign.status_code == unknown.status_code == 404, (method, template, foreign.text)
        assert told(foreign, ids) == told(unknown, nobodys), (method, template)
    assert len(routes) > 8
    assert await everything(owner) == before


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


async def test_a_stranger_meets_at_the_pages_what_never_was(replica: Replica, owner: asyncpg.Connection) -> None:
    """The same page as for an id nobody has, for every button; nothing of the owner's has changed."""
    ann = await make_person(replica, tier=Tier.PRO)
    await make_person(replica, "eve@example.org", Tier.PRO)
    eve = await browser_of(replica, "eve@example.org")
    ids = await made_by(ann, replica)
    nobodys = {name: str(uuid.UUID(int=7)) for name in ids}
    owned = owned_routes(pages.HANDLERS)
    before = await everything(owner)

    for method, template in owned:
        for form in FORMS.get(template, ({},)):
            foreign = await eve.open(method, filled(template, ids), form)
            unknown = await eve.open(method, filled(template, nobodys), form)

            assert foreign.status_code == unknown.status_code == 404, (method, template, form, foreign.text)
            assert shown(foreign, ids) == shown(unknown, nobodys), (method, template, form)
    assert len(owned) >= 7
    assert await everything(owner) == before


async def test_the_owners_pages_open_and_do_what_they_say(replica: Replica, owner: asyncpg.Connection) -> None:
    """As with the routes: what opens for nobody proves nothing about strangers."""
    person = await make_person(replica, tier=Tier.PRO)
    ann, ids = await browser_of(replica), await made_by(person, replica)
    before = await everything(owner)

    # Reading first; then what ends an object, each once.
    for method, template in sorted(owned_routes(pages.HANDLERS), key=lambda one: (one[1].endswith("/end"), one)):
        for form in FORMS.get(template, ({},)):
            answer = await ann.open(method, filled(template, ids), form)
            assert answer.status_code == (200 if method == "GET" else 303), (method, template, form, answer.text)
            assert not answer.headers.get("location", "").startswith("/app/sign-in"), (method, template, form)
    changed = {table for table, was, now in zip(TABLES, before, await everything(owner), strict=True) if was != now}
    assert changed == set(TABLES) - {"prediction_session"}  # which no page ends


async def test_no_page_shows_anything_of_a_stranger(replica: Replica) -> None:
    """Every page there is without an id in its address, by the reader who has nothing."""
    ann = await make_person(replica, tier=Tier.PRO)
    await make_person(replica, "eve@example.org", Tier.PRO)
    eve, ids = await browser_of(replica, "eve@example.org"), await made_by(ann, replica)
    paths = {path for each in pages.HANDLERS if "GET" in each.http_methods for path in each.paths if "{" not in path}
    hers = [*ids.values(), str(ann.account_id), "ann@example.org", "127.0.0.1:9/hook"]
    assert "/app/account/webhooks" in paths

    for path in sorted(paths):
        answer = await eve.open("GET", path)
        assert answer.status_code in {200, 303, 403, 404}, (path, answer.text)
        assert not any(known in answer.text for known in hers), path
