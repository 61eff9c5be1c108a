"""Marks and scores: the market at each prediction's fixed horizons, and what its answer made of the prediction."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from agent.core.fees import Fees, SeriesTerms, market_fees
from agent.core.horizons import Look, Start, Window
from agent.core.instants import from_ms, moment, to_ms
from agent.store.history import load_fees
from agent.store.tx import Reader, Row, Tx
from agent.venues.base import SeriesFees
from sync.records import Horizon, Mark, Market, MarketStatus, Score, Venue

OLDEST_CACHE = timedelta(minutes=10)  # twice what Polymarket's edge keeps a page

_encode = msgspec.json.Encoder().encode
_market = msgspec.json.Decoder(Market).decode
_mark = msgspec.json.Decoder(Mark).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A prediction that owes marks or a score, with its market as we hold it."""

    chain_seq: int
    market_id: int
    start: Start
    market: Market
    ends_at: datetime | None  # as the market states it now
    changed_at: datetime  # when its record last changed
    closes_at: datetime | None  # as the market stated it when the prediction was made

    @property
    def over(self) -> bool:
        """Trading has ended."""
        return self.market.status in (MarketStatus.CLOSED, MarketStatus.RESOLVED)


_WATCHED = """
SELECT s.chain_seq, s.market_id, s.prediction_id, s.probability, s.initial_price, s.initial_bid, s.initial_ask,
    s.initial_seen_at, s.predicted_at, s.closes_at, m.end_time, m.changed_at, m.body
FROM standings s JOIN markets m ON m.id = s.market_id
"""
_OWING = "s.marked = 0 AND (s.due_at <= :now OR m.status IN ('closed', 'resolved'))"
_UNSCORED = "s.scored = 0 AND m.status = 'resolved'"


async def load_owing_marks(reader: Reader, now: datetime) -> list[int]:
    """Places of the predictions with a horizon due, or whose market is over."""
    rows = await reader.fetch(
        f"SELECT s.chain_seq FROM standings s INDEXED BY standings_owing JOIN markets m ON m.id = s.market_id"
        f" WHERE {_OWING} ORDER BY 1",
        {"now": to_ms(now)},
    )
    return [row[0] for row in rows]


async def load_unscored(reader: Reader) -> list[int]:
    """Places of the predictions whose market has an answer and who have no score."""
    rows = await reader.fetch(
        f"SELECT s.chain_seq FROM standings s INDEXED BY standings_unscored"
        f" JOIN markets m ON m.id = s.market_id WHERE {_UNSCORED} ORDER BY 1"
    )
    return [row[0] for row in rows]


async def load_watched(reader: Reader, places: Sequence[int]) -> list[Watched]:
    """Predictions by their places in the record, each market with the fees a taker pays as far as anybody told."""
    rows = await reader.fetch(
        f"{_WATCHED} WHERE s.chain_seq IN (SELECT value FROM json_each(?)) ORDER BY s.chain_seq",
        (json.dumps(list(places)),),
    )
    markets = {market_id: _market(body) for market_id, body in {row["market_id"]: row["body"] for row in rows}.items()}
    series = {market.series_id for market in markets.values() if market.series_id and market.venue is Venue.KALSHI}
    terms = await load_fees(reader, Venue.KALSHI, sorted(series))
    fees = {market_id: _fees(market, terms.get(market.series_id or "")) for market_id, market in markets.items()}
    return [_watched(row, markets[row["market_id"]], fees[row["market_id"]]) for row in rows]


def _fees(market: Market, stated: SeriesFees | None) -> Fees | None:
    return market_fees(market, None if stated is None else SeriesTerms(stated.fee_type, stated.fee_multiplier))


def _watched(row: Row, market: Market, fees: Fees | None) -> Watched:
    return Watched(
        chain_seq=row["chain_seq"],
        market_id=row["market_id"],
        start=Start(
            prediction_id=row["prediction_id"],
            market_key=market.market_key,
            probability=row["probability"],
            predicted_at=from_ms(row["predicted_at"]),
            price=row["initial_price"],
            bid=row["initial_bid"],
            ask=row["initial_ask"],
            seen_at=moment(row["initial_seen_at"]),
            tick_size=market.tick_size,
            fees=fees,
        ),
        market=market,
        ends_at=moment(row["end_time"]),
        changed_at=from_ms(row["changed_at"]),
        closes_at=moment(row["closes_at"]),
    )


