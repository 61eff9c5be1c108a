"""The gateway against a service on loopback: every kind of answer and failure, and what it leaves in the books."""

import asyncio
import json
import re
import signal
import sys
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from agent.errors import BudgetExhausted, CallsExhausted, LlmRefused, LlmReplyInvalid, LlmUnavailable
from agent.llm.budget import Purpose
from agent.llm.gateway import Gateway
from agent.llm.killswitch import file_switch
from agent.llm.options import GatewayOptions
from agent.llm.schemas import ANALYSIS, FORECAST
from tests.fakes.groq import ERROR_FAULTS, GroqServer
from tests.integration.llm.conftest import PROMPT

SMALL, LARGE = "openai/gpt-oss-20b", "openai/gpt-oss-120b"


async def ask(gateway, **over):
    """One forecast."""
    return await gateway.complete(Purpose.FORECAST, FORECAST, PROMPT, **over)


async def test_an_answer_is_checked_booked_and_written_down(gateway, groq, load_calls):
    """The normal case, end to end through the official SDK."""
    reply = await ask(gateway, market_key="kalshi:KX", run_id="run-1")

    (row,) = await load_calls()
    assert 0.01 <= reply.value.probability_yes <= 0.99
    assert (reply.model, reply.prompt_version) == (SMALL, f"test-v1@1/{FORECAST.version}")
    assert row["state"] == "booked"
    assert row["outcome"] == "ok"
    assert 0 < row["cost_nano"] < row["reserved_nano"]
    assert reply.cost_usd == Decimal(row["cost_nano"]) / 10**9
    assert (row["market_key"], row["run_id"], row["prompt_version"]) == ("kalshi:KX", "run-1", reply.prompt_version)
    assert row["prompt_tokens"] > 0
    assert row["completion_tokens"] > 0
    assert row["error"] is None
    assert len(groq.calls) == 1


async def test_the_request_is_what_the_service_wants(gateway, groq):
    """Strict schema, explicit room for the answer, hidden reasoning, no parameter Groq refuses."""
    await gateway.complete(Purpose.ANALYSIS, ANALYSIS, PROMPT)

    (call,) = groq.calls
    assert call["response_format"]["json_schema"]["strict"] is True
    assert call["max_completion_tokens"] == 2_000
    assert (call["reasoning_effort"], call["include_reasoning"]) == ("low", False)
    assert groq.keys == ["Bearer secret-key"]
    assert set(call) == {
        "model", "messages", "response_format", "max_completion_tokens", "temperature", "reasoning_effort", "include_reasoning",
    }  # fmt: skip


async def test_the_reservation_is_durable_before_the_call(gateway, groq, load_calls):
    """A process that dies in the call must find its worst case in the books."""
    groq.fault("slow", seconds=30)
    asking = asyncio.create_task(ask(gateway))
    await asyncio.wait_for(groq.arrived.wait(), 10)

    (row,) = await load_calls()

    assert row["state"] == "reserved"
    assert row["reserved_nano"] > 0
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_cancelled_call_stays_spent(gateway, groq, load_calls):
    """It was sent, so it may have been billed."""
    groq.fault("slow", seconds=30)
    asking = asyncio.create_task(ask(gateway))
    await asyncio.wait_for(groq.arrived.wait(), 10)

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    (row,) = await load_calls()
    assert (row["state"], row["outcome"], row["cost_nano"]) == ("booked", "abandoned", row["reserved_nano"])


async def test_a_timeout_stays_spent_and_is_tried_again(make_gateway, groq, load_calls):
    """A hung call may be billed; the next try has a reservation of its own."""
    groq.fault("slow", seconds=30)
    async with make_gateway(timeout_s=2.0) as gateway:
        await ask(gateway)

    first, second = await load_calls()
    assert (first["outcome"], first["cost_nano"]) == ("timeout", first["reserved_nano"])
    assert second["outcome"] == "ok"


@pytest.mark.parametrize("kind", ["unavailable", "capacity", "html", "half_json", "no_body", "internal", "bad_gateway"])
async def test_what_passes_is_tried_again(gateway, groq, waits, load_calls, kind):
    """Two bad moments and an answer; the waits grow."""
    groq.fault(kind, times=2)

    await ask(gateway)

    rows = await load_calls()
    assert [row["outcome"] for row in rows] == ["unavailable", "unavailable", "ok"]
    assert waits.seconds == [1.0, 2.0]
    # Server errors are not charged; a page from a proxy, or what is left of an answer, may hide a call that was.
    may_be_charged = kind in ("html", "half_json", "no_body")
    assert [row["state"] for row in rows[:2]] == ["booked" if may_be_charged else "released"] * 2


