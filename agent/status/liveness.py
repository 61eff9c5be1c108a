"""Whether each loop of the daemon still keeps its own deadline. Pure; the daemon asks before it feeds the watchdog.

Law: an absent network is not a hang; a loop asleep on purpose says until when. A loop that passed its deadline
starves the watchdog, and systemd restarts the process with every stack in the journal.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Pulse:
    """The last sign of life of one loop."""

    name: str
    beat_at: datetime | None  # None: not started yet, which is not a hang
    deadline: timedelta  # longest silence that is still healthy
    wakes_at: datetime | None = None  # asleep on purpose until then


def overdue(pulses: Iterable[Pulse], now: datetime) -> list[str]:
    """Names of the loops that have been silent for too long."""
    return [
        pulse.name
        for pulse in pulses
        if pulse.beat_at is not None and now - max(pulse.beat_at, pulse.wakes_at or pulse.beat_at) > pulse.deadline
    ]
