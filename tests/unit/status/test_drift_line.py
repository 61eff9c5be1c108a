"""What the status says of a format that changed."""

from datetime import timedelta

from agent.status.report import report
from agent.status.statements import Level, Line
from agent.store.drift import Drift
from sync.records import Venue
from tests.unit.status.house import NOW, make_live, make_state

GONE = "last_price_dollars is gone (missing in 0% of records before, 100% now)"


def line(**over: object) -> Line:
    """The line about Kalshi's format."""
    values: dict[str, object] = {
        "venue": Venue.KALSHI,
        "since": NOW - timedelta(hours=2),
        "distrusted": ("last_price_dollars",),
        "lost": ("last_price",),
        "reasons": (GONE,),
    }
    drift = Drift(**values | over)  # type: ignore[arg-type]
    judged = report(make_state(drifts=(drift,)), make_live(), NOW)
    return {one.key: one for section in judged.sections for one in section.lines}["collect.drift.kalshi"]


def test_what_is_lost_is_told_with_the_reason_and_what_to_do() -> None:
    """A price that is missing for a reason looks like one that is missing."""
    told = line()

    assert told.level is Level.DEGRADED
    assert told.text == "kalshi format: 1 changed field since 12:15:43 · not stored: last_price"
    assert told.why == GONE
    assert told.advice


def test_a_shrunken_listing_is_a_worry_of_its_own() -> None:
    """Nothing is wrong with its fields."""
    told = line(distrusted=(), lost=(), reasons=(), shrunk="20 market records listed, usually 40: 50% are missing")

    assert (told.level, told.why) == (Level.DEGRADED, "20 market records listed, usually 40: 50% are missing")


def test_a_field_nobody_needs_worries_nobody() -> None:
    """An alarm about it would be switched off, and with it the others."""
    told = line(lost=())

    assert (told.level, told.text) == (Level.OK, "kalshi format: 1 changed field since 12:15:43 · none that we need")


def test_a_venue_that_is_not_read_is_not_mentioned() -> None:
    """Its last drift would stand there for ever."""
    drift = Drift(venue=Venue.KALSHI, since=NOW, distrusted=(), lost=("bid",), reasons=(GONE,))
    judged = report(make_state(drifts=(drift,)), make_live(venues=(Venue.POLYMARKET,)), NOW)

    assert "collect.drift.kalshi" not in {one.key for section in judged.sections for one in section.lines}
