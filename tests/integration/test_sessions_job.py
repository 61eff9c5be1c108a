"""On-demand sessions on the edge: taken on, worked on side by side, told step by step, paid once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest
import uuid_utils

from agent.experiments.registry import Registry
from agent.jobs.predict import Predictor
from agent.jobs.predict_window import BATCH, DAILY, PredictOptions
from agent.jobs.runner import JobSpec, Runner
from agent.jobs.sessions import SESSIONS, Sessions
from agent.llm.gateway import Gateway
from agent.llm.options import GatewayOptions
from agent.store.predictions import load_record
from agent.store.sessions import load_open_sessions, load_session
from sync.downlink import RequestFailed
from sync.protocol import Request
from sync.records import MarketStatus, SessionState
from tests.factories import NOON
from tests.fakes.groq import GroqServer
from tests.integration.predicting import BOTH, save_open

KEY = "kalshi:KXB"
PLAIN = ("market_prior", "single_model", "research", "research_forecast", "ensemble")


@pytest.fixture
async def groq() -> AsyncIterator[GroqServer]:
    """The service."""
    async with GroqServer(seed=5) as server:
        yield server


class Edge:
    """Gateway, predictor, sessions and runner, as one process has them."""

    def __init__(self, store, clock, groq, names=PLAIN, limit_s=540.0) -> None:
        self.store, self.clock = store, clock
        self.gateway = Gateway(store, GatewayOptions(api_key="k", base_url=groq.url, models=BOTH, daily_calls=10_000))
        self.predictor = Predictor(store, Registry.load(names), self.gateway, PredictOptions())
        self.sessions = Sessions(store, self.predictor, limit_s=limit_s)
        jobs = {DAILY: self.predictor.daily, BATCH: self.predictor.batch, SESSIONS: self.sessions.job}
        specs = [JobSpec(name=n, run=j, schedule="0 7 * * *", missed="all", timeout_s=60) for n, j in jobs.items()]
        self.runner = Runner(store, clock, specs, {}, jitter=lambda: 0.0)

    async def ask(self, session_id="s1", market_key=KEY, models=BOTH):
        body = {"session_id": session_id, "market_key": market_key, "models": list(models)}
        return await self.sessions.take(
            Request(
                request_id=str(uuid_utils.uuid7()),
                lease="l",
                kind="session",
                body=body,
                attempt=1,
                requested_at=NOON,
                expires_at=NOON + timedelta(hours=1),
            )
        )

    async def work(self):
        return await self.runner.run(SESSIONS)

    async def standing(self, session_id="s1"):
        session = await load_session(self.store.reader, session_id)
        return {one.model: one for one in session.models}


@pytest.fixture
async def start(store, clock, groq):
    """A fresh process over the same file, whenever it is called."""
    await save_open(store, (KEY, "kalshi:KXC"))
    opened = []

    async def begin(**options) -> Edge:
        edge = Edge(store, clock, groq, **options)
        await edge.gateway.__aenter__()
        opened.append(edge)
        return edge

    yield begin
    for edge in opened:
        await edge.gateway.__aexit__(None, None, None)


async def steps_told(store) -> list[tuple[str, str]]:
    """(model, state) of each step that travels, as it was sealed."""
    batches = [msgspec.json.decode(batch.text()) for batch in await sealed(store)]
    rows = [row for batch in batches for row in batch if row["kind"] == "session_step"]
    return [(row["model"], row["state"]) for row in rows]


async def sealed(store):
    from agent.store.sending import StoreOutbox

    outbox, found = StoreOutbox(store), []
    while (batch := await outbox.next_batch(newest_first=False)) is not None:
        found.append(batch)
        await outbox.hold(batch, "read by a test")
    return found


async def test_a_session_runs_the_daily_experiments_and_tells_each_step(store, start, groq):
    """Two models: both researched, both asked, every forecast in the record and named in the step that ends it."""
    edge = await start()

    assert await edge.ask() == {"taken": True, "new": True}
    taken = await edge.standing()
    result = await edge.work()

    assert {one.state for one in taken.values()} == {SessionState.RESEARCHING}
    assert (result.state, result.counts) == ("ok", {"sessions": 1, "completed": 2, "failed": 0})
    standing = await edge.standing()
    record = {p.prediction_id: p for p in await load_record(store.reader)}
    for model in BOTH:
        assert standing[model].state is SessionState.COMPLETED
        named = {record[prediction_id].experiment for prediction_id in standing[model].prediction_ids}
        assert named == {"single_model", "research_forecast"}
    assert not await load_open_sessions(store.reader)
    told = await steps_told(store)
    for model in BOTH:
        mine = [state for name, state in told if name == model]
        assert mine == ["RESEARCHING", "GENERATING", "COMPLETED"]
    assert len(groq.calls) == 2 * (1 + 3 + 1)  # per model: the plain forecast, three aspects, the forecast on them


async def test_a_second_session_of_the_day_pays_for_nothing(start, groq):
    """What the day has is used, by whomever it was asked for."""
    edge = await start()
    await edge.ask("s1")
    await edge.work()
    n_paid = len(groq.calls)

    await edge.ask("s2")
    await edge.work()

    assert len(groq.calls) == n_paid
    assert {one.state for one in (await edge.standing("s2")).values()} == {SessionState.COMPLETED}
    assert [one.prediction_ids for one in (await edge.standing("s2")).values()] == [
        one.prediction_ids for one in (await edge.standing("s1")).values()
    ]


async def test_two_sessions_of_one_market_at_once_pay_once(start, groq):
    """Two readers, the same minute, one market."""
    edge = await start()
    await edge.ask("s1")
    await edge.ask("s2")

    result = await edge.work()

    assert result.counts["completed"] == 4
    assert len(groq.calls) == 10


async def test_a_session_that_comes_while_another_runs_is_not_kept_waiting(start, groq):
    """The run that is under way takes it in; it does not wait for the slow one to end."""
    edge = await start(names=("market_prior", "single_model"))
    groq.fault("slow", model=BOTH[0], seconds=30)
    await edge.ask("slow", models=BOTH[:1])
    working = asyncio.create_task(edge.work())
    await groq.arrived.wait()

    await edge.ask("quick", market_key="kalshi:KXC", models=BOTH[1:])
    async with asyncio.timeout(5):
        while (await edge.standing("quick"))[BOTH[1]].state is not SessionState.COMPLETED:
            await asyncio.sleep(0.01)

    assert (await edge.standing("slow"))[BOTH[0]].state is SessionState.GENERATING
    groq.released.set()
    assert (await working).counts["completed"] == 2


async def test_a_killed_process_owes_the_session_and_pays_only_for_the_rest(start, groq):
    """Cut off after the research: the next process asks the forecasts and no aspect again."""
    edge = await start(names=("market_prior", "research", "research_forecast"))
    await edge.ask(models=BOTH[:1])
    groq.fault("slow", times=1, model=BOTH[0], seconds=30)  # one aspect of three hangs
    working = asyncio.create_task(edge.work())
    async with asyncio.timeout(5):
        while await edge.store.reader.fetch_value("SELECT count(*) FROM forecast_steps") < 2:
            await asyncio.sleep(0.01)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    groq.released.set()
    asked_before = len(groq.calls)

    fresh = await start(names=("market_prior", "research", "research_forecast"))
    starter = asyncio.create_task(fresh.sessions.begin_forever(fresh.runner))
    async with asyncio.timeout(5):
        while await load_open_sessions(fresh.store.reader):
            await asyncio.sleep(0.01)
    starter.cancel()

    assert asked_before == 3
    assert len(groq.calls) - asked_before == 2  # the aspect without an answer, and the forecast
    assert (await fresh.standing())[BOTH[0]].state is SessionState.COMPLETED


async def test_one_model_fails_and_the_other_stands(start, groq):
    """Partial: the failed one says why, and nothing is invented for it."""
    edge = await start(names=("market_prior", "single_model"))
    groq.fault("unprocessable", times=50, model=BOTH[0])

    await edge.ask()
    result = await edge.work()

    standing = await edge.standing()
    assert (standing[BOTH[1]].state, standing[BOTH[0]].state) == (SessionState.COMPLETED, SessionState.FAILED)
    assert "single_model" in standing[BOTH[0]].reason
    assert (result.state, result.counts["failed"]) == ("partial", 1)


async def test_what_failed_for_one_session_is_tried_anew_for_the_next(start, groq):
    """A person who pays again is not given yesterday's error."""
    edge = await start(names=("market_prior", "single_model"))
    groq.fault("unprocessable", times=1, model=BOTH[0])
    await edge.ask("s1", models=BOTH[:1])
    await edge.work()
    failed = await edge.standing("s1")

    await edge.ask("s2", models=BOTH[:1])
    await edge.work()

    assert failed[BOTH[0]].state is SessionState.FAILED
    assert (await edge.standing("s2"))[BOTH[0]].state is SessionState.COMPLETED


