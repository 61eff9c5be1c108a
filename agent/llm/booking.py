"""What a call came to: follows one call from its reservation and says how to book it. Pure.

Law: a call that was never sent costs nothing; one that surely was not charged is released; one whose tokens are known
is booked at its cost; anything else (timeout, cancelled, no usage told) stays booked at its worst case.
"""

from dataclasses import dataclass
from typing import Literal

from agent.llm.calls import Usage
from agent.llm.faults import Fault, FaultKind
from agent.llm.models import Price
from agent.store.llm_calls import Settlement

CallOutcome = Literal["ok", "invalid", "refused", "unavailable", "timeout", "abandoned"]

_OUTCOMES: dict[FaultKind, CallOutcome] = {
    FaultKind.BAD_JSON: "invalid",
    FaultKind.CUT: "invalid",
    FaultKind.INVALID: "invalid",
    FaultKind.LEAKED: "invalid",
    FaultKind.RATE_LIMITED: "unavailable",
    FaultKind.TRANSIENT: "unavailable",
    FaultKind.TIMEOUT: "timeout",
}  # every other kind: the service refused


@dataclass(slots=True, kw_only=True)
class Trace:
    """What is known about one call so far. `started` is monotonic seconds."""

    price: Price
    reserved_nano: int
    started: float
    sent: bool = False
    answered: bool = False  # with an answer that was accepted
    usage: Usage | None = None
    fault: Fault | None = None

    @property
    def charged(self) -> bool:
        """Whether the service may bill this call."""
        return self.sent and (self.fault is None or self.fault.charged)

    @property
    def cost_nano(self) -> int:
        """What the call is booked at."""
        if not self.charged:
            return 0
        if self.usage is None:
            return self.reserved_nano
        return self.price.cost_nano(
            prompt_tokens=self.usage.prompt_tokens,
            cached_tokens=self.usage.cached_tokens,
            completion_tokens=self.usage.completion_tokens,
        )

    def settlement(self, *, now: float, ended_at: int) -> Settlement:
        """How to book the call."""
        usage = self.usage
        return Settlement(
            state="booked" if self.charged else "released",
            outcome=self._outcome(),
            ended_at=ended_at,
            cost_nano=self.cost_nano,
            prompt_tokens=None if usage is None else usage.prompt_tokens,
            cached_tokens=None if usage is None else usage.cached_tokens,
            completion_tokens=None if usage is None else usage.completion_tokens,
            latency_ms=round((now - self.started) * 1000),
            error=self._error(),
        )

    def _outcome(self) -> CallOutcome:
        if self.answered:
            return "ok"
        return "abandoned" if self.fault is None else _OUTCOMES.get(self.fault.kind, "refused")

    def _error(self) -> str | None:
        if self.fault is not None:
            return self.fault.message
        if self.answered:
            return None
        return "stopped after it was sent: counted as spent" if self.sent else "never sent"