async def test_a_service_that_stays_away_is_left_alone(gateway, groq):
    """Three tries of each model, then nobody asks for a while: the breaker."""
    groq.fault("unavailable", times=100)

    with pytest.raises(LlmUnavailable) as caught:
        await ask(gateway)
    n = len(groq.calls)
    with pytest.raises(LlmUnavailable):
        await ask(gateway)

    assert n == 6
    assert len(groq.calls) == n
    assert caught.value.retryable
    assert caught.value.retry_after_s == 60
    assert "asked again in" in await gateway.unready_reason(Purpose.FORECAST)


async def test_a_long_rate_limit_parks_the_model_and_the_next_one_answers(gateway, groq, load_calls):
    """retry-after is honoured in full, in which time the other model works."""
    groq.fault("rate_limited", seconds=578, model=SMALL)

    first = await ask(gateway)
    second = await ask(gateway)

    assert (first.model, second.model) == (LARGE, LARGE)
    assert [call["model"] for call in groq.calls] == [SMALL, LARGE, LARGE]
    rows = await load_calls()
    assert (rows[0]["model"], rows[0]["state"], rows[0]["outcome"]) == (SMALL, "released", "unavailable")


async def test_a_short_rate_limit_is_waited_out(gateway, groq):
    """Nothing is asked before the time the service named is over."""
    groq.fault("rate_limited", seconds=0.2)
    loop = asyncio.get_running_loop()
    began = loop.time()

    reply = await ask(gateway)

    assert reply.model == SMALL
    assert loop.time() - began >= 0.2


@pytest.mark.parametrize("kind", ["model_not_found", "model_decommissioned"])
async def test_a_retired_model_is_dropped_for_good(gateway, groq, kind):
    """Models die at short notice; the chain goes on and the dead one is never asked again."""
    groq.fault(kind, model=SMALL)

    first = await ask(gateway)
    second = await ask(gateway, model=SMALL)

    assert (first.model, second.model) == (LARGE, LARGE)
    assert gateway.models == (LARGE,)
    assert [call["model"] for call in groq.calls] == [SMALL, LARGE, LARGE]


async def test_without_a_model_left_the_gateway_is_off(make_gateway, groq):
    """It says so instead of failing each call anew."""
    async with make_gateway(models=("nobody/knows",)) as gateway:
        with pytest.raises(LlmRefused):
            await ask(gateway)

        assert "no model is left" in gateway.off_reason
        with pytest.raises(LlmRefused, match="no model is left"):
            await ask(gateway)
    assert len(groq.calls) == 1


async def test_a_call_that_waits_its_turn_is_stopped_too(make_gateway, groq, load_calls):
    """A queue may be minutes long: the switch is read again when the turn comes, and what was not sent costs nothing."""
    reasons = []
    # Room for one call a minute until the first answer says otherwise.
    async with make_gateway(kill_switch=lambda: reasons[-1] if reasons else None, requests_per_minute=1.0) as gateway:
        groq.fault("slow", seconds=30)
        first = asyncio.create_task(ask(gateway))
        await asyncio.wait_for(groq.arrived.wait(), 10)
        second = asyncio.create_task(ask(gateway))
        while len(await load_calls()) < 2:  # until the second has reserved, and waits
            await asyncio.sleep(0)
        reasons.append("paused by the operator")
        groq.released.set()

        await first
        with pytest.raises(LlmRefused, match="paused by the operator"):
            await second

    states = [(row["state"], row["outcome"]) for row in await load_calls()]
    assert states == [("booked", "ok"), ("released", "abandoned")]
    assert len(groq.calls) == 1


async def test_a_refused_key_stops_everything_at_once(gateway, groq, load_calls):
    """One call, then silence until a person acts; nothing is charged."""
    groq.fault("key", times=100)

    with pytest.raises(LlmRefused):
        await ask(gateway)
    with pytest.raises(LlmRefused, match="refuses the key"):
        await ask(gateway)

    (row,) = await load_calls()
    assert (row["state"], row["outcome"]) == ("released", "refused")
    assert len(groq.calls) == 1
    assert "refuses the key" in gateway.off_reason


async def test_a_request_too_large_is_shrunk_once(gateway, groq):
    """A 413 is never repeated as it was."""
    groq.fault("too_large", times=2)

    with pytest.raises(LlmRefused):
        await ask(gateway)

    assert [call["max_completion_tokens"] for call in groq.calls] == [1_200, 800]