async def load_marks(reader: Reader, places: Sequence[int]) -> dict[int, dict[Horizon, Mark]]:
    """The marks already written, by place and horizon."""
    rows = await reader.fetch(
        "SELECT chain_seq, body FROM marks WHERE chain_seq IN (SELECT value FROM json_each(?))",
        (json.dumps(list(places)),),
    )
    found: dict[int, dict[Horizon, Mark]] = defaultdict(dict)
    for chain_seq, body in rows:
        one = _mark(body)
        found[chain_seq][one.horizon] = one
    return found


async def load_looks(reader: Reader, wanted: Mapping[int, Sequence[Window]]) -> dict[int, list[Look]]:
    """Every stored look at some markets within the outermost bounds of their windows, in order of time.

    The newest book counts at the moment it was last seen too: an unchanged one has no row of that time. A look is of
    the moment its venue made the answer, which a cache may have held for a while.
    """
    spans = [
        [market_id, to_ms(min(w.opens_at for w in windows)), to_ms(max(w.ends_at for w in windows))]
        for market_id, windows in wanted.items()
    ]
    rows = await reader.fetch(
        "WITH span AS (SELECT value ->> 0 AS id, value ->> 1 AS start, value ->> 2 AS stop FROM json_each(:spans))"
        " SELECT q.market_id, q.fetched_at - CAST(coalesce(q.age_s, 0) * 1000 AS INTEGER) AS at, q.bid, q.ask"
        "  FROM span JOIN quotes q ON q.market_id = span.id"
        "  AND q.fetched_at BETWEEN span.start AND span.stop + :oldest"
        " UNION SELECT q.market_id, q.seen_at, q.bid, q.ask FROM span JOIN quotes_latest q ON q.market_id = span.id"
        "  WHERE q.seen_at BETWEEN span.start AND span.stop"
        " ORDER BY 1, 2",
        {"spans": json.dumps(spans), "oldest": OLDEST_CACHE // timedelta(milliseconds=1)},
    )
    looks: dict[int, list[Look]] = defaultdict(list)
    for market_id, at, bid, ask in rows:
        looks[market_id].append(Look(from_ms(at), bid, ask))
    return looks


async def save_marks(tx: Tx, made: Sequence[tuple[int, Mark]]) -> int:
    """Store marks and let them travel; one that is there already stays as it is. Returns how many were new."""
    held = await load_marks(tx, [chain_seq for chain_seq, _ in made])
    new = [(chain_seq, one) for chain_seq, one in made if one.horizon not in held.get(chain_seq, ())]
    await tx.execute_many(
        "INSERT INTO marks VALUES (?, ?, ?)", [(chain_seq, one.horizon, _encode(one)) for chain_seq, one in new]
    )
    tx.emit(*(one for _, one in new))
    return len(new)


async def save_due(tx: Tx, due: Mapping[int, datetime | None], done: Sequence[int]) -> None:
    """Remember when each prediction's next timed horizon begins, and which ones owe no mark any more."""
    await tx.execute_many(
        "UPDATE standings SET due_at = ? WHERE chain_seq = ?",
        [(None if at is None else to_ms(at), chain_seq) for chain_seq, at in due.items()],
    )
    await tx.execute_many("UPDATE standings SET marked = 1 WHERE chain_seq = ?", [(place,) for place in done])


async def save_scores(tx: Tx, made: Sequence[tuple[int, Score]]) -> int:
    """Store scores and let them travel; a prediction is scored once. Returns how many were new."""
    places = json.dumps([chain_seq for chain_seq, _ in made])
    held = {
        row[0]
        for row in await tx.fetch(
            "SELECT chain_seq FROM scores WHERE chain_seq IN (SELECT value FROM json_each(?))", (places,)
        )
    }
    new = [(chain_seq, one) for chain_seq, one in made if chain_seq not in held]
    await tx.execute_many(
        "INSERT INTO scores VALUES (?, ?, ?)",
        [(chain_seq, to_ms(one.scored_at), _encode(one)) for chain_seq, one in new],
    )
    await tx.execute_many("UPDATE standings SET scored = 1 WHERE chain_seq = ?", [(place,) for place, _ in new])
    tx.emit(*(one for _, one in new))
    return len(new)
