"""People over HTTP: registering, logging in, staying in, being thrown out; keys they make; what strangers see."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import jwt
import pytest

from cloudapi.accounts import ACCOUNT_FREE, normal_email
from cloudapi.app import session_cookie
from cloudapi.errors import Invalid
from cloudapi.queries import accounts, logins
from cloudapi.queries.accounts import revoke_key, set_tier
from cloudapi.tiers import Tier
from cloudapi.tokens import ALGORITHM, AUDIENCE, ISSUER
from tests.integration.cloud.conftest import Replica

EMAIL, PASSWORD = "reader@example.org", "four random words here"
GOOD = {"email": EMAIL, "password": PASSWORD}


class Person:
    """Somebody with tokens."""

    def __init__(self, replica: Replica, tokens: dict[str, str]) -> None:
        self.replica = replica
        self.tokens = tokens

    async def ask(self, method: str, path: str, *, replica: Replica | None = None, **options: object) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.tokens['access_token']}"} | dict(options.pop("headers", {}))
        return await (replica or self.replica).http.request(method, path, headers=headers, **options)

    async def make_key(self, **changes: object) -> httpx.Response:
        key = str(changes.pop("request_key", uuid.uuid4()))
        wanted = {"label": "laptop"} | changes
        return await self.ask("POST", "/v1/api-keys", json=wanted, headers={"idempotency-key": key})


async def come_in(replica: Replica, email: str = EMAIL) -> Person:
    known = {"email": email, "password": PASSWORD}
    assert (await replica.http.post("/v1/auth/register", json=known)).status_code == 202
    answer = await replica.http.post("/v1/auth/login", json=known)
    assert answer.status_code == 200, answer.text
    return Person(replica, answer.json())


async def test_who_registers_can_log_in_and_read(replica: Replica) -> None:
    """The whole way in: an account, tokens, an answer; on the lowest tier."""
    person = await come_in(replica, " Reader@Example.org ")

    me = (await person.ask("GET", "/v1/me")).json()

    assert (me["email"], me["tier"], me["scopes"]) == (EMAIL, "basic", ["manage", "read"])
    assert person.tokens["expires_in"] == 1800
    assert (await person.ask("GET", "/v1/markets")).status_code == 200


async def test_nobody_learns_which_emails_have_accounts(replica: Replica) -> None:
    """Registering twice and logging in wrongly answer the same for those who exist and those who do not."""
    await come_in(replica)
    again = await replica.http.post("/v1/auth/register", json=GOOD | {"password": "another long password"})
    fresh = await replica.http.post("/v1/auth/register", json={"email": "new@example.org", "password": PASSWORD})
    wrong = await replica.http.post("/v1/auth/login", json=GOOD | {"password": "another long password"})
    nobody = await replica.http.post("/v1/auth/login", json={"email": "no@example.org", "password": PASSWORD})

    assert (again.status_code, again.content) == (fresh.status_code, fresh.content)
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json()["detail"] == nobody.json()["detail"]
    assert (await replica.http.post("/v1/auth/login", json=GOOD)).status_code == 200  # the first password stands


@pytest.mark.parametrize(
    "body",
    [
        {"email": EMAIL, "password": "short"},
        {"email": EMAIL, "password": "aaaaaaaaaaaaaaaa"},
        {"email": EMAIL, "password": "my reader password"},
        {"email": "nobody", "password": PASSWORD},
        {"email": EMAIL},
        GOOD | {"tier": "pro"},
    ],
)
async def test_weak_passwords_and_odd_bodies_are_refused(replica: Replica, body: dict[str, str]) -> None:
    """What is guessed first, what is no address, and fields that would make one more than one is."""
    answer = await replica.http.post("/v1/auth/register", json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_refresh_token_works_once_and_its_second_use_ends_the_login(
    start_replica: Callable[..., Awaitable[Replica]],
) -> None:
    """One of two users of a token is a thief: both lose the login, access tokens on every replica included."""
    first, second = await start_replica(jwt_secret="x" * 32), await start_replica(jwt_secret="x" * 32)
    person = await come_in(first)
    stolen = person.tokens["refresh_token"]
    renewed = await second.http.post("/v1/auth/refresh", json={"refresh_token": stolen})
    assert renewed.status_code == 200
    person.tokens = renewed.json()
    assert (await person.ask("GET", "/v1/me", replica=second)).status_code == 200

    replayed = await first.http.post("/v1/auth/refresh", json={"refresh_token": stolen})

    assert replayed.status_code == 401
    async with asyncio.timeout(2):
        for replica in (first, second):
            while (await person.ask("GET", "/v1/me", replica=replica)).status_code != 401:
                await asyncio.sleep(0.01)
    assert (await first.http.post("/v1/auth/refresh", json={"refresh_token": person.tokens["refresh_token"]})).is_error


async def _said_to_nobody(*_: object) -> None:
    """The word to the other replicas, still on its way."""


async def test_logging_out_ends_access_at_once(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an hour of a stolen token after logging out would be too long, and a moment too: out means out."""
    person, other = await come_in(replica), await come_in(replica, "other@example.org")
    monkeypatch.setattr(logins, "announce", _said_to_nobody)
    assert [(await each.ask("GET", "/v1/me")).status_code for each in (person, other)] == [200, 200]

    assert (await person.ask("POST", "/v1/auth/logout")).status_code == 204

    assert [(await each.ask("GET", "/v1/me")).status_code for each in (person, other)] == [401, 200]
    refreshed = await replica.http.post("/v1/auth/refresh", json={"refresh_token": person.tokens["refresh_token"]})
    assert refreshed.status_code == 401


