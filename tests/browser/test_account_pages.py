"""The account's pages as bytes: each form's whole way over the real service, by the same fields a browser sends."""

import re
import uuid

import asyncpg
import httpx
import pytest

from cloudapi.queries.accounts import set_operator
from cloudapi.tiers import Tier
from tests.browser.conftest import EMAIL, PASSWORD
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge

ROOMS = (
    "/app/account",
    "/app/account/password",
    "/app/account/keys",
    "/app/account/billing",
    "/app/account/credits",
    "/app/account/watch",
    "/app/account/webhooks",
    "/app/account/data",
)

READABLE = {"/app/account", "/app/account/credits", "/app/account/watch"}  # to a key that may only read


async def enter(replica: Replica, email: str = EMAIL, password: str = PASSWORD) -> httpx.Response:
    return await send(replica, "/app/sign-in", email=email, password=password)


async def send(replica: Replica, path: str, **fields: object) -> httpx.Response:
    """Press the button of a form of ours."""
    return await replica.http.post(path, data=fields, headers={"origin": replica.url})


def once(page: httpx.Response) -> str:
    """The number of the page's first form."""
    return re.search(r'name="once" value="([^"]+)"', page.text)[1]


@pytest.fixture
async def reader(replica: Replica, owner: asyncpg.Connection) -> Replica:
    """Somebody with a password and the best tier, in a house where nothing has landed yet."""
    await replica.services.accounts.register(EMAIL, PASSWORD)
    await owner.execute("update account set tier = $2 where email = $1", EMAIL, Tier.PRO)
    return replica


@pytest.fixture
async def signed_in(reader: Replica) -> Replica:
    assert (await enter(reader)).status_code == 303
    return reader


async def test_every_room_of_the_account_opens_for_a_person_and_needs_one(signed_in: Replica) -> None:
    """Who is not signed in is led to the door and back; a key that may only read is refused where things are made."""
    for path in ROOMS:
        assert (await signed_in.http.get(path)).status_code == 200, path
        reading = await signed_in.get(path, tier=Tier.PRO, headers={"cookie": ""})
        assert reading.status_code == (200 if path in READABLE else 403), path
    signed_in.http.cookies.clear()
    for path in ROOMS:
        answer = await signed_in.get(path, tier=None)
        assert (answer.status_code, answer.headers["location"]) == (
            303, f"/app/sign-in?{httpx.QueryParams({'next': path})}",
        ), path  # fmt: skip


async def test_a_key_is_shown_once_works_and_is_ended(signed_in: Replica) -> None:
    """The page sent twice, as by going back, makes no second key and shows none."""
    form = await signed_in.http.get("/app/account/keys")
    fields = {"label": "my script", "scopes": "read", "expires_at": "2099-01-31", "once": once(form)}
    made = await send(signed_in, "/app/account/keys", **fields)
    again = await send(signed_in, "/app/account/keys", **fields)

    key = re.search(r'value="(odds_live_[^"]+)"', made.text)[1]
    assert (await signed_in.http.get("/v1/me", headers={"authorization": f"Bearer {key}"})).status_code == 200
    assert key not in again.text
    assert "was made before" in again.text
    assert again.text.count("End it: the key my script") == 1
    assert "2099-01-31" in again.text

    ended = await send(signed_in, re.search(r"/app/account/keys/[0-9a-f-]+/end", made.text)[0])
    assert (ended.status_code, ended.headers["location"]) == (303, "/app/account/keys?said=key-ended")
    assert "The key is ended" in (await signed_in.http.get(ended.headers["location"])).text
    assert (await signed_in.http.get("/v1/me", headers={"authorization": f"Bearer {key}"})).status_code == 401


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"label": "", "scopes": "read"}, "label", "is needed"),
        ({"label": "x" * 101, "scopes": "read"}, "label", "at most 100"),
        ({"label": "x"}, "scopes", "choose one at least"),
        ({"label": "x", "scopes": "read", "requests_per_minute": "0"}, "rpm", "must be 1 or more"),
        ({"label": "x", "scopes": "read", "requests_per_minute": "many"}, "rpm", "is no number"),
        ({"label": "x", "scopes": "read", "expires_at": "soon"}, "ends", "is no day"),
        ({"label": "x", "scopes": "read", "expires_at": "2001-01-01"}, "ends", "in the past"),
    ],
)
async def test_a_fault_stands_beside_its_field_and_what_was_typed_stays(
    signed_in: Replica, fields: dict[str, str], field: str, said: str
) -> None:
    """Nobody types a form twice to find out what was wrong with it."""
    answer = await send(signed_in, "/app/account/keys", **fields)

    assert answer.status_code == 422
    told = re.search(rf'id="{field}-fault">([^<]*)<', answer.text)
    assert told is not None, answer.text
    assert said in told[1]
    assert f'aria-describedby="{field}-fault"' in answer.text
    assert f'name="label" value="{fields["label"]}"' in answer.text


