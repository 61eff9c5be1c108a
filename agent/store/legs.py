"""What became of every leg of the events on a board: a sum over legs means something only when none is missing."""

import json
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from agent.core.patterns.base import Listing
from agent.store.tx import Reader
from sync.records import Market, MarketStatus, Resolution

_decode = msgspec.json.Decoder(Market).decode

_FATES = {
    (MarketStatus.OPEN, None): "n_open",
    (MarketStatus.UNOPENED, None): "n_unopened",
    (MarketStatus.RESOLVED, Resolution.YES): "n_won",
    (MarketStatus.RESOLVED, Resolution.NO): "n_lost",
}


async def load_legs(reader: Reader, events: Iterable[tuple[str, str]]) -> list[list[Market]]:
    """Every market the store knows of some events, event by event; events are (venue, event id)."""
    rows = await reader.fetch(
        "SELECT m.venue, m.event_id, m.body FROM json_each(?) j JOIN markets m"
        " ON m.venue = j.value ->> '$[0]' AND m.event_id = j.value ->> '$[1]' ORDER BY m.venue, m.event_id, m.id",
        (json.dumps(list(events)),),
    )
    found = defaultdict[tuple[str, str], list[Market]](list)
    for row in rows:
        found[row["venue"], row["event_id"]].append(_decode(row["body"]))
    return list(found.values())


async def load_listings(reader: Reader, events: Iterable[tuple[str, str]]) -> dict[str, Listing]:
    """Legs the store knows, counted by fate, by event_key; events are (venue, event id).

    Whatever is neither trading, waiting, won nor lost is undecided: paused, closed, disputed (even while it trades),
    annulled. An open market that nobody ever quoted waits like one that has not opened.
    """
    rows = await reader.fetch(
        "SELECT m.venue, m.event_id, m.status, m.withheld, count(*) AS n,"
        " CAST(m.body AS TEXT) ->> '$.resolution' AS resolution"
        " FROM json_each(?) j JOIN markets m"
        " ON m.venue = j.value ->> '$[0]' AND m.event_id = j.value ->> '$[1]'"
        " GROUP BY m.venue, m.event_id, m.status, m.withheld, resolution",
        (json.dumps(list(events)),),
    )
    counts = defaultdict[str, dict[str, int]](lambda: defaultdict(int))
    for row in rows:
        fate = _FATES.get((row["status"], row["resolution"]), "n_undecided")
        fate = "n_unopened" if fate == "n_open" and row["withheld"] else fate
        counts[f"{row['venue']}:{row['event_id']}"][fate] += row["n"]
    return {key: Listing(**fates) for key, fates in counts.items()}
