"""Seals records into batches: the immutable unit that travels. Pure.

Law: a batch is a contiguous range [lo, hi] of one stream and one schema with a SHA-256 over its exact JSON bytes, and
is never cut again, so that every retry is the same to the byte. Called by the store when a transaction commits.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from sync.errors import BatchRefused
from sync.records import NEEDS, SCHEMA_VERSION, Record

MAX_ROWS = 5_000  # what the cloud accepts in one statement without a long lock
MAX_BYTES = 4 * 1024 * 1024  # one attempt stays within its deadline on a 1 Mbit/s line


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed range of one stream. `body` is the zlib-packed JSON array whose element i has number lo + i."""

    stream_id: str
    lo: int
    hi: int
    digest: bytes
    body: bytes
    n_bytes: int  # of the JSON text, unpacked
    schema_v: int = SCHEMA_VERSION

    @property
    def n_rows(self) -> int:
        """How many records the batch holds."""
        return self.hi - self.lo + 1

    def text(self) -> str:
        """The JSON array as it was sealed. Raises: BatchRefused where the disk kept something else."""
        try:
            return zlib.decompress(self.body).decode()
        except (zlib.error, UnicodeDecodeError) as exc:
            raise BatchRefused(f"batch {self.lo}-{self.hi}: damaged in the file it was stored in: {exc}") from exc

    def is_whole(self) -> bool:
        """Whether the body is what was sealed. Raises: zlib.error where it cannot even be unpacked."""
        return hashlib.sha256(zlib.decompress(self.body)).digest() == self.digest


def seal(records: Iterable[Record | msgspec.Raw], *, stream_id: str, first_seq: int) -> Iterator[Batch]:
    """Cut records into batches within both limits, numbering from first_seq without a gap.

    A Raw is a record encoded already: what is stored and sent is encoded once.
    A single record larger than MAX_BYTES still gets a batch of its own: nothing is dropped for its size.
    """
    encode = msgspec.json.Encoder().encode
    lo, size, rows, schema_v = first_seq, 2, list[bytes](), 1
    for record in records:
        row = encode(record)
        needed = _schema_of(row) if NEEDS else 1
        if rows and (len(rows) >= MAX_ROWS or size + len(row) + 1 > MAX_BYTES or needed != schema_v):
            yield _batch(rows, stream_id, lo, schema_v)
            lo, size, rows = lo + len(rows), 2, []
        rows.append(row)
        size += len(row) + 1
        schema_v = needed
    if rows:
        yield _batch(rows, stream_id, lo, schema_v)


def _schema_of(row: bytes) -> int:
    """What a cloud must know to take it; the kind is the first word of an encoded record."""
    kind = row[len(_KIND) : row.index(b'"', len(_KIND))].decode() if row.startswith(_KIND) else ""
    return NEEDS.get(kind, 1)


_KIND = b'{"kind":"'


def _batch(rows: Sequence[bytes], stream_id: str, lo: int, schema_v: int) -> Batch:
    text = b"[" + b",".join(rows) + b"]"
    return Batch(
        stream_id=stream_id,
        lo=lo,
        hi=lo + len(rows) - 1,
        digest=hashlib.sha256(text).digest(),
        # Level 1: three times smaller already, and a tick of 5,000 rows must not hold the writer.
        body=zlib.compress(text, level=1),
        n_bytes=len(text),
        schema_v=schema_v,
    )
