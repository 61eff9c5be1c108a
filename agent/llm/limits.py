"""How fast a model may be asked: requests and tokens per minute, fed by the service's own headers.

Law: `max_completion_tokens` counts before the call runs, so a call takes its worst case from the bucket; buckets
refill continuously; what a header says replaces what we assumed. A parked model takes no call until its time is up.
`ModelLimits` is pure (callers pass monotonic seconds), `Limiter` waits for it.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping

from agent.errors import LlmRefused, LlmUnavailable

# No header tells the requests per minute, but both published plans have the same ratio: 8,000 tokens and 30 requests,
# 250,000 tokens and 1,000 requests.
TOKENS_PER_REQUEST = 267

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def parse_duration(text: str) -> float | None:
    """Seconds of a Go duration such as "2m59.56s" or "172ms"; None for anything else."""
    stripped = text.strip()
    parts = _PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


class _Bucket:
    """A continuously refilled allowance of one minute."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self._level = per_minute
        self._at: float | None = None

    def level(self, at: float) -> float:
        if self._at is not None and at > self._at:
            self._level = min(self.per_minute, self._level + (at - self._at) * self.per_minute / 60)
        self._at = at if self._at is None else max(at, self._at)
        return self._level

    def wait_s(self, amount: float, at: float) -> float:
        return max(0.0, (amount - self.level(at)) * 60 / self.per_minute)

    def take(self, amount: float, at: float) -> None:
        self._level = self.level(at) - amount

    def learn(self, *, per_minute: float | None, level: float | None, at: float) -> None:
        self.level(at)
        if per_minute is not None and per_minute > 0:
            self._level += per_minute - self.per_minute if per_minute > self.per_minute else 0.0
            self.per_minute = per_minute
        if level is not None:
            self._level = level
        self._level = min(self._level, self.per_minute)


class ModelLimits:
    """What is known about one model's limits. Pure; `at` is monotonic seconds."""

    def __init__(self, model: str, *, requests_per_minute: float, tokens_per_minute: float) -> None:
        self.model = model
        self.parked_until: float | None = None
        self._least_requests = requests_per_minute
        self._requests = _Bucket(requests_per_minute)
        self._tokens = _Bucket(tokens_per_minute)
        self._in_flight = 0
        self._unlimited = False  # a local server: no header, no limit

    @property
    def tokens_per_minute(self) -> float:
        """The limit in force."""
        return self._tokens.per_minute

    def parked_s(self, at: float) -> float:
        """Seconds until the model may be asked again."""
        return 0.0 if self.parked_until is None else max(0.0, self.parked_until - at)

    def park(self, seconds: float, at: float) -> None:
        """Keep away for so long; a shorter wish never shortens a longer one."""
        self.parked_until = max(self.parked_until or 0.0, at + seconds)

    def wait_s(self, tokens: int, at: float) -> float:
        """Seconds until a call of so many tokens fits."""
        if self._unlimited:
            return self.parked_s(at)
        waits = (self.parked_s(at), self._requests.wait_s(1, at), self._tokens.wait_s(tokens, at))
        return max(waits)

    def fits(self, tokens: int) -> bool:
        """Whether such a call can ever run: above the minute's limit the service answers 413."""
        return self._unlimited or tokens <= self._tokens.per_minute

    def take(self, tokens: int, at: float) -> None:
        """Account for a call that starts now."""
        self._requests.take(1, at)
        self._tokens.take(tokens, at)
        self._in_flight += tokens

    def done(self, tokens: int) -> None:
        """A call ended, however it ended."""
        self._in_flight -= tokens

    def observe(self, headers: Mapping[str, str], at: float) -> None:
        """Learn from the headers of an answer. Requests are counted per day there, tokens per minute."""
        limit, left = _number(headers, "limit-tokens"), _number(headers, "remaining-tokens")
        if limit is None and left is None:
            self._unlimited = True
            return
        self._unlimited = False
        # What is still in flight may or may not be counted in what the service says is left: assume not.
        level = None if left is None else left - self._in_flight
        self._tokens.learn(per_minute=limit, level=level, at=at)
        if limit is not None:
            self._requests.learn(per_minute=max(self._least_requests, limit / TOKENS_PER_REQUEST), level=None, at=at)
        if _number(headers, "remaining-requests") == 0:
            self.park(parse_duration(headers.get("x-ratelimit-reset-requests", "")) or 60.0, at)


def _number(headers: Mapping[str, str], name: str) -> float | None:
    try:
        value = float(headers[f"x-ratelimit-{name}"])
    except (KeyError, ValueError):
        return None
    return value if value >= 0 else None


class Limiter:
    """Lets calls of one model pass one after the other, each when it fits."""

    def __init__(
        self, limits: ModelLimits, *, max_parked_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = limits
        self._max_parked_s = max_parked_s
        self._monotonic = monotonic
        self._turn = asyncio.Lock()  # first come, first served: a large call is not starved by small ones
        self._news = asyncio.Event()

    async def acquire(self, tokens: int) -> None:
        """Wait until a call of so many tokens may start.

        Raises: LlmUnavailable if the model is parked for longer than is worth waiting, LlmRefused if it never fits.
        """
        async with self._turn:
            while True:
                now = self._monotonic()
                self._refuse(tokens, now)
                wait_s = self._limits.wait_s(tokens, now)
                if wait_s <= 0:
                    self._limits.take(tokens, now)
                    return
                self._news.clear()
                try:
                    async with asyncio.timeout(wait_s):
                        await self._news.wait()  # an answer may bring better news before the time is up
                except TimeoutError:
                    continue

    def _refuse(self, tokens: int, now: float) -> None:
        model, parked_s = self._limits.model, self._limits.parked_s(now)
        if parked_s > self._max_parked_s:
            raise LlmUnavailable(f"model {model}: parked for another {parked_s:.0f} s", retry_after_s=parked_s)
        if not self._limits.fits(tokens):
            raise LlmRefused(
                f"model {model}: a call of {tokens} tokens is above its {self._limits.tokens_per_minute:.0f} a minute",
                advice="shorten the request, or use a plan or model with a higher limit",
            )

    def done(self, tokens: int, headers: Mapping[str, str] | None) -> None:
        """Give back what a call held; headers of its answer, if there was one, teach the limits."""
        self._limits.done(tokens)
        if headers is not None:
            self._limits.observe(headers, self._monotonic())
        self._news.set()

    def park(self, seconds: float) -> None:
        """Ask nothing of this model for so long."""
        self._limits.park(seconds, self._monotonic())

    def parked_s(self) -> float:
        """Seconds until this model may be asked again."""
        return self._limits.parked_s(self._monotonic())