@pytest.mark.parametrize("kind", ["bad_request", "unprocessable"])
async def test_our_own_mistake_is_not_repeated(gateway, groq, kind):
    """The same request would be refused again."""
    groq.fault(kind, times=5)

    with pytest.raises(LlmRefused):
        await ask(gateway)

    assert len(groq.calls) == 1


async def test_cut_json_gets_more_room_once(gateway, groq, load_calls):
    """finish_reason length: strict decoding promises form, not completeness."""
    groq.fault("cut")

    await ask(gateway)

    assert [call["max_completion_tokens"] for call in groq.calls] == [1_200, 2_400]
    first, _ = await load_calls()
    assert first["outcome"] == "invalid"
    assert 0 < first["cost_nano"] < first["reserved_nano"]  # its tokens are known, so it is booked at its cost


@pytest.mark.parametrize("kind", ["wrong_market", "out_of_range", "extra_field", "schema_back"])
async def test_a_bad_answer_is_asked_again_once_without_randomness(gateway, groq, load_calls, kind):
    """Then it is an error and a row, never a number."""
    groq.fault(kind, times=2)

    with pytest.raises(LlmReplyInvalid):
        await ask(gateway)

    assert [call["temperature"] for call in groq.calls] == [0.3, 0.0]
    assert {row["outcome"] for row in await load_calls()} == {"invalid"}
    assert {row["state"] for row in await load_calls()} == {"booked"}


async def test_a_good_answer_inside_bad_json_is_saved(gateway, groq, monkeypatch, load_calls):
    """Paid is paid: the service's failed_generation is often right."""
    good = dict.fromkeys(("time_left", "status_quo", "base_rate", "case_no", "case_yes"), "t")
    text = f"Here it is: {json.dumps({'market': 'M1', **good, 'probability_yes': 0.25, 'confidence': 60})}"
    error = {
        "error": {"message": "Failed to generate JSON.", "code": "json_validate_failed", "failed_generation": text}
    }
    answer = (400, {"content-type": "application/json"}, json.dumps(error).encode())
    monkeypatch.setitem(ERROR_FAULTS, "json_validate_failed", answer)
    groq.fault("json_validate_failed")

    reply = await ask(gateway)

    (row,) = await load_calls()
    assert reply.value.probability_yes == 0.25
    assert row["cost_nano"] == row["reserved_nano"]  # no usage was told: the worst case stands


async def test_a_leaked_marker_ends_the_matter(gateway, groq):
    """The model followed the data or repeats its prompt; another try would too."""
    groq.fault("leak", times=5)

    with pytest.raises(LlmReplyInvalid, match="marker"):
        await ask(gateway)

    assert len(groq.calls) == 1


async def test_an_answer_without_usage_is_booked_at_its_worst(gateway, groq, load_calls):
    """Missing is not zero."""
    groq.fault("no_usage")

    await ask(gateway)

    (row,) = await load_calls()
    assert row["prompt_tokens"] is None
    assert row["cost_nano"] == row["reserved_nano"]


async def test_a_model_without_the_mode_steps_down_and_is_remembered(make_gateway, groq):
    """Capabilities are learnt once, not at each call."""
    groq.fault("mode_unsupported", times=2)

    async with make_gateway(models=(SMALL,)) as gateway:
        await ask(gateway)
        await ask(gateway)

    modes = [
        (c["response_format"]["type"], c["response_format"].get("json_schema", {}).get("strict")) for c in groq.calls
    ]
    assert modes == [("json_schema", True), ("json_schema", False), ("json_object", None), ("json_object", None)]


def modes_of(groq) -> list[str]:
    """In which mode each call was made."""
    names = {"json_object": "json_object"}
    formats = [call["response_format"] for call in groq.calls]
    return [
        names.get(f["type"], "strict" if f.get("json_schema", {}).get("strict") else "best_effort") for f in formats
    ]


@pytest.mark.parametrize("kind", ["not_json", "json_validate_failed", "null_choice"])
async def test_repeated_bad_json_is_asked_for_in_weaker_modes(make_gateway, groq, load_calls, kind):
    """Where a mode does not hold a model, the next one may; each try is in the books."""
    groq.fault(kind, times=3)

    async with make_gateway(models=(SMALL,)) as gateway:
        await ask(gateway)

    assert modes_of(groq) == ["strict", "strict", "best_effort", "json_object"]
    assert [row["outcome"] for row in await load_calls()] == ["invalid"] * 3 + ["ok"]


