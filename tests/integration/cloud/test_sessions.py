"""Predictions on demand through the API: charged once, followed by polling and as events, refunded where they fail."""

import asyncio
import itertools
import json
import uuid
from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.sessions import moves
from cloudapi.flags import Flag, set_flag
from cloudapi.keys import prefix_of
from cloudapi.queries.accounts import revoke_key
from cloudapi.queries.sessions import compare_shadows, load_figures
from cloudapi.routes import sessions as routes
from cloudapi.sessions import recover
from cloudapi.tiers import ENTITLEMENTS, Tier
from sync.records import SessionState
from tests.integration.cloud.made import KEY, NOW, make_market, make_prediction, make_session_step
from tests.integration.cloud.test_commands import run

SMALL, LARGE = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
PATH = "/v1/prediction-sessions"
S = SessionState


@pytest.fixture
async def market(edge):
    """An open market the cloud knows."""
    await edge.hello()
    await edge.send([make_market()])


@pytest.fixture
async def edge_side(dsns):
    """The edge's login, for what comes down."""
    connection = await asyncpg.connect(dsns[1])
    yield EdgeSide(connection)
    await connection.close(timeout=5)


class EdgeSide:
    """An edge's half of a session, by hand."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def attend(self, ttl_s: int = 60) -> None:
        await self._connection.fetchval("select edge_attend('home', false, $1)", ttl_s)

    async def lease(self, lease_s: int = 300) -> list[dict]:
        text = await self._connection.fetchval("select edge_lease('home', '{session}', 10, $1)::text", lease_s)
        return json.loads(text)

    async def answer(self, request: dict, state: str = "done", reason: str | None = None) -> str:
        return await self._connection.fetchval(
            "select edge_complete($1, $2, $3, null)", uuid.UUID(request["request_id"]), state, reason
        )


async def ask(replica, *, tier=Tier.PREMIUM, key=None, models=(SMALL,), market_key=KEY, path=PATH) -> httpx.Response:
    body = {"market_key": market_key, "models": list(models)} if path == PATH else {"market_key": market_key}
    headers = {"authorization": f"Bearer {replica.keys[tier]}", "idempotency-key": key or uuid.uuid4().hex}
    return await replica.http.post(path, json=body, headers=headers)


def step(session: dict, state: S, *, model=SMALL, **over):
    return make_session_step(
        step_id=uuid.uuid4().hex, session_id=session["session_id"], model=model, state=state, **over
    )


async def balance(replica, tier=Tier.PREMIUM) -> int:
    return (await replica.get("/v1/credits", tier=tier)).json()["balance"]


async def test_a_session_goes_from_asking_to_forecast(replica, market, edge, edge_side):
    """Accepted at once, leased, moved by the edge's steps, ended with its forecasts; one credit gone."""
    accepted = await ask(replica)
    session = accepted.json()
    assert (accepted.status_code, session["state"], session["credits_left"]) == (202, "QUEUED", 19)

    (request,) = await edge_side.lease()
    assert request["body"] == {"session_id": session["session_id"], "market_key": KEY, "models": [SMALL]}
    await edge.send([step(session, S.RESEARCHING)])
    under_way = (await replica.get(session["links"]["self"], tier=Tier.PREMIUM)).json()
    await edge_side.answer(request)
    await edge.send([make_prediction(), step(session, S.COMPLETED, prediction_ids=("prd-1",))])
    done = (await replica.get(session["links"]["self"], tier=Tier.PREMIUM)).json()

    assert under_way["state"] == "RESEARCHING"
    assert under_way["started_at"] >= under_way["asked_at"]
    assert done["state"] == "COMPLETED"
    assert [made["prediction_id"] for made in done["predictions"]] == ["prd-1"]
    assert await balance(replica) == 19


async def test_a_single_prediction_is_a_session_of_the_first_model(replica, market):
    """The shorter way to ask."""
    accepted = await ask(replica, path="/v1/predictions")

    assert accepted.status_code == 202
    assert [one["model"] for one in accepted.json()["models"]] == [SMALL]


async def test_the_same_key_charges_once(start_replica, market):
    """A client that lost the answer asks again, of another replica."""
    first, second = await start_replica(), await start_replica()

    answers = [await ask(first, key="one"), await ask(second, key="one")]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["session_id"] == answers[1].json()["session_id"]
    assert await balance(first) == 19
    assert (await ask(first, key="one", models=(LARGE,))).status_code == 422


