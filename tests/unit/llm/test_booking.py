"""What a call is booked at, by what is known of it."""

import pytest

from agent.llm.booking import Trace
from agent.llm.calls import Call, Usage
from agent.llm.faults import Fault, FaultKind
from agent.llm.models import profile_of

PRICE = profile_of("openai/gpt-oss-20b").price
USAGE = Usage(prompt_tokens=1_000, completion_tokens=100)


@pytest.mark.parametrize(
    ("known", "state", "cost", "outcome"),
    [
        ({}, "released", 0, "abandoned"),
        ({"sent": True}, "booked", 999, "abandoned"),
        ({"sent": True, "answered": True, "usage": USAGE}, "booked", 105_000, "ok"),
        ({"sent": True, "answered": True}, "booked", 999, "ok"),
        ({"sent": True, "fault": Fault(kind=FaultKind.TIMEOUT, message="", charged=True)}, "booked", 999, "timeout"),
        ({"sent": True, "fault": Fault(kind=FaultKind.RATE_LIMITED, message="")}, "released", 0, "unavailable"),
        ({"sent": True, "fault": Fault(kind=FaultKind.KEY_REFUSED, message="")}, "released", 0, "refused"),
        (
            {"sent": True, "usage": USAGE, "fault": Fault(kind=FaultKind.INVALID, message="", charged=True)},
            "booked",
            105_000,
            "invalid",
        ),
    ],
)
def test_a_call_is_booked_by_what_is_known(known, state, cost, outcome):
    """Unknown means the worst, not charged means nothing, and a paid bad answer is paid."""
    trace = Trace(price=PRICE, reserved_nano=999, started=10.0, **known)

    ending = trace.settlement(now=10.25, ended_at=1)

    assert (ending.state, ending.cost_nano, ending.outcome, ending.latency_ms) == (state, cost, outcome, 250)


@pytest.mark.parametrize(
    "text", ["plain English words", "数字と記号だらけの文章", "🙂🙃" * 50, "x9$k;2@" * 30, "é" * 100, "\ud800"]
)
def test_the_worst_case_bounds_any_text(text):
    """A token is at least one byte, so bytes bound what strangers' text can cost; characters / 3.2 would not."""
    call = Call(
        model="m", system="s", user=text, response_format={}, max_completion_tokens=100, temperature=0, effort=None
    )

    assert call.most_tokens >= len(text.encode("utf-8", "replace")) + 1
    assert call.n_chars >= len(text)
