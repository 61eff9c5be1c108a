"""Packages that pay for certain: one row each, from the first sight to the end."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from agent.core.instants import to_ms
from agent.store.tx import Reader, Tx
from sync.records import Arbitrage, ArbitrageStatus

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Arbitrage).decode


async def save_arbitrage(tx: Tx, found: Sequence[Arbitrage]) -> None:
    """Store packages as they stand now and let them travel; those that ended first, so that a successor may begin."""
    ordered = sorted(found, key=lambda one: one.status is ArbitrageStatus.ACTIVE)
    await tx.execute_many(
        "INSERT INTO arbitrage (arbitrage_id, legs, status, net_edge, detected_at, computed_at, body)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (arbitrage_id) DO UPDATE SET status = excluded.status,"
        " net_edge = excluded.net_edge, computed_at = excluded.computed_at, body = excluded.body",
        [
            (
                one.arbitrage_id,
                legs_of(one),
                one.status,
                one.net_edge,
                to_ms(one.detected_at),
                to_ms(one.computed_at),
                _encode(one),
            )
            for one in ordered
        ],
    )
    tx.emit(*ordered)


def legs_of(one: Arbitrage) -> str:
    """What makes it the same package: which sides of which markets, in whatever order."""
    return " ".join(sorted(f"{leg.market_key}={leg.side}" for leg in one.legs))


async def load_active(reader: Reader) -> list[Arbitrage]:
    """What pays now, as far as we saw last; the best first."""
    rows = await reader.fetch("SELECT body FROM arbitrage WHERE status = 'ACTIVE' ORDER BY net_edge DESC, arbitrage_id")
    return [_decode(row["body"]) for row in rows]


async def load_ended(reader: Reader, since: datetime, limit: int) -> list[Arbitrage]:
    """What paid and does no longer, the last to end first."""
    rows = await reader.fetch(
        "SELECT body FROM arbitrage WHERE status = 'EXPIRED' AND computed_at >= ? ORDER BY computed_at DESC LIMIT ?",
        (to_ms(since), limit),
    )
    return [_decode(row["body"]) for row in rows]
