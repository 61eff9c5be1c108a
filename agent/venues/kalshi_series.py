"""What Kalshi states for a series of markets: its fee terms.

Law: the multiplier really varies (0.5 on baseball), changes are announced and happen, so it is kept with the time it
was read; a series without terms is counted as unreadable, never taken for free. facts: exchanges.md 4.1.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec
from msgspec import UNSET, Raw, UnsetType

from agent.errors import VenueDataError
from agent.venues import fields
from agent.venues.base import SeriesFees
from agent.venues.document import UNREADABLE, decoded
from agent.venues.fields import Number


class _Series(msgspec.Struct, gc=False):
    ticker: str | None = None
    fee_type: str | None = None
    fee_multiplier: Number = None


class _Answer(msgspec.Struct):
    series: Raw | UnsetType = UNSET  # a list on /series, one object on /series/{ticker}


_ANSWER = msgspec.json.Decoder(_Answer)
_MANY = msgspec.json.Decoder(list[Raw])
_ONE = msgspec.json.Decoder(_Series)


@dataclass(frozen=True, slots=True)
class FeePage:
    """The fee terms on one answer, and how many series could not be read."""

    fees: list[SeriesFees]
    n_rejected: int


def parse_fees(body: bytes, fetched_at: datetime) -> FeePage:
    """Read /series or /series/{ticker}. Raises: VenueDataError if it is neither."""
    answer = decoded(_ANSWER, body, "series")
    if answer.series is UNSET:
        raise VenueDataError(f"series: an answer without any: {body[:120]!r}")
    raw = bytes(answer.series)
    records = decoded(_MANY, raw, "series") if raw[:1] == b"[" else [answer.series]
    fees, n_rejected = list[SeriesFees](), 0
    for record in records:
        try:
            fees.append(_fees(_ONE.decode(record), fetched_at))
        except UNREADABLE:
            n_rejected += 1
    return FeePage(fees, n_rejected)


def _fees(series: _Series, fetched_at: datetime) -> SeriesFees:
    series_id, fee_type = fields.identifier(series.ticker, "ticker"), fields.identifier(series.fee_type, "fee_type")
    if series_id is None or fee_type is None or series.fee_multiplier is None:
        raise VenueDataError("a series without ticker or fee terms")
    return SeriesFees(
        series_id=series_id,
        fee_type=fee_type,
        fee_multiplier=fields.decimal(series.fee_multiplier, "fee_multiplier"),
        fetched_at=fetched_at,
    )
