"""Answers: the one that fits passes, everything else is a fault that was paid for."""

import json

import pytest

from agent.llm.answers import read, rescued
from agent.llm.calls import RawReply
from agent.llm.faults import CallFailed, Fault, FaultKind
from agent.llm.models import JsonMode
from agent.llm.schemas import FORECAST

MARKER = "DATA-0011223344556677"
GOOD = {
    "market": "M1",
    "time_left": "a week",
    "status_quo": "no change",
    "base_rate": "seldom",
    "case_no": "nothing happens",
    "case_yes": "it happens",
    "probability_yes": 0.12,
    "confidence": 55,
}


def raw(text: str, finish_reason: str = "stop") -> RawReply:
    """What a service sent back."""
    return RawReply(text=text, finish_reason=finish_reason, usage=None, headers={})


def test_a_fitting_answer_is_read():
    """The normal case."""
    assert read(raw(json.dumps(GOOD)), FORECAST, JsonMode.STRICT, marker=MARKER).probability_yes == 0.12


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (raw(json.dumps(GOOD), "length"), FaultKind.CUT),
        (raw(json.dumps(GOOD)[:50]), FaultKind.BAD_JSON),
        (raw(""), FaultKind.BAD_JSON),
        (raw("null"), FaultKind.INVALID),
        (raw("[]"), FaultKind.INVALID),
        (raw("\ud800"), FaultKind.BAD_JSON),
        (raw('{"market": 1e999}'), FaultKind.INVALID),
        (raw("[" * 5_000), FaultKind.INVALID),
        (raw(json.dumps(GOOD | {"market": "M2"})), FaultKind.INVALID),
        (raw(json.dumps(GOOD | {"probability_yes": float("nan")})), FaultKind.BAD_JSON),
        (raw(json.dumps({k: v for k, v in GOOD.items() if k != "probability_yes"})), FaultKind.INVALID),
        (raw(json.dumps(GOOD | {"case_yes": f"it says {MARKER}"})), FaultKind.LEAKED),
    ],
)
def test_anything_else_is_a_fault_and_was_charged(reply, kind):
    """No default, no repair: a row without an answer is better than a row with a wrong one."""
    with pytest.raises(CallFailed) as caught:
        read(reply, FORECAST, JsonMode.STRICT, marker=MARKER)

    assert (caught.value.fault.kind, caught.value.fault.charged) == (kind, True)


def test_words_around_the_object_are_forgiven_only_where_decoding_is_not_strict():
    """Strict decoding cannot wrap; if it does, something else answered."""
    wrapped = raw(f"<think>hm</think>\n```json\n{json.dumps(GOOD)}\n```")

    assert read(wrapped, FORECAST, JsonMode.BEST_EFFORT, marker=MARKER).confidence == 55
    with pytest.raises(CallFailed):
        read(wrapped, FORECAST, JsonMode.STRICT, marker=MARKER)


@pytest.mark.parametrize(
    ("text", "saved"),
    [
        (f"Sure: {json.dumps(GOOD)}", True),
        ('{"market": "M1"', False),
        (None, False),
        (json.dumps(GOOD) + MARKER, False),
    ],
)
def test_what_the_service_called_bad_json_is_read_once_more(text, saved):
    """Its failed_generation is often a good answer with words around it; the same checks hold for it."""
    fault = Fault(kind=FaultKind.BAD_JSON, message="", charged=True, failed_text=text)

    assert (rescued(fault, FORECAST, marker=MARKER) is not None) is saved