async def test_the_password_is_changed_with_the_old_one_and_every_login_ends(signed_in: Replica) -> None:
    """A wrong old one is told, and no password ever comes back in a page."""
    path, new = "/app/account/password", "another long pass phrase"
    wrong = await send(signed_in, path, old_password="not it", new_password=new)
    weak = await send(signed_in, path, old_password=PASSWORD, new_password="readerreader")
    changed = await send(signed_in, path, old_password=PASSWORD, new_password=new)

    assert (wrong.status_code, 'id="old-fault">this is not your password' in wrong.text) == (401, True)
    assert (weak.status_code, "contains your e-mail name" in weak.text) == (422, True)
    assert new not in wrong.text
    assert (changed.status_code, changed.headers["location"]) == (303, "/app/sign-in?said=password")
    assert (await signed_in.http.get("/app/account")).headers["location"].startswith("/app/sign-in")
    assert "every login has ended" in (await signed_in.http.get("/app/sign-in?said=password")).text
    assert (await enter(signed_in)).status_code == 401
    assert (await enter(signed_in, password=new)).status_code == 303


async def test_something_is_followed_changed_and_left_and_the_mail_is_set(signed_in: Replica) -> None:
    """Points on the page are shares in the API; a fault of one entry stands in that entry."""
    path = "/app/account/watch"
    begin = await signed_in.http.get(path)
    assert 'class="empty"' in begin.text
    fields = {"kind": "category", "subject": "Weather", "min_move": "7.5", "min_confidence": "70", "once": once(begin)}
    assert (await send(signed_in, path, **fields)).status_code == 303
    (entry,) = (await signed_in.http.get("/v1/watchlist")).json()["data"]
    assert (entry["subject"], entry["min_move"], entry["min_confidence"]) == ("Weather", 0.075, 70)

    twice = await send(signed_in, path, **fields | {"once": "another"})
    assert (twice.status_code, "You follow this already" in twice.text) == (409, True)
    far = await send(signed_in, f"{path}/{entry['watch_id']}", min_move="250", min_confidence="70")
    assert (far.status_code, f'id="move-{entry["watch_id"]}-fault"' in far.text) == (422, True)
    assert (await send(signed_in, f"{path}/{entry['watch_id']}", min_move="2", min_confidence="5")).status_code == 303
    assert (await signed_in.http.get("/v1/watchlist")).json()["data"][0]["min_move"] == 0.02
    gone = await send(signed_in, f"{path}/{entry['watch_id']}", do="end", min_move="", min_confidence="")
    assert gone.headers["location"] == f"{path}?said=unwatched"
    assert (await signed_in.http.get("/v1/watchlist")).json()["data"] == []

    nowhere = await send(signed_in, f"{path}/mail", is_on="yes", hour="7", time_zone="Mars/Olympus")
    assert (nowhere.status_code, 'id="zone-fault">unknown zone' in nowhere.text) == (422, True)
    assert (await send(signed_in, f"{path}/mail", is_on="yes", hour="7", time_zone="Europe/Berlin")).is_redirect
    assert (await signed_in.http.get("/v1/mail")).json()["is_on"] is True
    assert (await send(signed_in, f"{path}/mail", hour="7", time_zone="Europe/Berlin")).is_redirect
    assert (await signed_in.http.get("/v1/mail")).json()["is_on"] is False


