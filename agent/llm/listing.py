"""The service's own list of models, read with care: which ids it has, what they cost and hold. Pure.

Law: a row that cannot be read is left out, never guessed; a price is taken only whole and sensible (finite, not
negative, not free), else the configured table stands, so that no list can talk the budget into spending blindly.
The fields beyond the id are young and may be absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from agent.llm.models import Price

_MILLION = 1_000_000  # the list speaks of dollars per token, we of dollars per million
_SENSIBLE_USD = Decimal(1_000)  # per million; beyond it somebody mixed up the unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What the list says of one model; None where it says nothing we can use."""

    model: str
    active: bool = True
    price: Price | None = None
    context_tokens: int | None = None
    max_completion_tokens: int | None = None


def read_listing(body: bytes, *, as_of: str) -> tuple[Listing, ...]:
    """The models of a list. Raises: ValueError if it is no list of models at all.

    Args:
        as_of: the day, which becomes the date of its prices.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise ValueError(f"the list of models is not JSON: {exc}") from exc
    rows = document.get("data") if isinstance(document, Mapping) else None
    if not isinstance(rows, list):
        raise ValueError("the list of models has no data")  # noqa: TRY004 - a wrong document, not a wrong argument
    return tuple(_listing(row, as_of) for row in rows if isinstance(row, Mapping) and isinstance(row.get("id"), str))


def _listing(row: Mapping[str, Any], as_of: str) -> Listing:
    return Listing(
        model=row["id"],
        active=row.get("active") is not False,
        price=_price(row.get("pricing"), as_of),
        context_tokens=_count(row.get("context_window")),
        max_completion_tokens=_count(row.get("max_completion_tokens")),
    )


def _price(pricing: object, as_of: str) -> Price | None:
    if not isinstance(pricing, Mapping):
        return None
    prompt, completion = _usd(pricing.get("prompt")), _usd(pricing.get("completion"))
    if prompt is None or completion is None or not prompt or not completion:
        return None
    cached = _usd(pricing.get("input_cache_read"))
    # Without a price of its own a cached token is booked like any other: too much rather than too little.
    return Price(prompt, prompt if cached is None else min(cached, prompt), completion, f"listed {as_of}")


def _usd(value: object) -> Decimal | None:
    """Dollars per million from dollars per token, as text or number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        usd = Decimal(str(value)) * _MILLION
    except InvalidOperation:
        return None
    return usd.normalize() if usd.is_finite() and 0 <= usd <= _SENSIBLE_USD else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
