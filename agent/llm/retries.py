"""What to do after a failed call: one table from fault to decision. Pure.

Law: every further try is another paid call with a reservation of its own, so each kind of fault has a small fixed
number of them. A wait the service asks for parks the model; the limiter then waits or another model is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto

from agent.core.backoff import next_delay_s
from agent.llm.faults import Fault, FaultKind
from agent.llm.models import JsonMode

TRIES = 3  # of what may pass: network, 5xx, 498, timeouts
RATE_TRIES = 3  # 429s in a row that ask for bearable waits
BASE_S, CAP_S = 1.0, 20.0  # of the backoff
UNNAMED_WAIT_S = 30.0  # a 429 that does not say how long
LEAST_COMPLETION = 512  # fewer tokens than this cannot hold an answer
GROWTH = 2  # a cut answer gets twice the room, once


class Step(Enum):
    """What the gateway does next."""

    AGAIN = auto()  # with the changed plan, after `wait_s`
    PARK = auto()  # keep away from the model for `wait_s`, then again
    WEAKER_MODE = auto()  # remember that the model cannot do this mode, then again
    NEXT_RUNG = auto()  # this question again in a weaker mode; what follows for others is the ladder's business
    NEXT_MODEL = auto()  # this model is away for now
    MODEL_GONE = auto()  # for good
    STOP_ALL = auto()  # the key is refused: no model will answer
    GIVE_UP_INVALID = auto()
    GIVE_UP_REFUSED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How the next try is made, and what was tried already."""

    mode: JsonMode
    max_completion_tokens: int
    temperature: float
    n_transient: int = 0
    n_rate: int = 0
    n_invalid: int = 0
    resized: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The next step, the plan for it, and how long to wait first."""

    step: Step
    plan: Plan
    wait_s: float = 0.0


def decide(fault: Fault, plan: Plan, *, jitter: float) -> Decision:
    """What follows from a fault.

    Args:
        jitter: a random share in [0, 1], drawn by the caller.
    """
    treatment = _TREATMENTS[fault.kind]
    return Decision(treatment, plan) if isinstance(treatment, Step) else treatment(fault, plan, jitter)


def _transient(_fault: Fault, plan: Plan, jitter: float) -> Decision:
    tried = plan.n_transient + 1
    if tried >= TRIES:
        return Decision(Step.NEXT_MODEL, plan)
    return Decision(Step.AGAIN, replace(plan, n_transient=tried), next_delay_s(tried, BASE_S, CAP_S, jitter))


def _rate_limited(fault: Fault, plan: Plan, _jitter: float) -> Decision:
    wait_s = UNNAMED_WAIT_S if fault.wait_s is None else fault.wait_s
    step = Step.PARK if plan.n_rate + 1 < RATE_TRIES else Step.NEXT_MODEL
    return Decision(step, replace(plan, n_rate=plan.n_rate + 1), wait_s)


def _unusable(_fault: Fault, plan: Plan, _jitter: float) -> Decision:
    """Once more without randomness; a second such answer is the model's last word."""
    step = Step.AGAIN if plan.n_invalid == 0 else Step.GIVE_UP_INVALID
    return Decision(step, replace(plan, n_invalid=plan.n_invalid + 1, temperature=0.0))


def _bad_json(_fault: Fault, plan: Plan, _jitter: float) -> Decision:
    """Once more without randomness, then once in each weaker mode; below the last there is nothing to hold it."""
    tried = replace(plan, n_invalid=plan.n_invalid + 1, temperature=0.0)
    if plan.n_invalid == 0:
        return Decision(Step.AGAIN, tried)
    weaker = plan.mode.weaker
    if weaker is None:
        return Decision(Step.GIVE_UP_INVALID, tried)
    return Decision(Step.NEXT_RUNG, replace(tried, mode=weaker))


def _cut(_fault: Fault, plan: Plan, _jitter: float) -> Decision:
    step = Step.GIVE_UP_INVALID if plan.resized else Step.AGAIN
    return Decision(step, replace(plan, max_completion_tokens=plan.max_completion_tokens * GROWTH, resized=True))


def _too_large(fault: Fault, plan: Plan, _jitter: float) -> Decision:
    """A request above the minute's limit never passes as it is; only the room for the answer can give way."""
    room = plan.max_completion_tokens - (fault.excess_tokens or plan.max_completion_tokens)
    if plan.resized or room < LEAST_COMPLETION:
        return Decision(Step.GIVE_UP_REFUSED, plan)
    return Decision(Step.AGAIN, replace(plan, max_completion_tokens=room, resized=True))


def _mode_unsupported(_fault: Fault, plan: Plan, _jitter: float) -> Decision:
    weaker = plan.mode.weaker
    if weaker is None:
        return Decision(Step.GIVE_UP_REFUSED, plan)
    return Decision(Step.WEAKER_MODE, replace(plan, mode=weaker))


_TREATMENTS: dict[FaultKind, Step | Callable[[Fault, Plan, float], Decision]] = {
    FaultKind.TRANSIENT: _transient,
    FaultKind.TIMEOUT: _transient,
    FaultKind.RATE_LIMITED: _rate_limited,
    FaultKind.BAD_JSON: _bad_json,
    FaultKind.INVALID: _unusable,
    FaultKind.CUT: _cut,
    FaultKind.TOO_LARGE: _too_large,
    FaultKind.MODE_UNSUPPORTED: _mode_unsupported,
    FaultKind.LEAKED: Step.GIVE_UP_INVALID,
    FaultKind.MODEL_GONE: Step.MODEL_GONE,
    FaultKind.KEY_REFUSED: Step.STOP_ALL,
    FaultKind.REFUSED: Step.GIVE_UP_REFUSED,
}