async def test_concurrent_sessions_cannot_overdraw(start_replica, owner, market):
    """Two credits left, ten requests at once on two replicas: two are served, the rest are told."""
    replicas = [await start_replica(), await start_replica()]
    assert await balance(replicas[0]) == 20
    account = await owner.fetchval("select account_id from account where tier = 'premium'")
    await owner.fetchval("select credit_move($1, -18, 'correction', 'test', null)", account)

    answers = await asyncio.gather(*(ask(replicas[n % 2]) for n in range(10)))

    assert sorted(answer.status_code for answer in answers) == [202] * 2 + [402] * 8
    assert await balance(replicas[0]) == 0
    assert await owner.fetchval("select count(*) from prediction_session") == 2


@pytest.fixture
async def two(start_replica):
    return [await start_replica(), await start_replica()]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    has=st.integers(0, 6),
    wanted=st.lists(st.sampled_from([(SMALL,), (LARGE,), (SMALL, LARGE)]), min_size=1, max_size=7),
)
async def test_no_mix_of_requests_at_once_overdraws(two, owner, market, has, wanted):
    """Sessions of one and two models on two replicas: each is paid whole or not at all, and refused only for want."""
    account = await owner.fetchval("select account_id from account where tier = 'premium'")
    now_has = await balance(two[0])
    if has != now_has:
        await owner.fetchval(
            "select credit_move($1, $2, 'correction', $3, null)", account, has - now_has, uuid.uuid4().hex
        )

    answers = await asyncio.gather(*(ask(two[n % 2], models=models) for n, models in enumerate(wanted)))

    told = [answer.status_code for answer in answers]
    left = await balance(two[1])
    assert set(told) <= {202, 402, 409}  # 409: five are under way
    assert left == has - sum(len(models) for models, status in zip(wanted, told, strict=True) if status == 202) >= 0
    assert all(left < len(models) for models, status in zip(wanted, told, strict=True) if status == 402)
    await owner.execute("select session_cancel(account_id, session_id) from prediction_session where ended_at is null")


async def test_a_failed_model_gives_its_credit_back_once(replica, market, edge, owner):
    """Partial: one forecast kept, one credit back, however often the failure is told."""
    session = (await ask(replica, models=(SMALL, LARGE))).json()
    spent = await balance(replica)
    failed = step(session, S.FAILED, model=LARGE, reason="the model was away")

    await edge.send([failed, step(session, S.COMPLETED)])
    await edge.send([step(session, S.FAILED, model=LARGE)])

    seen = (await replica.get(session["links"]["self"], tier=Tier.PREMIUM)).json()
    assert seen["state"] == "PARTIAL"
    assert seen["models"][1]["reason"] == "the model was away"
    assert (spent, await balance(replica)) == (18, 19)
    kinds = await owner.fetch("select kind from credit_entry order by entry_no")
    assert [row["kind"] for row in kinds] == ["grant", "charge", "charge", "refund"]


async def test_an_edge_that_says_no_ends_the_session(replica, market, edge_side):
    """Its reason reaches the asker and the credit comes back in the same transaction."""
    session = (await ask(replica)).json()
    (request,) = await edge_side.lease()

    await edge_side.answer(request, "failed", "this edge does not know the market")

    seen = (await replica.get(session["links"]["self"], tier=Tier.PREMIUM)).json()
    assert (seen["state"], seen["models"][0]["reason"]) == ("FAILED", "this edge does not know the market")
    assert await balance(replica) == 20


async def test_with_no_edge_it_waits_says_so_and_expires_with_its_credit(replica, market, owner):
    """QUEUED with an honest word, until its time is over."""
    session = (await ask(replica)).json()
    said = session["expectation"]
    await owner.execute("update edge_request set expires_at = now() - interval '1 second'")

    did = await recover(owner)

    assert (said["edge_online"], "starts_in_s" in said) == (False, False)
    assert did.expired == 1
    seen = (await replica.get(session["links"]["self"], tier=Tier.PREMIUM)).json()
    assert (seen["state"], seen["models"][0]["reason"]) == ("FAILED", "no edge was online in time")
    assert await balance(replica) == 20


async def test_an_edge_that_attends_is_told_of(replica, market, edge_side):
    """The same question with a machine at home."""
    await edge_side.attend()

    assert (await ask(replica)).json()["expectation"]["edge_online"] is True


async def test_what_stands_still_is_asked_for_again_and_given_up_in_the_end(replica, market, edge, edge_side, owner):
    """An edge took it and died: others are asked, twice more; then the credit comes back."""
    session = (await ask(replica)).json()
    seen = []
    for _ in range(3):
        (request,) = await edge_side.lease()
        await edge_side.answer(request)
        await owner.execute("update prediction_session set moved_at = now() - interval '1 hour'")
        await owner.execute("update edge_request set finished_at = now() - interval '1 hour' where state = 'done'")
        did = await recover(owner)
        seen.append((did.again, did.given_up))

    assert seen == [(1, 0), (1, 0), (0, 1)]
    assert (await replica.get(session["links"]["self"], tier=Tier.PREMIUM)).json()["state"] == "FAILED"
    assert await balance(replica) == 20
    await edge.send([step(session, S.COMPLETED)])  # it lives after all: the end that was told stands
    assert (await replica.get(session["links"]["self"], tier=Tier.PREMIUM)).json()["state"] == "FAILED"
    assert await balance(replica) == 20


