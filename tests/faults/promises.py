"""The obligations of a run: a producer registers one when its commit has returned, the judge collects them at the end.

Law: a tick's records follow from its number alone, so what should stand in the cloud is computed anew and never
remembered; a commit whose return nobody saw may stand there or not, but whole and once. Trusts no counter.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from agent.store.db import Store
from agent.store.markets import save_markets
from agent.store.quotes import save_quotes
from sync.records import Market, MarketStatus, Quote, Venue

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ROWS = 3  # a market and two quotes: enough to tear a batch in the middle of its kinds

Landed = list[tuple[str, str]]  # (natural key, what it says), each row that stands in the cloud

LANDED = """
SELECT 'market ' || m.market_key || ' ' || to_char(r.fetched_at AT TIME ZONE 'UTC', 'HH24:MI:SS') AS key, r.title AS said
  FROM market_revision r JOIN market m USING (market_id)
UNION ALL
SELECT 'quote ' || m.market_key || ' ' || to_char(s.fetched_at AT TIME ZONE 'UTC', 'HH24:MI:SS'), s.bid::numeric(6, 4)::text
  FROM price_snapshot s JOIN market m USING (market_id)
"""


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the obligations; clean when nothing but `promised` and `landed` is above 0."""

    promised: int  # ticks whose commit returned
    landed: int  # rows in the cloud
    lost: int = 0  # rows promised, absent
    doubled: int = 0  # rows beyond the one that belongs there
    altered: int = 0  # rows that say something else than their number does
    foreign: int = 0  # rows nobody ever tried to store
    torn: int = 0  # ticks that landed in part
    quarantined: int = 0

    @property
    def clean(self) -> bool:
        """Whether every promise was kept and nothing else happened."""
        return not (self.lost or self.doubled or self.altered or self.foreign or self.torn or self.quarantined)


def key_of(number: int) -> str:
    """The market of a tick."""
    return f"polymarket:0x{number:08x}"


def records_of(number: int) -> tuple[Market, tuple[Quote, ...]]:
    """What a tick stores and sends, from its number alone."""
    market = Market(
        market_key=key_of(number),
        venue=Venue.POLYMARKET,
        venue_market_id=key_of(number).partition(":")[2],
        title=f"Will number {number} come?",
        status=MarketStatus.OPEN,
        fetched_at=NOON,
        close_time=NOON + timedelta(days=7),
        rules_text="Resolves to Yes if it does.",
    )
    quotes = tuple(
        Quote(
            market_key=key_of(number), fetched_at=NOON + timedelta(seconds=at), bid=bid, ask=bid + 0.1, mid=bid + 0.05
        )
        for at, bid in enumerate((number % 80 / 100 + 0.01, number % 80 / 100 + 0.06))
    )
    return market, quotes


def expected_of(number: int) -> dict[str, str]:
    """Natural key -> what it must say."""
    market, quotes = records_of(number)
    return {_key(market): market.title} | {_key(quote): f"{quote.bid:.4f}" for quote in quotes}


def _key(record: Market | Quote) -> str:
    kind = str(type(record).__struct_config__.tag)
    return f"{kind} {record.market_key} {record.fetched_at:%H:%M:%S}"


async def produce(store: Store, number: int) -> tuple[str, int, int, str]:
    """One tick, as the daemon stores one; returns (stream, lo, hi, digest) of what was sealed, once it is durable."""
    market, quotes = records_of(number)
    async with store.write() as tx:
        saved = await save_markets(tx, [market])
        for quote in quotes:
            await save_quotes(tx, [quote], saved.ids)
    row = await store.reader.fetch_one(
        "SELECT b.stream_id, lo, hi, hex(digest) FROM batches b JOIN streams s USING (stream_id)"
        " WHERE closed_at IS NULL ORDER BY lo DESC LIMIT 1"
    )
    assert row is not None
    return row[0], row[1], row[2], row[3]


async def landed_in_postgres(dsn: str) -> tuple[Landed, int]:
    """(every row that landed, how many stand in quarantine)."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(LANDED)
        return [(row["key"], row["said"]) for row in rows], await connection.fetchval(
            "SELECT count(*) FROM edge_quarantine"
        )
    finally:
        await connection.close()


def landed_in_memory(rows: Iterable[Mapping[str, Any]]) -> Landed:
    """The same of a cloud in memory, whose natural keys keep the first of equals, as the real one's do."""
    landed: Landed = []
    for row in rows:
        record = msgspec.convert(row, Market | Quote)
        said = record.title if isinstance(record, Market) else f"{record.bid:.4f}"
        landed.append((_key(record), said))
    return list(dict.fromkeys(landed))


def settle(promised: Iterable[int], attempted: Iterable[int], landed: Landed, quarantined: int = 0) -> Settlement:
    """Compare what was promised with what landed.

    Args:
        attempted: ticks whose commit may or may not have happened, beside the promised ones.
    """
    must, may = set(promised), set(attempted)
    expected = {number: expected_of(number) for number in must | may}
    said = {key: text for one in expected.values() for key, text in one.items()}
    counts = Counter(key for key, _ in landed)
    return Settlement(
        promised=len(must),
        landed=len(landed),
        lost=sum(key not in counts for number in must for key in expected[number]),
        doubled=sum(n - 1 for n in counts.values()),
        altered=sum(key in said and said[key] != text for key, text in landed),
        foreign=sum(key not in said for key in counts),
        torn=sum(0 < sum(key in counts for key in expected[number]) < ROWS for number in may - must),
        quarantined=quarantined,
    )


def as_line(**words: object) -> bytes:
    """A line of a run's diary."""
    return json.dumps(words).encode() + b"\n"
