"""Turns what a venue wrote in a field into a value of ours. Pure.

Law: a number arrives as JSON number or as text and is finite and in range, or the record is refused: never clamped,
never zero for missing. Texts lose control characters (PostgreSQL cannot store NUL) and have a length cap.
"""

import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Raw

from agent.errors import VenueDataError

Number = float | str | None

ID_CHARS: Final = 200  # the longest ids seen are Kalshi combos with about 60
LINE_CHARS: Final = 500  # titles, labels, categories
TEXT_CHARS: Final = 20_000  # resolution rules; the longest recorded is below 5,000

MOST: Final = 10**15  # no book and no fee is larger: nonsense, or digits that would cost us memory and time

_YEAR_2000_S: Final = 946_684_800
_YEAR_2100_S: Final = 4_102_444_800

_NO_CONTROLS = dict.fromkeys([*(code for code in range(32) if chr(code) not in "\t\n"), 0x7F])
_CONTROL_ESCAPE = re.compile(rb"\\(?:u00[01]|u007|[bfr])")  # a backslash first: found by memchr
_TEXT = msgspec.json.Decoder(str | None)
_ESCAPE = re.compile(  # every escape in turn, so that an escaped backslash before "ud800" is not mistaken for one
    rb"\\(?:(?P<pair>u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def price(value: Number, name: str) -> float | None:
    """Parse a price in [0, 1]. Raises: VenueDataError."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except ValueError as exc:
        raise VenueDataError(f"{name}: not a number: {value!r:.40}") from exc
    if 0.0 <= number <= 1.0:  # also refuses nan
        return number
    raise VenueDataError(f"{name}: price outside 0..1: {value!r:.40}")


def amount(value: Number, name: str) -> float | None:
    """Parse a volume, a contract count or a sum of dollars: finite, not negative. Raises: VenueDataError."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except ValueError as exc:
        raise VenueDataError(f"{name}: not a number: {value!r:.40}") from exc
    if 0.0 <= number < math.inf:
        return number
    raise VenueDataError(f"{name}: not a finite amount: {value!r:.40}")


def number(value: Number, name: str) -> float | None:
    """Parse a quantity of the world, such as a temperature: finite, of either sign. Raises: VenueDataError."""
    if value is None or value == "":
        return None
    try:
        quantity = float(value)
    except ValueError as exc:
        raise VenueDataError(f"{name}: not a number: {value!r:.40}") from exc
    if math.isfinite(quantity):
        return quantity
    raise VenueDataError(f"{name}: not a finite number: {value!r:.40}")


def decimal(value: Number, name: str) -> Decimal:
    """Parse money or a count that money depends on: exact, not negative, below MOST. Raises: VenueDataError."""
    try:
        number = Decimal(value if isinstance(value, str) else repr(value))
    except ArithmeticError as exc:
        raise VenueDataError(f"{name}: not a number: {value!r:.40}") from exc
    if not number.is_finite() or not 0 <= number < MOST:
        raise VenueDataError(f"{name}: not an amount: {value!r:.40}")
    return number


def timestamp(value: float, name: str) -> datetime:
    """Parse seconds since 1970. Raises: VenueDataError outside 2000..2100: milliseconds, zero, nonsense."""
    if not _YEAR_2000_S <= value <= _YEAR_2100_S:  # also refuses nan
        raise VenueDataError(f"{name}: not a time: {value!r:.40}")
    return datetime.fromtimestamp(value, UTC)


def time(value: str | None, name: str) -> datetime | None:
    """Parse ISO 8601 as both venues write it, also "2020-11-02 16:31:01+00"; without a zone it is UTC.

    Year 1 is how some servers write "none". Raises: VenueDataError.
    """
    if not value:
        return None
    try:
        return _moment(value)
    except (ValueError, OverflowError) as exc:
        raise VenueDataError(f"{name}: not a time: {value!r:.40}") from exc


def line(value: str | None, max_chars: int = LINE_CHARS) -> str | None:
    """One printable line, with nothing in it that steers a terminal or turns the writing direction; None if empty."""
    if not value:
        return None
    if not value.isprintable():
        value = " ".join("".join(char if char.isprintable() else " " for char in value).split())
    if len(value) > max_chars:
        value = value[:max_chars]
    return value.strip() or None


def text(value: Raw) -> str | None:
    """Text of several lines, taken undecoded: its escapes show at once whether a control character is in it.

    Looking for them in the decoded text would cost as much as everything else about a record together.
    """
    encoded = bytes(value)
    decoded = _TEXT.decode(encoded) if encoded else None
    if not decoded:
        return None
    if _CONTROL_ESCAPE.search(encoded) or b"\x7f" in encoded:
        decoded = decoded.translate(_NO_CONTROLS)
    if len(decoded) > TEXT_CHARS:
        decoded = decoded[:TEXT_CHARS]
    return decoded.strip() or None


def identifier(value: str | float | None, name: str) -> str | None:
    """An id as the venue spells it, "" counting as missing. Raises: VenueDataError where it cannot be an id."""
    if value is None or value == "":
        return None
    spelled = value if type(value) is str else f"{value:.0f}"
    if len(spelled) > ID_CHARS or not spelled.isprintable() or " " in spelled:
        raise VenueDataError(f"{name}: not an id: {spelled!r:.40}")
    return spelled


def mended(body: bytes) -> bytes:
    """The same JSON with half a surrogate pair or broken UTF-8 replaced: one hostile title must not cost a page."""
    readable = body.decode("utf-8", "replace").encode()
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape["half"] else escape[0], readable)


@lru_cache(maxsize=1024)  # the legs of an event share their times
def _moment(value: str) -> datetime | None:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is not UTC:
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment if moment.year > 1 else None