async def test_a_session_that_works_is_left_alone(replica, market, edge, edge_side, owner):
    """Recovery touches what stands still, nothing else; two workers at once do it once."""
    session = (await ask(replica)).json()
    (request,) = await edge_side.lease()
    await edge_side.answer(request)
    await edge.send([step(session, S.GENERATING)])

    did = await recover(owner)

    assert (did.expired, did.again, did.given_up) == (0, 0, 0)


async def test_a_waiting_session_can_be_called_off_and_a_running_one_cannot(replica, market, edge_side):
    """Nobody pays for what nobody began; what was begun is paid work."""
    waits, runs = [(await ask(replica)).json() for _ in range(2)]
    headers = {"authorization": f"Bearer {replica.keys[Tier.PREMIUM]}"}

    off = await replica.http.delete(waits["links"]["self"], headers=headers)
    (request,) = await edge_side.lease()
    refused = await replica.http.delete(runs["links"]["self"], headers=headers)

    assert (off.status_code, off.json()["state"]) == (200, "CANCELLED")
    assert request["body"]["session_id"] == runs["session_id"]  # the other one is not handed out any more
    assert refused.status_code == 409
    assert await balance(replica) == 19


async def test_a_stranger_meets_the_same_404_as_for_nothing(replica, market, owner):
    """Not even the words differ."""
    session = (await ask(replica, tier=Tier.PREMIUM)).json()
    headers = {"authorization": f"Bearer {replica.keys[Tier.PRO]}"}
    mine, never = session["links"]["self"], f"{PATH}/{uuid.uuid4()}"

    for method, tail in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
        answers = [await replica.http.request(method, path + tail, headers=headers) for path in (mine, never)]
        told = [{k: v for k, v in a.json().items() if k not in {"instance", "request_id"}} for a in answers]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert told[0] == told[1]

    assert (await replica.get(PATH, tier=Tier.PRO)).json()["data"] == []
    assert [one["session_id"] for one in (await replica.get(PATH, tier=Tier.PREMIUM)).json()["data"]] == [
        session["session_id"]
    ]


async def test_events_tell_each_move_and_the_end(replica, market, edge):
    """A stream on one side, steps landing on the other; a reader who comes back goes on where it was."""
    session = (await ask(replica)).json()
    headers = {"authorization": f"Bearer {replica.keys[Tier.PREMIUM]}"}
    told: list[tuple[str, dict]] = []

    async def follow(**more: str) -> list[tuple[str, dict]]:
        found = []
        async with replica.http.stream("GET", session["links"]["events"], headers=headers | more) as stream:
            name = ""
            async for line in stream.aiter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    found.append((name, json.loads(line.removeprefix("data: "))))
                    told.append(found[-1])
        return found

    following = asyncio.create_task(follow())
    for n, state in enumerate((S.RESEARCHING, S.GENERATING, S.COMPLETED), start=1):
        await edge.send([step(session, state)])
        async with asyncio.timeout(3):  # far below the heartbeat: it is the bell that wakes the stream
            while len([name for name, _ in told if name == "step"]) < n:
                await asyncio.sleep(0.005)
    async with asyncio.timeout(3):
        found = await following

    assert [body.get("state") for name, body in found if name == "step"] == ["RESEARCHING", "GENERATING", "COMPLETED"]
    assert (found[-1][0], found[-1][1]["state"]) == ("end", "COMPLETED")
    again = await follow(**{"last-event-id": "2"})
    assert [(name, body["state"]) for name, body in again] == [("step", "COMPLETED"), ("end", "COMPLETED")]


async def test_an_open_stream_does_not_hold_up_a_stop(replica, market):
    """The process was asked to stop: the reader is told to come back, with its place."""
    session = (await ask(replica)).json()
    headers = {"authorization": f"Bearer {replica.keys[Tier.PREMIUM]}"}

    async with asyncio.timeout(3), replica.http.stream("GET", session["links"]["events"], headers=headers) as stream:
        lines = stream.aiter_lines()
        await anext(lines)
        replica.services.stopping.set()
        rest = [line async for line in lines]

    assert "event: bye" in rest


async def test_a_stream_of_a_session_does_not_outlive_the_key_that_opened_it(replica, market, owner, monkeypatch):
    """A key that was taken back hears no step that lands afterwards."""
    monkeypatch.setattr(routes, "HEARTBEAT_S", 0.05)
    session = (await ask(replica)).json()
    key = replica.keys[Tier.PREMIUM]
    headers = {"authorization": f"Bearer {key}"}

    async with asyncio.timeout(5), replica.http.stream("GET", session["links"]["events"], headers=headers) as stream:
        lines = stream.aiter_lines()
        await anext(lines)
        await revoke_key(owner, prefix_of(key))
        rest = [line async for line in lines]

    assert rest[-3:-1] == ["event: bye", 'data: {"reason":"not allowed any more"}']