async def test_an_endpoint_shows_its_secret_once_and_a_channel_never_its_address(signed_in: Replica) -> None:
    """What verifies messages is copied or lost; an address is nobody's to read again."""
    path = "/app/account/webhooks"
    fields = {"url": "https://example.org/hook", "topics": ["insight", "session"]}
    fields |= {"once": once(await signed_in.http.get(path))}
    made, again = await send(signed_in, path, **fields), await send(signed_in, path, **fields)
    assert "whsec_" in made.text
    assert ("whsec_" in again.text, "was made before" in again.text) == (False, True)
    inside = await send(signed_in, path, url="https://127.0.0.1/hook", topics="insight")
    assert (inside.status_code, 'id="url-fault"' in inside.text) == (422, True)

    (endpoint,) = (await signed_in.http.get("/v1/webhooks")).json()["data"]
    own = f"{path}/{endpoint['endpoint_id']}"
    assert "No message" in (await signed_in.http.get(own)).text
    assert "Nothing was given up" in (await signed_in.http.get(f"{own}?dead=true")).text
    assert (await signed_in.http.get(f"{path}/{uuid.uuid4()}")).status_code == 404
    assert (await send(signed_in, f"{own}/end")).headers["location"] == f"{path}?said=webhook-ended"
    assert (await signed_in.http.get("/v1/webhooks")).json()["data"] == []

    channel = {"kind": "ntfy", "topics": "insight", "per_hour": "5", "watched_only": "yes"}
    short = await send(signed_in, "/app/account/channels", **channel, address="abc")
    assert (short.status_code, 'id="address-fault"' in short.text, 'value="abc"' in short.text) == (422, True, False)
    assert (await send(signed_in, "/app/account/channels", **channel, address="a-topic-nobody-guesses")).is_redirect
    shown = await signed_in.http.get(path)
    assert "a-topic-nobody-guesses" not in shown.text
    ended = await send(signed_in, re.search(r"/app/account/channels/[0-9a-f-]+/end", shown.text)[0])
    assert ended.headers["location"] == f"{path}?said=channel-ended"


async def test_a_message_that_was_given_up_is_sent_again_from_its_page(
    signed_in: Replica, owner: asyncpg.Connection
) -> None:
    """The dead letter is for the reader to empty."""
    path = "/app/account/webhooks"
    await send(signed_in, path, url="https://example.org/hook", topics="insight", once="n-1")
    endpoint_id = await owner.fetchval(
        "insert into webhook_message (message_id, endpoint_id, account_id, topic, event_ref, body, state, n_attempts)"
        " select gen_random_uuid(), endpoint_id, account_id, 'insight', 'ins-1', '{}', 'dead', 10 from webhook_endpoint"
        " returning endpoint_id"
    )
    page = await signed_in.http.get(f"{path}/{endpoint_id}?dead=true")
    sent = await send(signed_in, re.search(r"/app/account/webhooks/[0-9a-f-]+/messages/[0-9a-f-]+", page.text)[0])

    assert sent.headers["location"] == f"{path}/{endpoint_id}?said=again"
    assert await owner.fetchval("select state from webhook_message") == "pending"


async def test_webhooks_of_a_tier_that_has_none_say_which_has(reader: Replica, owner: asyncpg.Connection) -> None:
    """No form that can only be refused."""
    await owner.execute("update account set tier = 'premium' where email = $1", EMAIL)
    await enter(reader)

    page = await reader.http.get("/app/account/webhooks")
    refused = await send(reader, "/app/account/webhooks", url="https://example.org/hook", topics="insight")

    assert ("part of pro" in page.text, 'name="url"' in page.text) == (True, False)
    assert refused.status_code == 403


async def test_credits_are_told_with_the_ledger_they_come_from(signed_in: Replica) -> None:
    """The month's grant is booked by looking; each booking has its name and the balance after it."""
    page = await signed_in.http.get("/app/account/credits")
    told = (await signed_in.http.get("/v1/credits")).json()

    assert f'<span class="big">{told["balance"]}</span>' in page.text
    assert "month:" in page.text
    assert f"+{told['entries'][0]['amount']}" in page.text


async def test_an_account_is_taken_along_and_then_deleted_by_its_sentence(signed_in: Replica) -> None:
    """Not by accident, and the browser holds no session afterwards."""
    page = await signed_in.http.get("/app/account/data")
    export = await signed_in.http.get(re.search(r'href="(/v1/account/export)"', page.text)[1])
    assert ("attachment" in export.headers["content-disposition"], EMAIL in export.text) == (True, True)

    unsure = await send(signed_in, "/app/account/data/delete", confirm="yes")
    assert (unsure.status_code, 'id="confirm-fault"' in unsure.text) == (422, True)
    assert "account exported" in unsure.text
    gone = await send(signed_in, "/app/account/data/delete", confirm="delete my account")
    assert (gone.status_code, gone.headers["location"]) == (303, "/?said=deleted")
    assert "Max-Age=0" in gone.headers["set-cookie"]
    assert (await enter(signed_in)).status_code == 401


