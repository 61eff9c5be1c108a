"""The service's own list of models: what is taken from it, what is said about it, and what it cannot do to us."""

import json

import pytest

from agent.errors import LlmRefused, LlmUnavailable
from agent.jobs.models import models_job
from agent.jobs.runner import JobSpec, Runner
from agent.llm.budget import Purpose
from agent.llm.schemas import FORECAST
from tests.fakes.groq import ERROR_FAULTS
from tests.integration.llm.conftest import PROMPT

SMALL, LARGE = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
DEAR = {"prompt": "0.00000015", "completion": "0.0000012", "input_cache_read": "0.00000001"}


async def ask(gateway):
    """One forecast."""
    return await gateway.complete(Purpose.FORECAST, FORECAST, PROMPT)


@pytest.fixture
def run_job(store, clock):
    """The job, run once over a gateway."""

    async def run(gateway):
        spec = JobSpec(name="models", run=models_job(gateway), schedule="0 4 * * 1", missed="none", timeout_s=30)
        return await Runner(store, clock, [spec], {}, jitter=lambda: 0.0).run("models")

    return run


async def test_live_prices_replace_the_table_and_survive_a_restart(make_gateway, groq, load_calls):
    """Costs are booked at what the service says it charges, from the next call on."""
    groq.prices[SMALL] = DEAR
    async with make_gateway() as gateway:
        (warning,) = await gateway.refresh_models()
        first = await ask(gateway)
    async with make_gateway() as restarted:
        second = await ask(restarted)

    assert "dearer than we knew: 0.15 in and 1.2 out USD a million tokens instead of 0.075 and 0.30" in warning
    assert first.cost_usd + second.cost_usd == groq.cost_usd()
    assert {row["prices_as_of"] for row in await load_calls()} == {"listed 2026-11-21"}


async def test_an_old_list_says_nothing_about_todays_prices(make_gateway, groq, load_calls, clock):
    """A month later the configured table is the better guess."""
    groq.prices[SMALL] = DEAR
    async with make_gateway() as gateway:
        await gateway.refresh_models()
    clock.forward(days=31)

    async with make_gateway() as restarted:
        await ask(restarted)

    assert [row["prices_as_of"] for row in await load_calls()] == ["2026-11"]


@pytest.mark.parametrize(
    "pricing",
    [
        {"prompt": "0", "completion": "0"},
        {"prompt": "-0.000001", "completion": "0.000001"},
        {"prompt": "NaN", "completion": "0.000001"},
        {"prompt": "75", "completion": "300"},
        {"prompt": None, "completion": "0.000001"},
        {"prompt": True, "completion": True},
        {"completion": "0.000001"},
        "0.1",
    ],
)
async def test_a_price_without_sense_is_not_taken(make_gateway, groq, load_calls, pricing):
    """Free or nonsense would let the budget spend blindly."""
    groq.prices[SMALL] = pricing
    async with make_gateway() as gateway:
        assert await gateway.refresh_models() == []
        await ask(gateway)

    (row,) = await load_calls()
    assert row["prices_as_of"] == "2026-11"
    assert row["cost_nano"] > 0


async def test_a_configured_model_that_is_missing_is_said_in_words(make_gateway, groq, run_job):
    """Models die at short notice; who reads the status sees it before the first refused call."""
    groq.models = (LARGE,)

    async with make_gateway() as gateway:
        result = await run_job(gateway)

        assert result.state == "partial"
        assert f"model {SMALL} is not on the service's list" in result.reason
        assert "name another in ai_model" in result.reason
        assert gateway.models == (SMALL, LARGE)  # the list may be wrong: the call decides


async def test_a_model_that_is_listed_again_is_asked_again(make_gateway, groq):
    """A refusal is for good until the list says otherwise, not until somebody restarts the daemon."""
    groq.fault("model_not_found", model=SMALL)
    async with make_gateway() as gateway:
        assert (await ask(gateway)).model == LARGE
        assert gateway.models == (LARGE,)

        await gateway.refresh_models()

        assert (await ask(gateway)).model == SMALL


@pytest.mark.parametrize(
    "answer",
    [
        ERROR_FAULTS["unavailable"],
        ERROR_FAULTS["html"],
        ERROR_FAULTS["key"],
        (200, {"content-type": "application/json"}, b"[]"),
        (200, {"content-type": "application/json"}, b'{"data": {}}'),
        (200, {"content-type": "application/json"}, b'{"da'),
    ],
)
async def test_a_list_that_cannot_be_read_changes_nothing(make_gateway, groq, run_job, answer):
    """The list informs; its absence stops nobody."""
    groq.listing = answer
    async with make_gateway() as gateway:
        result = await run_job(gateway)

        assert result.state == "partial"
        assert "going on with what is known" in result.reason
        assert (await ask(gateway)).model == SMALL


async def test_rows_of_another_shape_are_passed_over(make_gateway, groq):
    """The fields beyond the id are young: each may be absent or of another type."""
    rows = [{"id": SMALL, "context_window": "big", "pricing": 7, "active": None}, {"id": 5}, "x", None, {"id": LARGE}]
    groq.listing = (200, {"content-type": "application/json"}, json.dumps({"data": rows}).encode())

    async with make_gateway() as gateway:
        assert await gateway.refresh_models() == []


async def test_a_service_that_is_not_there_is_told_apart_from_a_wish_not_to_ask(
    make_gateway, groq, run_job, unused_port
):
    """Without a key nobody is asked and the run is fine; with one, a service that is away is a shortage."""
    async with make_gateway(api_key=None) as off:
        result = await run_job(off)
        with pytest.raises(LlmRefused, match="no GROQ_API_KEY"):
            await off.refresh_models()
    async with make_gateway(base_url=f"http://127.0.0.1:{unused_port}") as away:
        with pytest.raises(LlmUnavailable, match="connection failed"):
            await away.refresh_models()

    assert (result.state, result.counts["skipped"], groq.n_listed) == ("ok", 1, 0)