async def test_a_session_that_takes_too_long_ends_and_says_so(start, groq):
    """The asker gets the credit back instead of waiting for ever."""
    edge = await start(names=("market_prior", "single_model"), limit_s=0.2)
    groq.fault("slow", model=BOTH[0], seconds=30)

    await edge.ask(models=BOTH[:1])
    await edge.work()

    standing = (await edge.standing())[BOTH[0]]
    assert (standing.state, standing.reason) == (SessionState.FAILED, "it took longer than 0.2 s")
    groq.released.set()


async def test_an_unknown_model_fails_alone(start):
    """The edge says what it has."""
    edge = await start(names=("market_prior", "single_model"))

    await edge.ask(models=(BOTH[0], "nobody/knows"))
    await edge.work()

    standing = await edge.standing()
    assert standing[BOTH[0]].state is SessionState.COMPLETED
    assert standing["nobody/knows"].state is SessionState.FAILED
    assert BOTH[1] in standing["nobody/knows"].reason


@pytest.mark.parametrize("status", [MarketStatus.CLOSED, MarketStatus.RESOLVED, None])
async def test_a_market_without_a_question_is_refused(store, start, status):
    """Closed or unknown: the request fails with the reason, and nothing is owed."""
    edge = await start()
    if status is not None:
        await save_open(store, ("kalshi:KXOVER",), status=status)

    with pytest.raises(RequestFailed, match=r"not open|does not know"):
        await edge.ask(market_key="kalshi:KXOVER")

    assert not await load_open_sessions(store.reader)


async def test_a_session_asked_for_twice_is_done_once_and_told_again(store, start, groq):
    """A cloud that went back in time asks again: the answer is the one it had."""
    edge = await start(names=("market_prior", "single_model"))
    await edge.ask(models=BOTH[:1])
    await edge.work()

    assert await edge.ask(models=BOTH[:1]) == {"taken": True, "new": False}
    await edge.work()

    assert len(groq.calls) == 1
    assert [state for _, state in await steps_told(store)] == ["RESEARCHING", "GENERATING", "COMPLETED", "COMPLETED"]


@pytest.mark.parametrize("body", [{}, {"session_id": "s", "market_key": "k", "models": []}])
async def test_a_body_nobody_can_read_is_refused(start, body):
    """The asker is told instead of waiting."""
    edge = await start()
    request = Request(
        request_id="r", lease="l", kind="session", body=body, attempt=1, requested_at=NOON, expires_at=NOON
    )

    with pytest.raises(RequestFailed, match="session:"):
        await edge.sessions.take(request)