async def test_somebody_registers_signs_in_and_nobody_learns_who_was_there(replica: Replica) -> None:
    """The same answer for a new e-mail and a known one; a weak password is told beside its field."""
    weak = await send(replica, "/app/register", email="new@example.org", password="short")
    assert (weak.status_code, 'id="password-fault"' in weak.text) == (422, True)
    assert 'name="email" value="new@example.org"' in weak.text
    assert "short" not in re.sub(r"<style.*?</style>", "", weak.text)
    first = await send(replica, "/app/register", email="new@example.org", password=PASSWORD)
    known = await send(replica, "/app/register", email="new@example.org", password="a different pass phrase")
    assert {(a.status_code, a.headers["location"], a.headers.get("set-cookie")) for a in (first, known)} == {
        (303, "/app/sign-in?said=registered", None)
    }
    foreign = await replica.http.post(
        "/app/register",
        data={"email": "b@example.org", "password": PASSWORD},
        headers={"origin": "https://elsewhere.example"},
    )
    assert foreign.status_code == 403
    assert (await enter(replica, "new@example.org")).status_code == 303
    assert "basic" in (await replica.http.get("/app/account")).text


async def test_a_service_that_takes_no_registrations_says_so(start_replica) -> None:
    """No form that leads nowhere, and none behind the link."""
    replica = await start_replica(registration=False)

    page = await replica.http.get("/app/register")
    tried = await send(replica, "/app/register", email="b@example.org", password=PASSWORD)

    assert ("takes no registrations" in page.text, 'name="password"' in page.text) == (True, False)
    assert tried.status_code == 403
    assert "/app/register" not in (await replica.http.get("/app/sign-in")).text


async def test_a_lock_out_says_how_long_and_what_still_works(reader: Replica) -> None:
    """The right password is of no use before the time is over, so the page must say so."""
    for _ in range(5):
        assert (await enter(reader, password="a guess")).status_code == 401
    locked = await enter(reader)

    assert locked.status_code == 429
    wait_s = int(locked.headers["retry-after"])
    assert 0 < wait_s <= 30
    assert f"wait {wait_s} s" in locked.text
    assert "not looked at before then" in locked.text
    assert EMAIL in locked.text


async def test_a_form_of_an_ended_session_leads_to_the_door_and_says_that_nothing_was_done(signed_in: Replica) -> None:
    """A form left open over night must not seem to have worked."""
    signed_in.http.cookies.clear()
    answer = await send(signed_in, "/app/account/keys", label="x", scopes="read")

    assert answer.headers["location"] == "/app/sign-in?said=ended&next=%2Fapp%2Faccount"
    assert "nothing was done" in (await signed_in.http.get(answer.headers["location"])).text


async def test_a_form_from_another_site_does_nothing_in_any_room(signed_in: Replica) -> None:
    """The session alone is not enough: whoever sends it must be a page of ours."""
    for path in ("/app/account/keys", "/app/account/watch", "/app/account/webhooks", "/app/account/data/delete"):
        for origin in ("https://elsewhere.example", "null"):
            answer = await signed_in.http.post(
                path, data={"label": "x", "scopes": "read", "confirm": "delete my account"}, headers={"origin": origin}
            )
            assert answer.status_code == 403, path
    assert (await signed_in.http.get("/v1/api-keys")).json()["data"] == []


async def test_edges_are_told_to_operators_alone(signed_in: Replica, owner: asyncpg.Connection, edge: HandEdge) -> None:
    """When it was seen, what waits there, how it says it is; nobody else learns that there is such a page."""
    refused = await signed_in.http.get("/app/edges")
    assert (refused.status_code, "for operators" in refused.text) == (403, True)
    assert "/app/edges" not in (await signed_in.http.get("/app/account")).text

    assert await set_operator(owner, EMAIL, is_operator=True)
    silent = await signed_in.http.get("/app/edges")
    await edge.connection.execute(
        "select edge_tell('home', 'degraded', 'degraded · 1,234 pending', 1234, now() - interval '1 hour')"
    )
    told = await signed_in.http.get("/app/edges")

    assert "/app/edges" in (await signed_in.http.get("/app/account")).text
    assert (silent.status_code, told.status_code) == (200, 200)
    assert "1,234 rows" in told.text
    assert ">degraded<" in told.text
    (host,) = [one for one in (await signed_in.http.get("/v1/edges")).json()["data"] if one["host_id"] == "home"]
    assert (host["pending_rows"], host["level"], host["on_duty"]) == (1234, "degraded", False)


