"""Signals: which predictions could give one now, and the signals that were given.

Law: the queries only narrow (numbers and instants come from the caller); whether something is a signal is decided in
core. A prediction gives one signal of a kind a day, however often it is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec

from agent.core.fees import Fees, SeriesTerms, market_fees
from agent.core.instants import moment, to_ms
from agent.core.market import end_time
from agent.core.signals import Offer, Path
from agent.store.history import load_fees
from agent.store.tx import Reader, Row, Tx
from agent.venues.base import SeriesFees
from sync.records import Market, Prediction, Signal, SignalKind, Venue

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Signal).decode
_prediction = msgspec.json.Decoder(Prediction).decode
_market = msgspec.json.Decoder(Market).decode

PASS_AGE: Final = timedelta(minutes=90)  # an older pass of the benchmark is no "now"
PASS_TOLERANCE: Final = timedelta(minutes=45)  # how far off the wanted moment a pass may lie: they are hourly


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A prediction that may give a signal of one kind, and its market as it can be traded."""

    kind: SignalKind
    prediction: Prediction
    offer: Offer
    path: Path | None = None


_FRESH = "q.seen_at >= :fresh AND m.status = 'open'"
_UNSAID = (
    "NOT EXISTS (SELECT 1 FROM signals g WHERE g.prediction_id = s.prediction_id AND g.signal_kind = :kind"
    " AND g.day = :day)"
)
_OFFERED = (
    "SELECT p.body AS prediction, m.body AS market, q.bid, q.ask{columns} FROM standings s"
    " JOIN predictions p ON p.chain_seq = s.chain_seq AND p.state = 'active'"
    " JOIN markets m ON m.id = s.market_id JOIN quotes_latest q ON q.market_id = s.market_id"
)
_DISAGREEING = (
    _OFFERED.format(columns="")
    + f" WHERE s.predicted_at >= :since AND s.confidence >= :confidence AND {_FRESH} AND {_UNSAID}"
    " AND max(s.probability - q.ask, q.bid - s.probability) >= :edge ORDER BY s.chain_seq"
)
_ACCELERATING = (
    _OFFERED.format(columns=", a.yes_price AS day_ago, b.yes_price AS hours_ago, c.yes_price AS now_at")
    + " JOIN checks c ON c.checked_at = :now_at AND c.chain_seq = s.chain_seq"
    " JOIN checks b ON b.checked_at = :hours_ago AND b.chain_seq = s.chain_seq"
    " JOIN checks a ON a.checked_at = :day_ago AND a.chain_seq = s.chain_seq"
    f" WHERE abs(c.yes_price - b.yes_price) >= :move AND a.yes_price IS NOT NULL AND {_FRESH} AND {_UNSAID}"
    " ORDER BY s.chain_seq"
)


async def load_disagreeing(
    reader: Reader, *, now: datetime, fresh: datetime, since: datetime, confidence: int, edge: float
) -> list[Candidate]:
    """Confident predictions since a moment whose probability lies outside the book, seen since `fresh`."""
    kind = SignalKind.DISAGREEMENT
    wanted: dict[str, object] = {"since": to_ms(since), "confidence": confidence, "edge": edge}
    return await _candidates(reader, _DISAGREEING, kind, wanted | _asked(kind, now, fresh))


async def load_accelerating(
    reader: Reader, *, now: datetime, fresh: datetime, recent: timedelta, before: timedelta, move: float
) -> list[Candidate]:
    """Predictions whose market moved by `move` in the recent stretch, with the three checks that tell its path."""
    newest = await _pass_near(reader, now, PASS_AGE)
    if newest is None:
        return []
    moments = [await _pass_near(reader, newest - span, PASS_TOLERANCE) for span in (recent, before)]
    if None in moments:
        return []
    at = {"now_at": newest, "hours_ago": moments[0], "day_ago": moments[1]}
    wanted = {name: to_ms(moment) for name, moment in at.items() if moment is not None}
    kind = SignalKind.CONVERGENCE_ACCELERATING
    asked = {**wanted, "move": move, **_asked(kind, now, fresh)}
    return await _candidates(reader, _ACCELERATING, kind, asked)


async def save_signals(tx: Tx, signals: Sequence[Signal]) -> int:
    """Store signals and let them travel; one its prediction gave today already is passed over. Returns how many."""
    stored = list[Signal]()
    for one in signals:
        added = await tx.execute(
            "INSERT INTO signals VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                one.signal_id,
                one.prediction_id,
                one.signal_kind,
                one.created_at.date().isoformat(),
                to_ms(one.created_at),
                _encode(one),
            ),
        )
        if added:
            stored.append(one)
    tx.emit(*stored)
    return len(stored)


async def load_signals(reader: Reader, *, since: datetime) -> list[Signal]:
    """Signals given since a moment, newest first."""
    rows = await reader.fetch(
        "SELECT body FROM signals WHERE created_at >= ? ORDER BY created_at DESC, signal_id", (to_ms(since),)
    )
    return [_decode(row["body"]) for row in rows]


async def _pass_near(reader: Reader, wanted: datetime, tolerance: timedelta) -> datetime | None:
    """The pass of the benchmark nearest to a moment, if one lies near enough."""
    at = await reader.fetch_value(
        "SELECT checked_at FROM check_times WHERE checked_at BETWEEN ? AND ? ORDER BY abs(checked_at - ?) LIMIT 1",
        (to_ms(wanted - tolerance), to_ms(wanted + tolerance), to_ms(wanted)),
    )
    return moment(at)


def _asked(kind: SignalKind, now: datetime, fresh: datetime) -> dict[str, object]:
    return {"kind": kind, "day": now.date().isoformat(), "fresh": to_ms(fresh)}


async def _candidates(reader: Reader, sql: str, kind: SignalKind, wanted: dict[str, object]) -> list[Candidate]:
    rows = await reader.fetch(sql, wanted)
    markets = [_market(row["market"]) for row in rows]
    series = sorted({one.series_id for one in markets if one.series_id and one.venue is Venue.KALSHI})
    terms = await load_fees(reader, Venue.KALSHI, series)
    return [
        Candidate(
            kind=kind,
            prediction=_prediction(row["prediction"]),
            offer=Offer(
                bid=row["bid"],
                ask=row["ask"],
                fees=_fees(market, terms.get(market.series_id or "")),
                ends_at=end_time(market),
            ),
            path=_path(row) if kind is SignalKind.CONVERGENCE_ACCELERATING else None,
        )
        for row, market in zip(rows, markets, strict=True)
    ]


def _fees(market: Market, stated: SeriesFees | None) -> Fees | None:
    return market_fees(market, None if stated is None else SeriesTerms(stated.fee_type, stated.fee_multiplier))


def _path(row: Row) -> Path:
    return Path(day_ago=row["day_ago"], hours_ago=row["hours_ago"], now=row["now_at"])
