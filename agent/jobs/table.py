"""When each job runs unless the settings say otherwise: cron expressions in UTC, and what becomes of missed slots."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.jobs.runner import MissedPolicy


@dataclass(frozen=True, slots=True)
class Timer:
    """A job's place in the day."""

    schedule: str
    missed: MissedPolicy
    timeout_s: float


TIMERS: Mapping[str, Timer] = {
    "collect": Timer("*/15 * * * *", "latest", 840),  # must be over before the next quarter hour
    "analyse": Timer("5,20,35,50 * * * *", "latest", 600),  # five minutes after the collect it reads
    "benchmark": Timer("10 * * * *", "latest", 600),  # the hour's collect has landed, its books are still young
    "resolve": Timer("40 */4 * * *", "latest", 3600),  # between two collects; answers do not come by the minute
    "refresh-events": Timer("25 */2 * * *", "latest", 1800),
    "catalogue": Timer("0 6 * * *", "latest", 3000),  # an hour before predict, which then knows what has ended
    "predict": Timer("0 7 * * *", "latest", 3600),
    "retention": Timer("50 3 * * *", "latest", 3600),  # the quietest hour, ten minutes before a collect
    "digest": Timer("0 8 * * *", "latest", 600),  # an hour after the day's forecasts, which it quotes
    # Models die with weeks of notice, and the daemon asks at its start: a missed slot is owed by nobody.
    "models": Timer("30 4 * * 1", "none", 120),
}