async def test_only_so_many_sessions_at_once(replica, market):
    """One machine at home serves everybody; the sixth is told, and not charged."""
    answers = [await ask(replica) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [202] * 5 + [409]
    assert await balance(replica) == 15


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"tier": Tier.BASIC}, 403),
        ({"models": ("nobody/knows",)}, 422),
        ({"models": ()}, 422),
        ({"market_key": "kalshi:UNKNOWN"}, 404),
    ],
)
async def test_what_cannot_be_asked_costs_nothing(replica, market, owner, asked, status):
    """Refused before anything is booked."""
    refused = await ask(replica, **asked)

    assert refused.status_code == status
    assert refused.headers["content-type"] == "application/problem+json"
    assert await owner.fetchval("select count(*) from credit_entry") == 0


async def test_a_closed_market_cannot_be_asked_about(replica, market, edge):
    """Its answer is on its way."""
    await edge.send([make_market(status="closed", fetched_at=NOW + timedelta(seconds=1))])

    assert (await ask(replica)).status_code == 409


async def test_credits_come_with_the_month_and_the_tier(replica, owner, clock):
    """Once a month, when they are looked for; a better tier brings the difference, not both."""
    assert await balance(replica, Tier.BASIC) == 0
    assert [await balance(replica) for _ in range(2)] == [20, 20]
    await owner.execute("update account set tier = 'pro' where tier = 'premium'")
    replica.services.ring.forget()
    assert await balance(replica) == ENTITLEMENTS[Tier.PRO].credits_per_month
    clock.moment = NOW + timedelta(days=40)
    assert await balance(replica) == 2 * ENTITLEMENTS[Tier.PRO].credits_per_month


async def test_the_switch_stops_and_shares_what_is_accepted(replica, market, owner):
    """On every replica at once, for all or for a share, before anything is booked; what runs goes on."""
    under_way = (await ask(replica)).json()
    await set_flag(owner, Flag.SESSIONS, is_on=False)
    off = await ask(replica)
    await set_flag(owner, Flag.SESSIONS, is_on=True, share=0)
    left_out = await ask(replica)
    await set_flag(owner, Flag.SESSIONS, is_on=True)

    assert (off.status_code, left_out.status_code) == (503, 503)
    assert "retry-after" in off.headers
    assert (await replica.get(under_way["links"]["self"], tier=Tier.PREMIUM)).json()["state"] == "QUEUED"
    assert await balance(replica) == 19
    assert (await ask(replica)).status_code == 202


async def test_off_offers_nothing_and_shadow_charges_nothing(start_replica, market, edge, owner):
    """A trial runs and is compared with the daily forecast; the asker's credits stay."""
    off, shadow = await start_replica(sessions="off"), await start_replica(sessions="shadow")
    await edge.send([make_prediction(predicted_at=NOW - timedelta(hours=1))])

    assert (await ask(off)).status_code == 503
    session = (await ask(shadow)).json()
    later = datetime.now(UTC)
    made = make_prediction(
        prediction_id="prd-2", probability_yes=0.7, chain_seq=2, record_hash="b" * 64, predicted_at=later
    )
    await edge.send([made, step(session, S.COMPLETED, prediction_ids=("prd-2",))])

    assert session["shadow"] is True
    assert await owner.fetchval("select count(*) from credit_entry where kind = 'charge'") == 0
    (compared,) = await compare_shadows(owner, 1)
    assert (compared.on_demand, compared.daily, compared.same) == (0.7, make_prediction().probability_yes, False)
    figures = await load_figures(owner, 1)
    assert (figures.n, figures.n_open, figures.n_started) == (1, 0, 1)


async def test_the_database_moves_a_model_as_the_edge_does(owner):
    """Two tables of one rule, held together."""
    rank = {state: await owner.fetchval("select session_rank($1)", state.value) for state in S}

    for before, after in itertools.product(S, S):
        assert (rank[after] > rank[before]) == moves(before, after), (before, after)


async def test_an_operator_sees_how_sessions_fared(replica, market, edge, dsns):
    """Figures and comparisons as JSON, without a reader's account."""
    session = (await ask(replica)).json()
    await edge.send([step(session, S.COMPLETED)])

    done = await asyncio.to_thread(run, "sessions", DATABASE_URL=dsns[0])

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["figures"]["n"], told["figures"]["n_started"], told["shadows"]) == (1, 1, [])
    assert told["figures"]["start_p50_s"] > 0