async def test_bad_json_in_every_mode_is_no_answer(make_gateway, groq):
    """Four paid tries are the end of it."""
    groq.fault("not_json", times=100)

    async with make_gateway(models=(SMALL,)) as gateway:
        with pytest.raises(LlmReplyInvalid, match="not JSON"):
            await ask(gateway)

    assert len(groq.calls) == 4


async def test_one_spoilt_question_does_not_take_a_models_mode_away(make_gateway, groq):
    """A hostile text may break its own answer; the next question is asked in the strongest mode again."""
    groq.fault("not_json", times=2)

    async with make_gateway(models=(SMALL,)) as gateway:
        await ask(gateway)
        await ask(gateway)

    assert modes_of(groq) == ["strict", "strict", "best_effort", "strict"]


async def test_a_weaker_mode_is_learnt_from_several_questions_and_kept_over_a_restart(make_gateway, groq, clock):
    """What was paid for is not paid for again, and not believed for ever: services mend."""
    async with make_gateway(models=(SMALL,)) as gateway:
        for _ in range(3):
            groq.fault("not_json", times=2)
            await ask(gateway)
        await ask(gateway)
    async with make_gateway(models=(SMALL,)) as restarted:
        await ask(restarted)
        clock.forward(days=8)
        await ask(restarted)

    assert modes_of(groq) == ["strict", "strict", "best_effort"] * 3 + ["best_effort", "best_effort", "strict"]


async def test_a_model_that_wraps_its_json_is_understood(make_gateway, groq):
    """Best effort means thoughts and code fences around the object."""
    groq.fault("wrapped")

    async with make_gateway(models=("qwen/qwen3.8-27b",)) as gateway:
        reply = await ask(gateway)

    assert reply.model == "qwen/qwen3.8-27b"
    assert groq.calls[0]["response_format"]["json_schema"]["strict"] is False
    assert len(groq.calls) == 1


async def test_the_cap_holds_while_many_ask_at_once(make_gateway, groq, load_calls):
    """Forty calls at once against money for a few: the booked sum stays below the cap, and no call is made beyond it."""
    async with make_gateway(daily_cap_usd=Decimal("0.002"), purpose_shares={Purpose.FORECAST: 1.0}) as gateway:
        outcomes = await asyncio.gather(*(ask(gateway) for _ in range(40)), return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, BudgetExhausted)]
    rows = await load_calls()
    assert refused
    assert len(rows) == len(groq.calls) == 40 - len(refused)
    assert 0 < sum(row["cost_nano"] for row in rows) <= 2_000_000


async def test_a_used_up_share_is_told_before_work_is_queued(make_gateway, groq):
    """Jobs leave their units for tomorrow instead of letting each die of the same cap."""
    async with make_gateway(daily_cap_usd=Decimal("0.002")) as gateway:
        assert await gateway.unready_reason(Purpose.FORECAST) is None  # its share is 0.0011
        await ask(gateway)
        await ask(gateway)

        assert "forecast share of the daily cap is used up" in await gateway.unready_reason(Purpose.FORECAST)
    assert len(groq.calls) == 2


async def test_the_kill_switch_is_read_before_each_call(make_gateway, groq):
    """An operator's stop works at once, without a restart."""
    reasons = []
    async with make_gateway(kill_switch=lambda: reasons[-1] if reasons else None) as gateway:
        await ask(gateway)
        reasons.append("paused by the operator")
        groq.released.set()

        assert gateway.off_reason == "paused by the operator"
        with pytest.raises(LlmRefused, match="paused by the operator"):
            await ask(gateway)
    assert len(groq.calls) == 1


async def test_an_operators_file_stops_the_next_call_and_its_removal_lets_it_pass(make_gateway, groq, tmp_path):
    """No restart, no command, no database: a file, read before each paid call."""
    switch = tmp_path / "kill-switch"
    async with make_gateway(kill_switch=file_switch(switch)) as gateway:
        await ask(gateway)
        switch.write_text("the bill looks odd\nsecond line")
        with pytest.raises(LlmRefused, match=r"kill-switch: the bill looks odd$"):
            await ask(gateway)
        switch.unlink()
        await ask(gateway)

    assert len(groq.calls) == 2


