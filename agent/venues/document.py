"""Decodes one JSON answer into the struct its reader wants, or says in one named error why that cannot be. Pure.

Law: whatever a decoder raises on a hostile document (deep nesting, broken UTF-8, half a surrogate pair) leaves as
VenueDataError with an excerpt. Called by the readers of single answers; listings have reader.py.
"""

from typing import Final, TypeVar

import msgspec

from agent.errors import VenueDataError
from agent.venues import fields

T = TypeVar("T")

EXCERPT_BYTES: Final = 120
# What decoding a hostile document raises; msgspec lets the last two through as they are.
UNREADABLE: Final = (msgspec.MsgspecError, VenueDataError, RecursionError, UnicodeDecodeError)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    """Decode `body`, mending texts that are not text. Raises: VenueDataError."""
    try:
        try:
            return decoder.decode(body)
        except UnicodeDecodeError:
            return decoder.decode(fields.mended(body))
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            return decoder.decode(fields.mended(body))
    except UNREADABLE as exc:
        raise VenueDataError(f"{what}: unreadable: {exc}: {body[:EXCERPT_BYTES]!r}") from exc
