"""API keys: how one is made, recognised and hashed. Pure but for the randomness handed in.

Law: `odds_live_` + 32 random bytes in base62 (43 characters) + CRC-32 in base62 (6). The checksum lets scanners and
this service tell a mistyped or invented key from a real one without a look-up. Only SHA-256 is ever stored: the key
has 256 random bits, so a slow hash would add nothing.
"""

import hashlib
import string
import zlib

MARK = "odds_live_"
N_RANDOM_BYTES = 32
BODY_LENGTH = 43  # digits of 2^256 in base 62
CHECK_LENGTH = 6  # digits of 2^32 in base 62
PREFIX_LENGTH = len(MARK) + 8  # what people name a key by: unique enough, far from guessable

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def make_key(random_bytes: bytes) -> str:
    """A key from 32 random bytes. Raises: ValueError for any other number of bytes."""
    if len(random_bytes) != N_RANDOM_BYTES:
        raise ValueError(f"a key needs {N_RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    body = _base62(int.from_bytes(random_bytes, "big"), BODY_LENGTH)
    return f"{MARK}{body}{_checksum(body)}"


def is_well_formed(text: str) -> bool:
    """Whether this can be a key at all: mark, length, alphabet and checksum."""
    if not text.startswith(MARK) or len(text) != len(MARK) + BODY_LENGTH + CHECK_LENGTH or not text.isascii():
        return False
    body = text[len(MARK) : -CHECK_LENGTH]
    return _checksum(body) == text[-CHECK_LENGTH:]


def hash_key(key: str) -> bytes:
    """What the database keeps of a key."""
    return hashlib.sha256(key.encode()).digest()


def prefix_of(key: str) -> str:
    """The part shown in lists and used to revoke."""
    return key[:PREFIX_LENGTH]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECK_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