async def test_a_key_taken_back_by_its_owner_opens_nothing_from_the_answer_on(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await come_in(replica)
    made = (await person.make_key()).json()
    monkeypatch.setattr(accounts, "announce", _said_to_nobody)
    with_key = {"authorization": f"Bearer {made['key']}"}
    assert (await replica.http.get("/v1/markets", headers=with_key)).status_code == 200

    assert (await person.ask("DELETE", f"/v1/api-keys/{made['key_id']}")).status_code == 204

    assert (await replica.http.get("/v1/markets", headers=with_key)).status_code == 401


async def test_changed_password_ends_every_login(replica: Replica) -> None:
    """It is changed because somebody else may be in."""
    person, other = await come_in(replica), await come_in(replica)
    change = {"old_password": PASSWORD, "new_password": "quite another sentence"}
    refused = await person.ask("POST", "/v1/auth/password", json=change | {"old_password": "not the password"})

    assert (await person.ask("POST", "/v1/auth/password", json=change)).status_code == 204

    assert refused.status_code == 401
    async with asyncio.timeout(2):
        while (await other.ask("GET", "/v1/me")).status_code != 401:
            await asyncio.sleep(0.01)
    assert (await replica.http.post("/v1/auth/login", json=GOOD)).status_code == 401


async def test_parallel_guesses_get_no_further_than_the_limit(
    start_replica: Callable[..., Awaitable[Replica]],
) -> None:
    """Counted before the password is looked at: thirty at once on two replicas are five looks and one lock."""
    replicas = [await start_replica(), await start_replica()]
    await come_in(replicas[0])
    wrong = GOOD | {"password": "not the right password"}

    answers = await asyncio.gather(
        *(replica.http.post("/v1/auth/login", json=wrong) for replica in replicas for _ in range(8))
    )

    assert sorted(answer.status_code for answer in answers) == [401] * ACCOUNT_FREE + [429] * (16 - ACCOUNT_FREE)
    locked = await replicas[1].http.post("/v1/auth/login", json=GOOD)
    assert locked.status_code == 429
    assert 1 <= int(locked.headers["retry-after"]) <= 31


async def test_network_that_guesses_over_many_accounts_is_locked_out(replica: Replica) -> None:
    """One common password over a list of e-mails: no account is guessed twice, the network is what repeats."""
    answers = []
    for number in range(24):
        body = {"email": f"person{number}@example.org", "password": "correct horse battery"}
        answers.append((await replica.http.post("/v1/auth/login", json=body)).status_code)

    assert answers[:20] == [401] * 20
    assert answers[20:] == [429] * 4


async def test_forged_tokens_open_nothing(start_replica: Callable[..., Awaitable[Replica]]) -> None:
    """No algorithm, another algorithm, another audience, expired, not yet valid, another secret."""
    replica = await start_replica(jwt_secret="s" * 40)
    person = await come_in(replica)
    token = person.tokens["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    kid = jwt.get_unverified_header(token)["kid"]
    key = replica.services.ring._tokens._keys[kid]
    now = datetime.now(UTC)

    def signed(key: bytes | None = key, algorithm: str = ALGORITHM, **changes: object) -> str:
        return jwt.encode(claims | changes, key, algorithm=algorithm, headers={"kid": kid})

    assert (claims["iss"], claims["aud"]) == (ISSUER, AUDIENCE)
    assert "tier" not in claims
    forged = [
        signed(None, "none"),
        signed(key * 2, "HS512"),
        signed(b"another secret of enough length!"),
        signed(aud="another-api"),
        signed(iss="somebody"),
        signed(exp=now - timedelta(minutes=1)),
        signed(nbf=now + timedelta(minutes=5)),
        signed(sub="no login"),
        signed(sub=str(uuid.uuid4())),
        token[:-4] + "AAAA",
    ]
    for forgery in forged:
        person.tokens = {"access_token": forgery}
        assert (await person.ask("GET", "/v1/me")).status_code == 401, forgery
    person.tokens = {"access_token": signed()}
    assert (await person.ask("GET", "/v1/me")).status_code == 200


async def test_secret_can_be_changed_without_logging_anybody_out(
    start_replica: Callable[..., Awaitable[Replica]],
) -> None:
    """During a rotation both secrets are live."""
    person = await come_in(await start_replica(jwt_secret="a" * 32))
    during = await start_replica(jwt_secret="b" * 32, jwt_secret_before="a" * 32)
    after = await start_replica(jwt_secret="b" * 32)

    assert (await person.ask("GET", "/v1/me", replica=during)).status_code == 200
    assert (await person.ask("GET", "/v1/me", replica=after)).status_code == 401


async def test_changed_tier_takes_effect_at_once(owner: asyncpg.Connection, replica: Replica) -> None:
    """The tier is the account's row, whatever was remembered of it."""
    person = await come_in(replica)
    assert (await person.ask("GET", "/v1/predictions")).status_code == 403

    assert await set_tier(owner, EMAIL, Tier.PREMIUM)

    async with asyncio.timeout(2):
        while (await person.ask("GET", "/v1/predictions")).status_code != 200:
            await asyncio.sleep(0.01)
    assert not await set_tier(owner, "nobody@example.org", Tier.PRO)


# ---------------------------------------------------------------- keys


async def test_key_is_shown_once_listed_by_prefix_and_ended(replica: Replica) -> None:
    """Made, used, listed without its secret, deleted; then it opens nothing."""
    person = await come_in(replica)
    made = await person.make_key(label="script", requests_per_minute=10)
    key = made.json()["key"]
    bearer = {"authorization": f"Bearer {key}"}

    used = await replica.http.get("/v1/me", headers=bearer)
    (listed,) = (await person.ask("GET", "/v1/api-keys")).json()["data"]
    managed = await replica.http.get("/v1/api-keys", headers=bearer)
    gone = await person.ask("DELETE", f"/v1/api-keys/{listed['key_id']}")

    assert (made.status_code, used.status_code, managed.status_code, gone.status_code) == (201, 200, 403, 204)
    assert listed["prefix"] == key[:18]
    assert key not in str(listed)
    assert used.json()["scopes"] == ["read"]
    async with asyncio.timeout(2):
        while (await replica.http.get("/v1/me", headers=bearer)).status_code != 401:
            await asyncio.sleep(0.01)
    assert (await person.ask("DELETE", f"/v1/api-keys/{listed['key_id']}")).status_code == 404


async def test_repeated_creation_makes_one_key_and_keeps_no_secret(owner: asyncpg.Connection, replica: Replica) -> None:
    """A lost answer is asked for again: the same key by prefix, but its secret is nowhere to be had."""
    person = await come_in(replica)
    first = (await person.make_key(request_key="again")).json()
    second = await person.make_key(request_key="again")
    other = await person.make_key(request_key="again", label="something else")
    parallel = await asyncio.gather(*(person.make_key(request_key="at once") for _ in range(6)))

    assert (second.status_code, second.headers["idempotent-replayed"]) == (201, "true")
    assert second.json() == first | {"key": None}
    assert other.status_code == 422
    assert {answer.status_code for answer in parallel} <= {201, 409}
    assert len({answer.json()["prefix"] for answer in parallel if answer.status_code == 201}) == 1
    assert await owner.fetchval("select count(*) from api_key where label = 'laptop'") == 2
    dump = "".join(str(tuple(row)) for row in await owner.fetch("select * from idempotency_key"))
    assert first["key"] not in dump
    assert (await person.ask("POST", "/v1/api-keys", json={"label": "x"})).status_code == 422


async def test_an_account_has_ten_keys_at_most(replica: Replica) -> None:
    """Also where the last two are asked for at once; and none may deliver as an edge."""
    person = await come_in(replica)
    for _ in range(9):
        assert (await person.make_key()).status_code == 201

    last = await asyncio.gather(*(person.make_key() for _ in range(4)))

    assert sorted(answer.status_code for answer in last) == [201, 409, 409, 409]
    assert (await person.make_key(scopes=["ingest"])).status_code == 422
    assert (await person.make_key(expires_at="2020-01-01T00:00:00Z")).status_code == 422
    zoneless = await person.make_key(expires_at="2099-01-01T00:00:00")
    assert (zoneless.status_code, zoneless.json()["errors"][0]["pointer"]) == (422, "/body/expires_at")


@pytest.mark.parametrize("ended_by", ["operator", "owner"])
async def test_a_session_opened_with_a_key_ends_with_the_key(
    owner: asyncpg.Connection, start_replica: Callable[..., Awaitable[Replica]], ended_by: str
) -> None:
    """Whoever takes a key back means everything it opened, in every browser and on every replica."""
    replicas = [await start_replica(), await start_replica()]
    person = await come_in(replicas[0])
    made = (await person.make_key(scopes=["read", "manage"])).json()
    origin = {"origin": replicas[0].url}
    signed_in = await replicas[0].http.post("/app/sign-in", data={"key": made["key"]}, headers=origin)
    cookie = {"cookie": f"{session_cookie(replicas[0].services.settings)}={signed_in.cookies.popitem()[1]}"}
    for replica in replicas:
        replica.http.cookies.clear()
        assert (await replica.http.get("/v1/me", headers=cookie)).status_code == 200

    if ended_by == "operator":
        assert await revoke_key(owner, made["prefix"])
    else:
        assert (await person.ask("DELETE", f"/v1/api-keys/{made['key_id']}")).status_code == 204

    async with asyncio.timeout(2):
        for replica in replicas:
            while (await replica.http.get("/v1/me", headers=cookie)).status_code != 401:
                await asyncio.sleep(0.01)
    assert (await person.ask("GET", "/v1/me")).status_code == 200


async def test_dump_of_the_database_logs_nobody_in(owner: asyncpg.Connection, replica: Replica) -> None:
    """Passwords, refresh tokens and sessions are kept as hashes only."""
    person = await come_in(replica)
    session = await replica.services.accounts.open_session(EMAIL, PASSWORD, network="here")
    tables = ("account", "account_login", "refresh_token", "login_failure")
    dump = "".join([str(tuple(row)) for table in tables for row in await owner.fetch(f"select * from {table}")])

    for secret in (PASSWORD, person.tokens["refresh_token"], person.tokens["access_token"], session.secret):
        assert secret not in dump
    assert "$argon2id$" in dump


async def test_browser_session_reads_but_writes_from_our_own_pages_only(replica: Replica) -> None:
    """A page elsewhere can make a browser send the cookie; it cannot make it say where it comes from."""
    await come_in(replica)
    session = await replica.services.accounts.open_session(EMAIL, PASSWORD, network="here")
    cookie = {"cookie": f"other=1; {session_cookie(replica.services.settings)}={session.secret}"}
    host = replica.url.removeprefix("http://")
    wanted = {"json": {"label": "x"}}

    async def post(**headers: str) -> int:
        sent = cookie | {"idempotency-key": "k"} | headers
        return (await replica.http.post("/v1/api-keys", headers=sent, **wanted)).status_code

    assert (await replica.http.get("/v1/me", headers=cookie)).status_code == 200
    assert await post() == 403
    assert await post(origin="https://evil.example") == 403
    assert await post(origin=f"http://{host}") == 201


@pytest.mark.parametrize("text", ["", "@", "a@", "@b.c", "a@b", "a@b@c.d", "a b@c.d", "a@b.c\0", "a@b..c", "a@[b.c"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """It would be an account nobody can be written to."""
    with pytest.raises(Invalid):
        normal_email(text)


@pytest.mark.parametrize(
    "text", ["x<a@b.c", "x:a@b.c", "(x)a@b.c", "a,x@b.c", "a;x@b.c", '"x"@b.c', "=?utf-8?q?a?=@b.c"]
)
def test_an_address_that_a_header_reads_as_another_is_refused(text: str) -> None:
    """Its mails would go to somebody who never asked, or its header could not be written at all."""
    with pytest.raises(Invalid):
        normal_email(text)


@pytest.mark.parametrize("text", ["ü@b.c", "a@ü.org"])
def test_an_address_beyond_ascii_is_refused(text: str) -> None:
    """Without SMTPUTF8 no mail server takes it."""
    with pytest.raises(Invalid):
        normal_email(text)


@pytest.mark.parametrize("text", ["A.b+c_d@Example.org", "o'hara@x-y.co.uk", "1=2@xn--tda.org"])
def test_an_address_people_have_is_taken(text: str) -> None:
    """A rule stricter than mail servers' would keep people out."""
    assert normal_email(f" {text} ") == text.lower()
