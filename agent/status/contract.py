"""The Report as every reader gets it: the screen, --json, MQTT, metrics, the snapshot. Pure, and light to import.

Law: its JSON form is a contract (docs/operate.md): fields are added within a schema version, never renamed or
removed; what is not known is null and never zero. Made by report.py alone.
"""

from datetime import datetime

import msgspec

from agent.status.statements import Level, Line, Section

SCHEMA_VERSION = 1


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """One market of the watch list."""

    title: str
    probability: float | None  # the mid, in [0, 1]
    seen_at: datetime | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers behind the words, flat; the keys Home Assistant's entities are named after. None = not known."""

    level: Level
    problem: bool
    cloud_connected: bool | None  # None where no cloud is configured
    pending_rows: int
    oldest_pending_age: int | None  # s
    last_tick: datetime | None
    last_sync: datetime | None
    buffer_size: float  # MB
    clock_skew: float | None  # ms
    markets_open: dict[str, int]  # per venue
    patterns_today: int
    insights_today: int
    llm_spent_usd: float
    predictions_active: int
    checks_today: int | None
    record_seq: int | None
    record_hash: str | None
    last_collect: dict[str, datetime | None] = {}  # per venue: its last good run
    markets_tracked: int = 0  # open, all venues
    llm_left_usd: float | None = None  # None: no cap, or no model is asked
    top_insight: str | None = None  # the best standing one of the last day, at most 255 characters
    arbitrage_present: bool = False
    arbitrage_active: int = 0  # edges that stand after fees
    rows_sent_total: int = 0  # of the stream in use; begins anew with a new stream
    batches_held: int = 0
    dead_letters: int = 0
    disk_free: float | None = None  # MB, where the data lies
    paused: bool = False
    jobs: dict[str, str] = {}  # per job: how its last run ended
    watched: dict[str, Watched] = {}  # per market key


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the house says about itself at one instant."""

    schema_version: int = SCHEMA_VERSION
    level: Level
    at: datetime
    host_id: str
    version: str
    started_at: datetime
    stream_id: str
    transport: str | None
    sections: tuple[Section, ...]
    figures: Figures

    def lines(self) -> list[Line]:
        """Every statement, in order."""
        return [line for room in self.sections for line in room.lines]


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen at one look: a report, and why it is not the present one; or only a sentence."""

    report: Report | None
    stale: str | None = None
