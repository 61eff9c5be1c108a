"""Opaque places in a list: signed, and bound to the list they were made for.

Law: a cursor is base64url of (sort key, HMAC over sort key and the list's name and filters). One from another list,
other filters, another server or a curious hand is a BadCursor, never a wrong page.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Any, TypeVar

import msgspec

from cloudapi.errors import BadCursor

T = TypeVar("T")

TAG_LENGTH = 16  # bytes of HMAC-SHA-256: 128 bits, nobody guesses that


class CursorSigner:
    """Makes and reads cursors with one secret, shared by all replicas."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.sha256(b"oddsd cursor\0" + secret).digest()

    def make(self, position: list[Any], *, listing: str, filters: dict[str, Any]) -> str:
        """A cursor that continues this listing behind `position`."""
        body = msgspec.msgpack.encode(position)
        return base64.urlsafe_b64encode(self._tag(body, listing, filters) + body).rstrip(b"=").decode()

    def read(self, cursor: str, shape: type[T], *, listing: str, filters: dict[str, Any]) -> T:
        """The position in a cursor of ours. Raises: BadCursor."""
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (binascii.Error, ValueError):
            raw = b""
        tag, body = raw[:TAG_LENGTH], raw[TAG_LENGTH:]
        if not hmac.compare_digest(tag, self._tag(body, listing, filters)):
            raise BadCursor("This cursor was made for another list or other filters; start again without it.")
        return msgspec.msgpack.decode(body, type=shape)

    def _tag(self, body: bytes, listing: str, filters: dict[str, Any]) -> bytes:
        scope = msgspec.json.encode([listing, filters], order="deterministic")
        return hmac.digest(self._key, scope + b"\0" + body, "sha256")[:TAG_LENGTH]
