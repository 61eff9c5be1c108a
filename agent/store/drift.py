"""The habit of each venue's format, and what is wrong with it now."""

import json
from datetime import datetime

import msgspec

from agent.core.drift import Habit, Profile, habit
from agent.core.instants import from_ms, to_ms
from agent.store.tx import Reader, Tx
from sync.records import Venue

# Good listings that form a habit: six hours of quarter hours, so that a new field is usual after a while.
GOOD_KEPT = 24
# A day of listings for the count: more than half of it must be short before short is usual.
COUNTS_KEPT = 96

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Profile).decode


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a venue's format, until it is healthy again."""

    venue: Venue
    since: datetime
    distrusted: tuple[str, ...]  # wire fields
    lost: tuple[str, ...]  # our values that are not stored
    reasons: tuple[str, ...]  # each changed field in words
    shrunk: str | None = None  # that the listing is much shorter than usual, in words

    @property
    def harmful(self) -> bool:
        """Whether anything of ours is missing; a field nobody reads may come and go."""
        return bool(self.lost or self.shrunk)


async def load_habit(reader: Reader, venue: Venue) -> Habit | None:
    """What this venue's listings usually look like; None before the first good one."""
    good = await reader.fetch(
        "SELECT body FROM drift_profiles WHERE venue = ? AND body IS NOT NULL ORDER BY at DESC LIMIT ?",
        (venue, GOOD_KEPT),
    )
    counts = await reader.fetch(
        "SELECT n_records FROM drift_profiles WHERE venue = ? ORDER BY at DESC LIMIT ?", (venue, COUNTS_KEPT)
    )
    return habit([_decode(row["body"]) for row in good], [row["n_records"] for row in counts])


async def save_profile(tx: Tx, venue: Venue, profile: Profile, *, good: bool, now: datetime) -> None:
    """Remember a complete listing; the oldest ones go."""
    await tx.execute(
        "INSERT OR REPLACE INTO drift_profiles (venue, at, n_records, body) VALUES (?, ?, ?, ?)",
        (venue, to_ms(now), profile.n_records, _encode(profile) if good else None),
    )
    # A body outlives the counts while newer good ones are fewer than a habit: a drift of days must not be forgotten.
    await tx.execute(
        "DELETE FROM drift_profiles WHERE venue = :venue"
        " AND at NOT IN (SELECT at FROM drift_profiles WHERE venue = :venue ORDER BY at DESC LIMIT :counts)"
        " AND at NOT IN (SELECT at FROM drift_profiles WHERE venue = :venue AND body IS NOT NULL"
        "   ORDER BY at DESC LIMIT :good)",
        {"venue": venue, "counts": COUNTS_KEPT, "good": GOOD_KEPT},
    )


async def load_drifts(reader: Reader) -> dict[Venue, Drift]:
    """What is wrong now, by venue."""
    rows = await reader.fetch("SELECT * FROM drift ORDER BY venue")
    return {
        Venue(row["venue"]): Drift(
            venue=Venue(row["venue"]),
            since=from_ms(row["since"]),
            distrusted=tuple(json.loads(row["distrusted"])),
            lost=tuple(json.loads(row["lost"])),
            reasons=tuple(json.loads(row["reasons"])),
            shrunk=row["shrunk"],
        )
        for row in rows
    }


async def save_drift(tx: Tx, drift: Drift) -> None:
    """Write down what is wrong, `since` standing from the first time; without anything all is well again."""
    if not drift.reasons and drift.shrunk is None:
        await tx.execute("DELETE FROM drift WHERE venue = ?", (drift.venue,))
        return
    lists = (json.dumps(words) for words in (drift.distrusted, drift.lost, drift.reasons))
    await tx.execute(
        "INSERT INTO drift (venue, since, distrusted, lost, reasons, shrunk) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (venue) DO UPDATE SET distrusted = excluded.distrusted, lost = excluded.lost,"
        " reasons = excluded.reasons, shrunk = excluded.shrunk",
        (drift.venue, to_ms(drift.since), *lists, drift.shrunk),
    )
