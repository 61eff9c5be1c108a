"""What Polymarket's data host (v2) says about one market: how its question stands at the oracle, and its prices.

Law: rows leave documented fields out and write "69" for an unset price, so only `status` and `payouts` count; a
status never heard of is not final. facts: exchanges.md 1.5 and 1.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from agent.core.resolution import Evidence, Standing
from agent.errors import VenueDataError
from agent.venues import fields
from agent.venues.base import HistoryPoint
from agent.venues.document import decoded
from agent.venues.fields import Number

SOURCE: Final = "oracle"
HISTORY_SOURCE: Final = "data-prices-history"

_STANDING: Final = {
    "challenged": Standing.DISPUTED,
    "disputed": Standing.DISPUTED,
    "resolved": Standing.FINAL,
}  # anything else (posed, proposed, a word of next year) can still turn round


class _Row(msgspec.Struct, gc=False):
    condition_id: str | None = None
    status: str | None = None
    payouts: list[float] | None = None


class _Resolutions(msgspec.Struct):
    data: list[_Row] | None


class _Point(msgspec.Struct, gc=False):
    timestamp: float
    price: Number


class _Pagination(msgspec.Struct):
    has_more: bool | None = None
    next_cursor: str | None = None


class _History(msgspec.Struct):
    data: list[_Point] | None
    pagination: _Pagination | None = None


_RESOLUTIONS = msgspec.json.Decoder(_Resolutions)
_HISTORY = msgspec.json.Decoder(_History)


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """One page of a price history; `next_cursor` is None on the last."""

    points: list[HistoryPoint]
    next_cursor: str | None


def parse_resolution(body: bytes, condition_id: str, yes_at: int) -> Evidence:
    """Read /v2/resolutions of one condition.

    Args:
        yes_at: which payout is that of YES.
    Raises: VenueDataError, also where a final row has no usable payouts.
    """
    rows = decoded(_RESOLUTIONS, body, "oracle").data or ()
    row = next((row for row in rows if row.condition_id == condition_id), None)
    if row is None:
        return Evidence(SOURCE, Standing.SILENT)
    standing = _STANDING.get(row.status or "", Standing.PENDING)
    if standing is not Standing.FINAL:
        return Evidence(SOURCE, standing)
    return Evidence(SOURCE, standing, _share(row.payouts or (), yes_at))


def _share(payouts: Sequence[float], yes_at: int) -> float:
    """What YES pays: its part of all payouts, which are counted in millionths."""
    total = sum(payouts)
    if not yes_at < len(payouts) or not 0 < total < float("inf") or min(payouts) < 0:
        raise VenueDataError(f"oracle: resolved with payouts {list(payouts)!r:.80}")
    return payouts[yes_at] / total


def parse_history(body: bytes) -> HistoryPage:
    """Read /v2/prices-history. Raises: VenueDataError."""
    page = decoded(_HISTORY, body, "data prices-history")
    pagination = page.pagination or _Pagination()
    points = [
        HistoryPoint(
            at=fields.timestamp(point.timestamp, "timestamp"),
            source=HISTORY_SOURCE,
            price=fields.price(point.price, "price"),
        )
        for point in page.data or ()
    ]
    return HistoryPage(points, (pagination.next_cursor or None) if pagination.has_more else None)
