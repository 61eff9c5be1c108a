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
    jitter_s: float = 0.0  # for jobs that ask others: not together with everybody's cron
    shared: bool = False  # hosts share it out, for it costs money: without a lease on its share a host waits


TIMERS: Mapping[str, Timer] = {
    "collect": Timer("*/15 * * * *", "latest", 840),  # must be over before the next quarter hour
    "pairs": Timer("3-59/15 * * * *", "latest", 600),  # the collect it reads is over, the first match takes minutes
    "arbitrage": Timer("6-59/15 * * * *", "latest", 300, jitter_s=10),  # three minutes after the pairs it prices
    "analyse": Timer("5,20,35,50 * * * *", "latest", 600, shared=True),  # five minutes after the collect it reads
    "benchmark": Timer("10 * * * *", "latest", 600),  # the hour's collect has landed, its books are still young
    # Between two collects, for the first horizon's window is twenty minutes wide; the benchmark does it on the hour.
    "horizons": Timer("7-59/15 * * * *", "latest", 600),
    # Four minutes after the benchmark it reads; what an hour ago was far from its price is said by nobody now.
    "signals": Timer("14 * * * *", "none", 300),
    "reports": Timer("20 8 * * *", "latest", 600),  # once a day: a verdict does not change by the hour
    # Between two collects; answers do not come by the minute.
    "resolve": Timer("40 */4 * * *", "latest", 3600, jitter_s=30),
    "refresh-events": Timer("25 */2 * * *", "latest", 1800, jitter_s=30),
    # An hour before predict, which then knows what has ended.
    "catalogue": Timer("0 6 * * *", "latest", 3000, jitter_s=30),
    # Whatever is busiest first, while yesterday's answers are in; the same questions are not asked again at seven.
    "predict-batch": Timer("0 6 * * *", "latest", 3600, shared=True),
    "predict": Timer("0 7 * * *", "latest", 3600, shared=True),
    # Begun at once when somebody asks; the timer finds what a dead process owes. Six hours of asking without a pause.
    "sessions": Timer("*/10 * * * *", "none", 21_600, shared=True),
    "retention": Timer("50 3 * * *", "latest", 3600),  # the quietest hour, ten minutes before a collect
    # An hour after the day's forecasts; again where no model was there.
    "digest": Timer("0 8,14 * * *", "latest", 600, shared=True),
    # Models die with weeks of notice, and the daemon asks at its start: a missed slot is owed by nobody.
    "models": Timer("30 4 * * 1", "none", 120, jitter_s=30),
}
