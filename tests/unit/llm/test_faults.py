"""Every error body of the service, what it means, and what follows."""

import pytest

from agent.llm.faults import Fault, FaultKind, fault_of
from agent.llm.models import JsonMode
from agent.llm.retries import LEAST_COMPLETION, TRIES, Plan, Step, decide

PLAN = Plan(mode=JsonMode.STRICT, max_completion_tokens=2_000, temperature=0.2)


def body(message: str = "m", **more: object) -> dict[str, object]:
    """An error as the SDK hands it over."""
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("status", "content", "kind", "charged"),
    [
        (400, body(code="json_validate_failed", failed_generation="{"), FaultKind.BAD_JSON, True),
        (400, body("invalid JSON schema for response_format"), FaultKind.REFUSED, False),
        (400, body("This model does not support response format `json_schema`"), FaultKind.MODE_UNSUPPORTED, False),
        (400, body(code="model_decommissioned"), FaultKind.MODEL_GONE, False),
        (404, body(code="model_not_found"), FaultKind.MODEL_GONE, False),
        (404, body("Unknown request URL"), FaultKind.REFUSED, False),
        (401, body(code="invalid_api_key"), FaultKind.KEY_REFUSED, False),
        (403, body(), FaultKind.KEY_REFUSED, False),
        (413, body(code="rate_limit_exceeded", type="tokens"), FaultKind.TOO_LARGE, False),
        (422, body(), FaultKind.REFUSED, False),
        (429, body(type="tokens"), FaultKind.RATE_LIMITED, False),
        (498, body(code="capacity_exceeded"), FaultKind.TRANSIENT, False),
        (500, body(), FaultKind.TRANSIENT, False),
        (503, "<html>over capacity</html>", FaultKind.TRANSIENT, False),
        (408, None, FaultKind.TRANSIENT, True),
    ],
)
def test_each_error_is_known_by_status_and_code(status, content, kind, charged):
    """413 and 498 have no class of their own in the SDK, and bodies may be anything."""
    fault = fault_of(status, content, {})

    assert (fault.kind, fault.charged) == (kind, charged)


@pytest.mark.parametrize(
    ("headers", "message", "wait_s"),
    [
        ({"retry-after": "578"}, "try again in 1s", 578.0),
        ({}, "Limit reached (TPD). Please try again in 9m38.016s. Visit …", 578.016),
        ({"retry-after": "Wed, 21 Oct"}, "try again in 172ms.", 0.172),
        ({}, "slow down", None),
    ],
)
def test_a_rate_limit_says_how_long(headers, message, wait_s):
    """The header first, the text where there is none, and no guess."""
    fault = fault_of(429, body(message), headers)

    assert fault.wait_s == (None if wait_s is None else pytest.approx(wait_s))


def test_what_passes_is_tried_three_times_with_growing_waits():
    """Then another model is asked: a service that is down is not hammered."""
    plan, waits = PLAN, []
    for _ in range(TRIES - 1):
        decision = decide(Fault(kind=FaultKind.TRANSIENT, message=""), plan, jitter=1.0)
        assert decision.step is Step.AGAIN
        plan = decision.plan
        waits.append(decision.wait_s)

    assert waits == [1.0, 2.0]
    assert decide(Fault(kind=FaultKind.TIMEOUT, message=""), plan, jitter=1.0).step is Step.NEXT_MODEL


def test_a_rate_limit_parks_the_model_for_all_it_asked():
    """The SDK ignores waits above a minute and hammers; we do not."""
    decision = decide(Fault(kind=FaultKind.RATE_LIMITED, message="", wait_s=578.0), PLAN, jitter=0.0)

    assert (decision.step, decision.wait_s) == (Step.PARK, 578.0)


def test_an_unusable_answer_gets_one_more_try_without_randomness():
    """A second bad answer is the model's last word; each try is paid for."""
    first = decide(Fault(kind=FaultKind.INVALID, message=""), PLAN, jitter=0.0)
    second = decide(Fault(kind=FaultKind.INVALID, message=""), first.plan, jitter=0.0)

    assert (first.step, first.plan.temperature) == (Step.AGAIN, 0.0)
    assert second.step is Step.GIVE_UP_INVALID


def test_repeated_bad_json_walks_down_the_ladder_and_ends():
    """One more try in the same mode, one in each weaker one, and then the truth: each step is another paid call."""
    plan, seen = PLAN, []
    for _ in range(4):
        decision = decide(Fault(kind=FaultKind.BAD_JSON, message=""), plan, jitter=0.0)
        seen.append((decision.step, decision.plan.mode))
        plan = decision.plan

    assert seen == [
        (Step.AGAIN, JsonMode.STRICT),
        (Step.NEXT_RUNG, JsonMode.BEST_EFFORT),
        (Step.NEXT_RUNG, JsonMode.JSON_OBJECT),
        (Step.GIVE_UP_INVALID, JsonMode.JSON_OBJECT),
    ]
    assert plan.temperature == 0.0


def test_a_cut_answer_gets_twice_the_room_once():
    """Reasoning tokens eat the room; asking for the same again would be cut again."""
    first = decide(Fault(kind=FaultKind.CUT, message=""), PLAN, jitter=0.0)

    assert (first.step, first.plan.max_completion_tokens) == (Step.AGAIN, 4_000)
    assert decide(Fault(kind=FaultKind.CUT, message=""), first.plan, jitter=0.0).step is Step.GIVE_UP_INVALID


def test_a_request_too_large_is_shrunk_once_and_never_repeated_as_it_was():
    """A 413 repeats for ever; only the room for the answer can give way."""
    fault = fault_of(413, body("on tokens per minute (TPM): Limit 8000, Requested 8400, please reduce"), {})

    first = decide(fault, PLAN, jitter=0.0)

    assert (first.step, first.plan.max_completion_tokens) == (Step.AGAIN, 1_600)
    assert decide(fault, first.plan, jitter=0.0).step is Step.GIVE_UP_REFUSED


@pytest.mark.parametrize("excess", [None, 2_000 - LEAST_COMPLETION + 1])
def test_a_request_that_cannot_be_shrunk_enough_is_given_up(excess):
    """An answer without room is no answer."""
    fault = Fault(kind=FaultKind.TOO_LARGE, message="", excess_tokens=excess)

    assert decide(fault, PLAN, jitter=0.0).step is Step.GIVE_UP_REFUSED


def test_an_unsupported_mode_steps_down_the_ladder_to_its_end():
    """The models list does not tell capabilities: they are learnt."""
    fault = Fault(kind=FaultKind.MODE_UNSUPPORTED, message="")

    first = decide(fault, PLAN, jitter=0.0)
    second = decide(fault, first.plan, jitter=0.0)
    third = decide(fault, second.plan, jitter=0.0)

    assert [first.plan.mode, second.plan.mode] == [JsonMode.BEST_EFFORT, JsonMode.JSON_OBJECT]
    assert third.step is Step.GIVE_UP_REFUSED


@pytest.mark.parametrize("kind", FaultKind)
def test_every_fault_has_a_treatment(kind):
    """A kind without one would be a crash in the night."""
    assert decide(Fault(kind=kind, message=""), PLAN, jitter=0.5).step in Step
