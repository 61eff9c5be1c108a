"""Every prediction as the scores read it: what was said, the market at its horizons, and how it ended."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from agent.core.horizons import Start, start_fault
from agent.core.instants import from_ms, moment
from agent.core.scoring.rows import HorizonQuote, Row
from agent.core.settlement import ended_at
from agent.store.tx import Reader
from agent.store.tx import Row as Stored
from sync.records import Horizon, Mark, Market, MarketStatus, Movement

_market = msgspec.json.Decoder(Market).decode
_mark = msgspec.json.Decoder(Mark).decode
_HOUR_MS = 3_600_000

_ROWS = """
SELECT s.*, m.changed_at, m.end_time, p.experiment, p.experiment_version, p.model,
    CAST(p.body AS TEXT) ->> 'saw_price' AS saw_price
FROM standings s JOIN predictions p ON p.chain_seq = s.chain_seq JOIN markets m ON m.id = s.market_id
WHERE (:experiment IS NULL OR p.experiment = :experiment) ORDER BY s.chain_seq
"""
_MARKS = """
SELECT k.chain_seq, k.body FROM marks k JOIN predictions p ON p.chain_seq = k.chain_seq
WHERE :experiment IS NULL OR p.experiment = :experiment
"""


_MARKETS = """
SELECT id, body FROM markets WHERE id IN (SELECT s.market_id FROM standings s JOIN predictions p USING (chain_seq)
    WHERE :experiment IS NULL OR p.experiment = :experiment)
"""


async def load_rows(reader: Reader, experiment: str | None = None) -> list[Row]:
    """The predictions of an experiment, or of all, in the record's order."""
    chosen = {"experiment": experiment}
    rows = await reader.fetch(_ROWS, chosen)
    markets = await reader.fetch(_MARKETS, chosen)
    marks = await reader.fetch(_MARKS, chosen)
    return await asyncio.to_thread(_joined, rows, markets, marks)


def _joined(rows: Sequence[Stored], markets: Sequence[Stored], marks: Sequence[Stored]) -> list[Row]:
    horizons: dict[int, dict[Horizon, HorizonQuote]] = defaultdict(dict)
    for chain_seq, body in marks:
        one = _mark(body)
        horizons[chain_seq][one.horizon] = HorizonQuote(
            mid=one.mid, bid=one.bid, ask=one.ask, move_exec=one.signed_move_exec, missing=one.missing
        )
    known = {market_id: _market(body) for market_id, body in markets}
    return [_from_row(row, known[row["market_id"]], horizons.get(row["chain_seq"], {})) for row in rows]


def _from_row(row: Stored, market: Market, horizons: dict[Horizon, HorizonQuote]) -> Row:
    usable = start_fault(_start(row, market)) is None
    event = None if market.event_id is None else f"{market.venue}:{market.event_id}"
    resolved = market.status is MarketStatus.RESOLVED
    return Row(
        prediction_id=row["prediction_id"],
        market_key=market.market_key,
        event_key=event or market.market_key,
        experiment=row["experiment"],
        version=row["experiment_version"],
        model=row["model"] or None,
        saw_price=bool(row["saw_price"]),
        category=market.category,
        predicted_at=from_ms(row["predicted_at"]),
        probability=row["probability"],
        confidence=row["confidence"],
        initial_mid=row["initial_price"] if usable else None,
        initial_bid=row["initial_bid"] if usable else None,
        initial_ask=row["initial_ask"] if usable else None,
        tick_size=market.tick_size,
        horizons=horizons,
        hours_to_convergence=_hours(row, "converged_at"),
        hours_watched=_hours(row, "checked_at") or 0.0,
        movement=None if row["movement"] is None else Movement(row["movement"]),
        latest_mid=row["yes_price"],
        resolution=market.resolution if resolved else None,
        resolution_value=market.resolution_value if resolved else None,
        closes_at=moment(row["closes_at"]),
        known_at=from_ms(row["changed_at"]) if resolved else None,
        resolved_at=ended_at(market, moment(row["end_time"]), from_ms(row["changed_at"])) if resolved else None,
    )


def _start(row: Stored, market: Market) -> Start:
    return Start(
        prediction_id=row["prediction_id"],
        market_key=market.market_key,
        probability=row["probability"],
        predicted_at=from_ms(row["predicted_at"]),
        price=row["initial_price"],
        bid=row["initial_bid"],
        ask=row["initial_ask"],
        seen_at=moment(row["initial_seen_at"]),
        tick_size=market.tick_size,
    )


def _hours(row: Stored, name: str) -> float | None:
    return None if row[name] is None else max(0.0, (row[name] - row["predicted_at"]) / _HOUR_MS)
