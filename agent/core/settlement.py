"""What an answer makes of a prediction: its scores, or the reason why it has none. Pure.

Law: VOID and a payment between 0 and 1 decide nothing; a forecast made within the market's last hour saw the answer
arrive. Both are counted and have no numbers. The market is scored on the same rows at the same instants.
"""

from datetime import datetime

from agent.core.horizons import Start, start_fault
from agent.core.scoring.scores import brier_score, log_score
from agent.core.scoring.sift import is_too_late
from sync.records import Exclusion, Market, Resolution, Score

_OUTCOMES = {Resolution.YES: 1, Resolution.NO: 0}


def ended_at(market: Market, stated: datetime | None, changed_at: datetime) -> datetime:
    """When a market that is over ended: as its venue says, else the stated end unless we saw it over before that."""
    if market.closed_time is not None:
        return market.closed_time
    return changed_at if stated is None else min(stated, changed_at)


def score(
    start: Start, market: Market, *, closes_at: datetime | None, day_before: float | None, now: datetime
) -> Score | None:
    """The score of a prediction whose market has been decided; None where nobody has.

    Args:
        closes_at: the market's end as it stood when the prediction was made.
        day_before: the usable mid 24 hours before the end.
    """
    if market.resolution not in (Resolution.YES, Resolution.NO, Resolution.VOID):
        return None
    excluded = _exclusion(start, market, closes_at)
    counted = Score(
        prediction_id=start.prediction_id,
        market_key=start.market_key,
        scored_at=now,
        resolution=market.resolution,
        resolution_value=market.resolution_value,
        excluded=excluded,
    )
    if excluded is not None:
        return counted
    outcome = _OUTCOMES[market.resolution]
    price = None if start_fault(start) else start.price
    return Score(
        prediction_id=start.prediction_id,
        market_key=start.market_key,
        scored_at=now,
        resolution=market.resolution,
        resolution_value=market.resolution_value,
        brier_score=brier_score([start.probability], [outcome]),
        log_score=log_score([start.probability], [outcome]),
        market_brier_score=None if price is None else brier_score([price], [outcome]),
        day_before_brier_score=None if day_before is None else brier_score([day_before], [outcome]),
    )


def _exclusion(start: Start, market: Market, closes_at: datetime | None) -> Exclusion | None:
    if market.resolution not in _OUTCOMES or market.resolution_value not in (None, 0.0, 1.0):
        return Exclusion.VOID
    return Exclusion.LATE if is_too_late(start.predicted_at, closes_at, market.closed_time) else None
