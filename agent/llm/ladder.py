"""In which JSON mode a model is asked: the strongest it can, and what experience taught. Pure.

Law: "not supported" steps down at once; invalid JSON steps down for the question at hand, and for good only after it
happened to several questions in a row, so that one hostile text cannot take a model's strict mode away. What was learnt
is forgotten after a while: services mend.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.llm.models import JsonMode

SPOILT_QUESTIONS = 3  # in a row that only a weaker mode answered
MEMORY = timedelta(days=7)  # a step costs two paid tries to learn again


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """One step down, and when and why it was taken."""

    mode: JsonMode
    at: datetime
    reason: str


class Ladder:
    """One model's modes. `learnt` is what the store remembers; it is replaced at each step down."""

    def __init__(self, top: JsonMode, learnt: Learnt | None = None) -> None:
        self._top = top
        self.learnt = learnt
        self._n_spoilt = 0

    def mode(self, now: datetime) -> JsonMode:
        """The mode to begin a question in."""
        if self.learnt is None or now - self.learnt.at > MEMORY:
            return self._top
        return max(self._top, self.learnt.mode, key=list(JsonMode).index)  # the weaker of the two

    def unsupported(self, weaker: JsonMode, now: datetime) -> None:
        """The service does not know the mode above `weaker`."""
        self.learnt = Learnt(mode=weaker, at=now, reason="the service does not support the stronger mode")

    def answered(self, mode: JsonMode, *, began_in: JsonMode, now: datetime) -> bool:
        """A question was answered; True if it taught a step down."""
        if mode is began_in:
            self._n_spoilt = 0
            return False
        self._n_spoilt += 1
        if self._n_spoilt < SPOILT_QUESTIONS:
            return False
        self._n_spoilt = 0
        reason = f"{SPOILT_QUESTIONS} questions in a row came back as invalid JSON in mode {began_in}"
        self.learnt = Learnt(mode=mode, at=now, reason=reason)
        return True