async def test_a_run_of_failures_over_all_models_stops_all_for_a_while(store, groq):
    """A request of ours that is wrong each time burns nothing more after six; then one question is the trial."""
    now = [0.0]
    options = GatewayOptions(api_key="k", base_url=groq.url, models=(SMALL, LARGE), tokens_per_minute=1e6)
    async with Gateway(store, options, monotonic=lambda: now[0]) as gateway:
        groq.fault("unprocessable", times=7)
        for _ in range(6):
            with pytest.raises(LlmRefused):
                await ask(gateway)
        with pytest.raises(LlmUnavailable, match="nobody is asked for another 300 s"):
            await ask(gateway)
        assert len(groq.calls) == 6
        assert "asked again in 300 s" in await gateway.unready_reason(Purpose.FORECAST)

        now[0] += 301
        with pytest.raises(LlmRefused):  # the trial fails: twice as long
            await ask(gateway)
        with pytest.raises(LlmUnavailable, match="another 600 s"):
            await ask(gateway)
        now[0] += 601
        await ask(gateway)
        await ask(gateway)

    assert len(groq.calls) == 9


async def test_a_failing_model_gets_one_trial_when_its_pause_is_over(store, groq, waits):
    """Four questions that waited must not all hit a service that just came back, or did not."""
    now = [0.0]
    options = GatewayOptions(api_key="k", base_url=groq.url, models=(SMALL,), tokens_per_minute=1e6)
    async with Gateway(store, options, sleep=waits, monotonic=lambda: now[0]) as gateway:
        groq.fault("unavailable", times=3)
        with pytest.raises(LlmUnavailable):
            await ask(gateway)
        now[0] += 61
        groq.fault("slow", seconds=30)
        groq.arrived.clear()
        trial = asyncio.create_task(ask(gateway))
        await asyncio.wait_for(groq.arrived.wait(), 10)
        with pytest.raises(LlmUnavailable, match="left alone"):
            await ask(gateway)
        groq.released.set()
        await trial
        await ask(gateway)

    assert len(groq.calls) == 5


async def test_a_trial_that_was_given_up_leaves_the_trial_to_the_next_question(store, groq, waits):
    """A run that was cancelled in the middle of it would else shut the model out until a restart."""
    now = [0.0]
    options = GatewayOptions(api_key="k", base_url=groq.url, models=(SMALL,), tokens_per_minute=1e6)
    async with Gateway(store, options, sleep=waits, monotonic=lambda: now[0]) as gateway:
        groq.fault("unavailable", times=3)
        with pytest.raises(LlmUnavailable):
            await ask(gateway)
        now[0] += 61
        groq.fault("slow", seconds=30)
        groq.arrived.clear()
        trial = asyncio.create_task(ask(gateway))
        await asyncio.wait_for(groq.arrived.wait(), 10)
        trial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trial

        assert (await ask(gateway)).model == SMALL
        groq.released.set()


async def test_hostile_text_cannot_stop_the_others(make_gateway, groq):
    """Leaked markers and unreadable answers are one market's business: no number of them opens the breaker."""
    async with make_gateway(models=(SMALL,)) as gateway:
        groq.fault("leak", times=8)
        for _ in range(8):
            with pytest.raises(LlmReplyInvalid):
                await ask(gateway)

        assert (await ask(gateway)).model == SMALL


async def test_a_models_calls_of_the_day_are_counted_and_the_next_model_answers(make_gateway, groq, load_calls):
    """The service counts refused attempts too, so do we; what was never sent is no call."""
    groq.fault("unavailable")
    async with make_gateway(daily_calls=2) as gateway:
        replies = [await ask(gateway) for _ in range(3)]
        with pytest.raises(CallsExhausted, match="2 calls of this model are used up"):
            await ask(gateway)
        assert "2 calls of each model are used up" in await gateway.unready_reason(Purpose.FORECAST)

    assert [reply.model for reply in replies] == [SMALL, LARGE, LARGE]
    assert len(groq.calls) == len(await load_calls()) == 4


async def test_the_tokens_of_the_day_are_a_cap_too(make_gateway, groq):
    """A model that bills nobody can still be worked to death."""
    async with make_gateway(daily_tokens=8_000) as gateway:
        outcomes = await asyncio.gather(*(ask(gateway) for _ in range(10)), return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, BudgetExhausted)]
    assert re.search(r"may take \d+ tokens, and \d+ are left of the day's 8,000", str(refused[0]))

    told = sum(usage["total_tokens"] for _, usage in groq.told)
    assert 0 < told <= 8_000


async def test_every_row_says_which_prices_it_was_reckoned_with(make_gateway, groq, load_calls):
    """A cost must be explainable after the table has changed."""
    async with make_gateway() as gateway:
        await ask(gateway)
        assert await gateway.refresh_models() == []
        await ask(gateway)

    assert [row["prices_as_of"] for row in await load_calls()] == ["2026-11", "listed 2026-11-21"]


