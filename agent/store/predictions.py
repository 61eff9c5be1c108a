"""Predictions: the append-only record, chained inside the transaction that stores it."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
import uuid_utils

from agent.core.instants import to_ms
from agent.core.record import GENESIS, Head, head_after, link
from agent.errors import StoreError
from agent.store.tx import Reader, Tx
from sync.records import Prediction

_CHAIN = "record.chain"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Prediction).decode


async def load_head(reader: Reader) -> Head:
    """The end of the record; GENESIS while it is empty."""
    row = await reader.fetch_one("SELECT chain_seq, record_hash FROM predictions ORDER BY chain_seq DESC LIMIT 1")
    return GENESIS if row is None else Head(seq=row["chain_seq"], record_hash=row["record_hash"])


async def append_predictions(tx: Tx, predictions: Sequence[Prediction]) -> list[Prediction]:
    """Chain predictions to the record, store them and let them travel; returns them as recorded.

    One that the record already has (same market, experiment, version, model and day) is left as it stands: a
    prediction is never edited. Raises: StoreError if a market is unknown.
    """
    head, recorded = await load_head(tx), list[Prediction]()
    chain = await _chain(tx)
    for prediction in predictions:
        if await _is_recorded(tx, prediction):
            continue
        placed = link(msgspec.structs.replace(prediction, chain=chain), head)
        await _insert(tx, placed)
        head = head_after(placed)
        recorded.append(placed)
    tx.emit(*recorded)
    return recorded


async def load_chain(reader: Reader) -> str | None:
    """The name of this edge's record; None before the first prediction."""
    name: str | None = await reader.fetch_value("SELECT value FROM meta WHERE key = ?", (_CHAIN,))
    return name


async def name_chain(tx: Tx, name: str) -> None:
    """Give an empty record its name; a replay's is always the same. One that has a name keeps it."""
    await tx.execute("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (_CHAIN, name))


async def _chain(tx: Tx) -> str:
    """The record's name, given once: it tells two machines' records apart where both land."""
    if (name := await load_chain(tx)) is None:
        name = str(uuid_utils.uuid7())
        await tx.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (_CHAIN, name))
    return name


async def _is_recorded(tx: Tx, prediction: Prediction) -> bool:
    found = await tx.fetch_value(
        "SELECT 1 FROM predictions p JOIN markets m ON m.id = p.market_id WHERE m.market_key = ?"
        " AND p.experiment = ? AND p.experiment_version = ? AND p.model = ? AND p.run_day = ?",
        (
            prediction.market_key,
            prediction.experiment,
            prediction.experiment_version,
            prediction.model or "",
            prediction.run_day.isoformat(),
        ),
    )
    return found is not None


async def _insert(tx: Tx, prediction: Prediction) -> None:
    stored = await tx.execute(
        "INSERT INTO predictions (chain_seq, prediction_id, market_id, experiment, experiment_version, model, run_day,"
        " predicted_at, state, record_hash, body)"
        " SELECT ?, ?, id, ?, ?, ?, ?, ?, 'active', ?, ? FROM markets WHERE market_key = ?",
        (
            prediction.chain_seq,
            prediction.prediction_id,
            prediction.experiment,
            prediction.experiment_version,
            prediction.model or "",
            prediction.run_day.isoformat(),
            to_ms(prediction.predicted_at),
            prediction.record_hash,
            _encode(prediction),
            prediction.market_key,
        ),
    )
    if not stored:
        raise StoreError(
            f"prediction {prediction.prediction_id}: its market {prediction.market_key} is not in the store"
        )


async def load_record(reader: Reader, *, after_seq: int = 0, limit: int = 10_000) -> list[Prediction]:
    """A stretch of the record in its order, for verification and export."""
    rows = await reader.fetch(
        "SELECT body FROM predictions WHERE chain_seq > ? ORDER BY chain_seq LIMIT ?", (after_seq, limit)
    )
    return [_decode(row["body"]) for row in rows]


async def load_blind_forecasts(reader: Reader, keys: Iterable[str], *, since: datetime) -> dict[str, float]:
    """The newest price-blind model forecast of each market that has one not made before `since`."""
    rows = await reader.fetch(
        "SELECT m.market_key, p.body FROM predictions p JOIN markets m ON m.id = p.market_id"
        " WHERE m.market_key IN (SELECT value FROM json_each(?)) AND p.model <> '' AND p.predicted_at >= ?"
        " ORDER BY p.predicted_at",
        (json.dumps(list(keys)), to_ms(since)),
    )
    found = [(row["market_key"], _decode(row["body"])) for row in rows]
    return {key: prediction.probability_yes for key, prediction in found if not prediction.saw_price}
