"""The fee terms a Polymarket market states itself: `feesEnabled`, `feeType` and `feeSchedule`. Pure.

Law: a schedule that is absent or cannot be read leaves its rates None and the market whole: its prices are as good as
ever, and whoever reckons a fee says what he assumed. `takerBaseFee` (1000) is an old switch, no rate, and not read;
neither is a rate taken from the name of a schedule, which stayed while the rates changed. facts: exchanges.md 4.2.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec

from agent.errors import VenueDataError
from agent.venues import fields
from agent.venues.document import UNREADABLE
from sync.records import FeeTerms

MOST_BYTES: Final = 1_000  # a schedule has 70; what is far longer is none, and is not kept in a cache
MOST_EXPONENT: Final = 10  # 1 and 2 have been seen; a huge one would make every fee nothing

_Amount = int | float | str | None  # an int stays one: "1", where a float would read "1.0"


class _Schedule(msgspec.Struct, gc=False):
    exponent: _Amount = None
    rate: _Amount = None
    takerOnly: bool | None = None  # noqa: N815  # the wire's spelling
    rebateRate: _Amount = None  # noqa: N815


_SCHEDULE = msgspec.json.Decoder(_Schedule | None)
_NOTHING: Final = FeeTerms()


def fee_terms(enabled: bool | None, kind: str | None, schedule: bytes) -> FeeTerms | None:
    """What the three fields say together; None where they say nothing.

    Args:
        schedule: the JSON as it came; empty where the field is absent.
    """
    if len(schedule) > MOST_BYTES:
        schedule = b""
    return _terms(enabled, fields.line(kind), schedule)


@lru_cache(maxsize=256)  # a dozen combinations serve every market
def _terms(enabled: bool | None, kind: str | None, schedule: bytes) -> FeeTerms | None:
    stated = _stated(schedule)
    terms = msgspec.structs.replace(stated, enabled=enabled, kind=kind)
    return None if terms == _NOTHING else terms


def _stated(schedule: bytes) -> FeeTerms:
    """The schedule's part of the terms; one part that cannot be read leaves all of it unread."""
    try:
        wire = (_SCHEDULE.decode(schedule) if schedule else None) or _Schedule()
        return FeeTerms(
            rate=_decimal(wire.rate, "feeSchedule.rate", most=1),
            exponent=_decimal(wire.exponent, "feeSchedule.exponent", most=MOST_EXPONENT),
            taker_only=wire.takerOnly,
            rebate_rate=_decimal(wire.rebateRate, "feeSchedule.rebateRate", most=1),
        )
    except UNREADABLE:
        return _NOTHING


def _decimal(value: _Amount, name: str, *, most: int) -> Decimal | None:
    if value is None:
        return None
    number = fields.decimal(value, name)
    if number > most:
        raise VenueDataError(f"{name}: more than {most}: {value!r:.40}")
    return number
