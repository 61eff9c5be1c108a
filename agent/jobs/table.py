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
    "predict": Timer("0 7 * * *", "latest", 3600),
}
