"""A breaker: after failures in a row nothing is asked for a while, then one question may try. Pure.

Law: time comes from the caller as monotonic seconds; each time the trial fails the pause doubles, up to a limit;
failures that arrive while it is open were under way before and count once. One stands before each model, one before
all of them.
"""

from dataclasses import dataclass

MOST_DOUBLINGS = 10  # beyond any cap, and keeps the power small


@dataclass(slots=True, kw_only=True)
class Breaker:
    """The memory of failures of one model, or of the whole service."""

    n_to_open: int  # failures in a row
    open_s: float  # the first pause
    cap_s: float  # the longest
    n_failures: int = 0
    n_openings: int = 0  # in a row: each doubles the pause
    until_s: float | None = None  # None: closed
    probing: bool = False

    def away_s(self, at: float) -> float:
        """Seconds until a question is worth asking; 0 where one may pass."""
        if self.until_s is None:
            return 0.0
        if at < self.until_s:
            return self.until_s - at
        return self.open_s if self.probing else 0.0

    def admit(self, at: float) -> float | None:
        """None if a question may pass, else the seconds to stay away. Who passes an open one is its only trial."""
        away_s = self.away_s(at)
        if away_s > 0:
            return away_s
        self.probing = self.until_s is not None
        return None

    def failed(self, at: float) -> float:
        """A question failed for good; returns the pause that is in force now, 0 where there is none."""
        if self.until_s is not None and at < self.until_s:
            return self.until_s - at
        self.n_failures += 1
        self.probing = False
        if self.n_failures < self.n_to_open:
            return 0.0
        pause_s = min(self.cap_s, self.open_s * 2.0 ** min(self.n_openings, MOST_DOUBLINGS))
        self.n_openings += 1
        self.until_s = at + pause_s
        return pause_s

    def succeeded(self) -> None:
        """An answer came: all is forgotten."""
        self.n_failures, self.n_openings, self.until_s, self.probing = 0, 0, None, False

    def released(self) -> None:
        """A question ended that says nothing about the service: the next one may be the trial."""
        self.probing = False