async def test_null_details_of_usage_are_no_failure(gateway, groq, load_calls):
    """The service's own SDK types them as numbers; they come as null."""
    groq.fault("null_usage_details")

    await ask(gateway)

    (row,) = await load_calls()
    assert (row["outcome"], row["cached_tokens"]) == ("ok", 0)


@pytest.mark.parametrize("kind", ["tokens_of_the_day", "requests_of_the_day"])
async def test_a_limit_of_the_day_parks_the_model_for_as_long_as_its_text_says(gateway, groq, kind):
    """There is no header for the day's tokens: the wait stands in the sentence alone."""
    groq.fault(kind, model=SMALL)

    replies = [await ask(gateway), await ask(gateway)]

    assert [reply.model for reply in replies] == [LARGE, LARGE]
    assert [call["model"] for call in groq.calls] == [SMALL, LARGE, LARGE]


@pytest.mark.parametrize(
    ("over", "words"), [({"api_key": None}, "no GROQ_API_KEY"), ({"enabled": False}, "AI_ANALYSIS_ENABLED")]
)
async def test_an_off_gateway_says_why_and_asks_nobody(make_gateway, groq, load_calls, over, words):
    """Callers skip in words; nothing is reserved, nothing is sent."""
    async with make_gateway(**over) as gateway:
        assert words in gateway.off_reason
        assert words in await gateway.unready_reason(Purpose.FORECAST)
        with pytest.raises(LlmRefused, match=words):
            await ask(gateway)

    assert groq.calls == []
    assert await load_calls() == []


@pytest.mark.parametrize(
    ("path", "prefix"), [("", "/v1/"), ("", "/v1"), ("", "v1/"), ("/v1", "/openai/v1/"), ("/v1/", "/v1/")]
)
async def test_a_local_server_is_asked_under_its_own_path_without_a_key(store, path, prefix):
    """Ollama and llama.cpp serve /v1/, the SDK posts to /openai/v1/; however it is written down, it arrives."""
    async with GroqServer(prefix="/v1", headers={}, models=("llama3.2:3b",), prices={}) as local:
        options = GatewayOptions(base_url=f"{local.url}{path}", path_prefix=prefix, models=("llama3.2:3b",))
        async with Gateway(store, options) as gateway:
            assert gateway.off_reason is None
            reply = await ask(gateway)
            assert await gateway.refresh_models() == []

    (call,) = local.calls
    assert (local.n_listed, reply.cost_usd) == (1, 0)
    assert not {"include_reasoning", "service_tier", "reasoning_effort"} & set(call)


async def test_a_service_that_is_not_there_costs_nothing(make_gateway, load_calls, unused_port):
    """A connection that was never made cannot have been billed."""
    async with make_gateway(base_url=f"http://127.0.0.1:{unused_port}", models=(SMALL,)) as gateway:
        with pytest.raises(LlmUnavailable):
            await ask(gateway)

    assert {(row["state"], row["cost_nano"]) for row in await load_calls()} == {("released", 0)}


async def test_the_key_never_shows(make_gateway, groq, load_calls, capsys):
    """Not in the options' text, not in errors, not in rows, not in the log."""
    groq.fault("key")
    gateway = make_gateway()
    async with gateway:
        with pytest.raises(LlmRefused) as caught:
            await ask(gateway)

    printed = capsys.readouterr()
    everything = f"{gateway._options!r} {caught.value} {await load_calls()} {printed.out} {printed.err}"
    assert "secret-key" not in everything


async def test_the_service_runs_as_a_process_of_its_own():
    """The demo starts it so: one JSON line when it listens, faults by HTTP, a clean end on SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.groq", "--port", "0", "--seed", "7",
        stdout=asyncio.subprocess.PIPE, cwd=Path.cwd(),
    )  # fmt: skip
    try:
        url = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))["url"]
        async with httpx.AsyncClient(base_url=url) as client:
            models = await client.get("/openai/v1/models")
            faulted = await client.post("/control/fault", json={"kind": "unavailable", "times": 1})
            answer = await client.post(
                "/openai/v1/chat/completions",
                json={"model": SMALL, "messages": []},
                headers={"authorization": "Bearer k"},
            )
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 10)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert SMALL in {row["id"] for row in models.json()["data"]}
    assert faulted.status_code == 204
    assert answer.status_code == 503
    assert code == 0
