"""Digests: one a day, stored and sent off once."""

from datetime import date, datetime

import msgspec

from agent.core.instants import to_ms
from agent.store.tx import Reader, Tx
from sync.records import Digest, Prediction

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Digest).decode
_decode_prediction = msgspec.json.Decoder(Prediction).decode

MOST_FORECASTS = 500  # a day's runs make some dozens; the newest are looked at, not the record's whole length


async def save_digest(tx: Tx, digest: Digest) -> bool:
    """Store a digest and let it travel; False, and nothing is done, where its day has one."""
    stored = await tx.execute(
        "INSERT INTO digests (digest_id, day, created_at, body) VALUES (?, ?, ?, ?) ON CONFLICT (day) DO NOTHING",
        (digest.digest_id, digest.day.isoformat(), to_ms(digest.created_at), _encode(digest)),
    )
    if stored:
        tx.emit(digest)
    return bool(stored)


async def load_digest(reader: Reader, day: date) -> Digest | None:
    """The digest of a UTC day."""
    row = await reader.fetch_one("SELECT body FROM digests WHERE day = ?", (day.isoformat(),))
    return None if row is None else _decode(row["body"])


async def load_recent_forecasts(reader: Reader, since: datetime) -> dict[str, float]:
    """The newest price-blind model forecast of each market that got one since a moment."""
    rows = await reader.fetch(
        "SELECT body FROM (SELECT * FROM predictions ORDER BY chain_seq DESC LIMIT ?)"
        " WHERE predicted_at >= ? AND model <> '' ORDER BY chain_seq",
        (MOST_FORECASTS, to_ms(since)),
    )
    predictions = [_decode_prediction(row["body"]) for row in rows]
    return {p.market_key: p.probability_yes for p in predictions if not p.saw_price}