async def test_an_edge_that_fell_silent_is_told_in_red(
    signed_in: Replica, owner: asyncpg.Connection, edge: HandEdge
) -> None:
    """Its last word was ok; that is no news any more."""
    await set_operator(owner, EMAIL, is_operator=True)
    await edge.connection.execute("select edge_tell('home', 'ok', 'ok', 0, null)")
    await owner.execute("update edge_host set last_seen_at = now() - interval '1 day'")
    await owner.execute("update edge_standing set told_at = now() - interval '1 day'")
    await owner.execute("delete from edge_batch")

    page = await signed_in.http.get("/app/edges")

    assert ">silent<" in page.text
    assert "It said last: ok." in page.text


@pytest.mark.parametrize("path", ["/app/nothing", "/app/predictions/prd-1/nothing", "/app/account/keys/nothing/end"])
async def test_an_unknown_address_is_a_page_of_the_house_with_the_requests_id(signed_in: Replica, path: str) -> None:
    """A cut-off link must not end in JSON."""
    answer = await signed_in.http.get(path)

    assert answer.status_code == 404 if path != "/app/account/keys/nothing/end" else answer.status_code in {404, 405}
    assert answer.headers["content-type"].startswith("text/html")
    assert f"Request {answer.headers['x-request-id']}" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert (await signed_in.http.get("/nothing")).headers["content-type"] == "application/problem+json"


async def test_too_many_requests_and_a_database_that_is_away_are_pages_that_say_when(
    signed_in: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the time to come back, the request's id, and a way to try again."""

    async def away(*_: object, **__: object) -> object:
        raise ConnectionRefusedError("the server is restarting")

    with monkeypatch.context() as patched:
        patched.setattr(type(signed_in.services.pool), "fetch", away)
        patched.setattr(type(signed_in.services.pool), "fetchrow", away)
        gone = await signed_in.http.get("/app/account/watch")
    assert (gone.status_code, gone.headers["retry-after"], "Try again" in gone.text) == (503, "5", True)
    assert f"Request {gone.headers['x-request-id']}" in gone.text

    async def full(*_: object, **__: object) -> None:
        from cloudapi.errors import RateLimited

        raise RateLimited("The limit of this minute is reached.", retry_after_s=17)

    monkeypatch.setattr(type(signed_in.services.limiter), "hit", full)
    limited = await signed_in.http.get("/app/insights")
    assert (limited.status_code, "Come back in 17 seconds" in limited.text) == (429, True)


async def test_what_is_too_long_is_refused_and_never_cut(signed_in: Replica) -> None:
    """An endpoint at an address that was cut off would be one nobody has."""
    path = "/app/account/webhooks"
    fields = {"topics": "insight", "once": "n-1"}

    answer = await send(signed_in, path, url="https://example.org/" + "a" * 3000, **fields)

    assert (answer.status_code, 'id="url-fault">at most 2000' in answer.text) == (422, True)
    assert (await signed_in.http.get("/v1/webhooks")).json()["data"] == []


async def test_a_sign_no_database_holds_is_refused_in_words(signed_in: Replica) -> None:
    """A NUL is text to a browser, and none to PostgreSQL."""
    fields = {"kind": "keyword", "subject": "ra\0in", "min_move": "5", "min_confidence": "60", "once": "n-1"}

    answer = await send(signed_in, "/app/account/watch", **fields)

    assert answer.status_code == 422
    for path in ("/app/markets?q=ra%00in", "/app/markets/ra%00in", "/v1/markets?q=ra%00in", "/v1/markets/ra%00in"):
        assert (await signed_in.http.get(path)).status_code in {404, 422}, path


async def test_a_page_refused_for_another_reason_than_the_tier_sends_nobody_to_the_tiers(signed_in: Replica) -> None:
    """No tier opens what is for operators, or what a key may not."""
    refused = await signed_in.http.get("/app/edges")

    assert refused.status_code == 403
    assert "What each tier reads" not in refused.text
    assert (
        "What each tier reads"
        in (await signed_in.get("/app/predictions", tier=Tier.BASIC, headers={"cookie": ""})).text
    )
