"""Signals: a forecast and a price that disagree with conviction, or that come together faster than before.

Law: information, never an order. A signal carries the forecaster's record in itself, "too early" included, and cannot
be made without one. Only forecasts that did not see the price can disagree with it. Everything is reckoned from what
can be traded: the offered side, its fee; a size comes from a blend in which the price outweighs the forecast, and
what it rests on stands beside it in words. Pure. Called by jobs/signals.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from agent.core.ensemble import START_WEIGHT, blend
from agent.core.fees import Fees
from agent.core.movement import END_MARGIN, fault_of_sides
from sync.records import Evidence, Position, Prediction, Signal, SignalKind, TrackRecord

MIN_EDGE: Final = 0.05  # beyond cost, per contract: forecasts and prices differ by less all day
MIN_CONFIDENCE: Final = 70  # percent: that in 24 h the mid lies on the predicted side
MAX_AGE: Final = timedelta(hours=24)  # of a forecast that disagrees: the price has seen a day's news, it has not
LIFETIME: Final = timedelta(hours=24)

RECENT, BEFORE = timedelta(hours=6), timedelta(hours=24)  # the two stretches whose speeds are compared end here
MIN_RECENT_MOVE: Final = 0.06  # in the recent stretch: two standard deviations of a mid-priced market a month out
MIN_SPEED_UP: Final = 2.0

KELLY_SHARE: Final = 0.25  # a full Kelly stake halves the bankroll with every second error in the probability
MAX_FRACTION: Final = 0.02
_DIGITS: Final = 9
_DUST: Final = 1e-9


NO_RECORD: Final = TrackRecord(
    state=Evidence.TOO_EARLY, summary="too early: nothing is measured yet", n=0, events=0, n_resolved=0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A market as it can be traded now."""

    bid: float | None
    ask: float | None
    fees: Fees | None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One forecast, what can be traded, and the forecaster's record: without the last there is no signal."""

    signal_id: str
    prediction: Prediction
    offer: Offer
    record: TrackRecord
    now: datetime


@dataclass(frozen=True, slots=True)
class Path:
    """Where the mid stood: a day ago, six hours ago, now. None where nobody looked."""

    day_ago: float | None
    hours_ago: float | None
    now: float | None


@dataclass(frozen=True, slots=True)
class Stake:
    """A size and what it rests on."""

    believed: float  # of YES
    fraction: float
    assumptions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What the forecast would buy, and what that costs."""

    position: Position
    price: float
    fee: float

    @property
    def cost(self) -> float:
        """Price and fee of one contract."""
        return round(self.price + self.fee, _DIGITS)


def disagreement(case: Case) -> Signal | None:
    """A confident, price-blind forecast of the last day that is worth more than the offered side costs."""
    confidence = case.prediction.confidence
    if confidence is None or confidence < MIN_CONFIDENCE or case.now - case.prediction.predicted_at > MAX_AGE:
        return None
    side = offered_side(case)
    if side is None or edge_of(case.prediction, side) < MIN_EDGE:
        return None
    evidence = {"confidence": float(confidence), "min_edge": MIN_EDGE}
    return _signal(SignalKind.DISAGREEMENT, case, side, evidence, "the forecast is far from what can be traded")


def acceleration(case: Case, path: Path) -> Signal | None:
    """A price that moves toward a price-blind forecast at least twice as fast as before, with something left to go."""
    speeds = speeds_toward(case.prediction, path)
    if speeds is None:
        return None
    recent, before = speeds
    hours = RECENT / timedelta(hours=1)
    if recent * hours < MIN_RECENT_MOVE - _DUST or recent < MIN_SPEED_UP * max(before, 0.0):
        return None
    side = offered_side(case)
    if side is None or edge_of(case.prediction, side) <= 0 or side.position is not _predicted(case.prediction):
        return None
    evidence = {"rate_recent": round(recent, _DIGITS), "rate_before": round(before, _DIGITS), "hours_recent": hours}
    seen = f"the price came {100 * recent * hours:.1f} points nearer to the forecast in {hours:.0f} h"
    return _signal(SignalKind.CONVERGENCE_ACCELERATING, case, side, evidence, seen)


def speeds_toward(prediction: Prediction, path: Path) -> tuple[float, float] | None:
    """How fast the mid moved toward the forecast, per hour: in the recent stretch, and in the one before it."""
    if path.now is None or path.hours_ago is None or path.day_ago is None:
        return None
    position = _predicted(prediction)
    if position is None:
        return None
    way = 1 if position is Position.YES else -1
    recent = way * (path.now - path.hours_ago) / (RECENT / timedelta(hours=1))
    before = way * (path.hours_ago - path.day_ago) / ((BEFORE - RECENT) / timedelta(hours=1))
    return recent, before


def offered_side(case: Case) -> Side | None:
    """The side a price-blind forecast would take, as it can be bought; None where nothing sane is offered.

    Returns: None for a forecast that saw the price, an unusable book, an unknown fee, a market in its last hour, and
        a forecast inside the spread.
    """
    prediction, offer = case.prediction, case.offer
    bid, ask = offer.bid, offer.ask
    if prediction.saw_price or bid is None or ask is None or fault_of_sides(bid, ask) is not None:
        return None
    if offer.fees is None or (offer.ends_at is not None and offer.ends_at - case.now <= END_MARGIN):
        return None
    if prediction.probability_yes > ask:
        position, price = Position.YES, ask
    elif prediction.probability_yes < bid:
        position, price = Position.NO, round(1 - bid, _DIGITS)
    else:
        return None
    fee = offer.fees.unit_fee(Decimal(str(price)))
    return None if fee is None else Side(position, price, float(fee))


def edge_of(prediction: Prediction, side: Side) -> float:
    """What one contract would be worth beyond its cost, were the forecast right."""
    return round(_of_side(prediction.probability_yes, side) - side.cost, _DIGITS)


def kelly_fraction(probability: float, cost: float) -> float:
    """Share of the bankroll that grows it fastest: of a contract that pays 1 with `probability` and costs `cost`.

    Returns: (probability - cost) / (1 - cost), and 0 where that is below 0 or the cost leaves nothing to win.
    Source: Kelly, 1956.
    """
    if not 0 < cost < 1:
        return 0.0
    return max(0.0, (probability - cost) / (1 - cost))


def stake(case: Case, side: Side) -> Stake:
    """A quarter of Kelly on the blend of price and forecast, capped; nothing on a forecaster known to be worse."""
    mid = ((case.offer.bid or 0.0) + (case.offer.ask or 0.0)) / 2
    weight = 0.0 if case.record.state is Evidence.WORSE else START_WEIGHT
    forecast = case.prediction.probability_yes
    believed = round(blend([(forecast, weight), (mid, 1 - weight)]), _DIGITS)
    fraction = min(MAX_FRACTION, KELLY_SHARE * kelly_fraction(_of_side(believed, side), side.cost))
    probability = (
        f"a probability of YES of {believed:.3f}: the price's {mid:.3f} and the forecast's {forecast:.3f} in log odds,"
        f" the forecast with weight {weight:.2f}"
    )
    return Stake(
        believed,
        round(fraction, _DIGITS),
        (
            probability,
            f"one {side.position} contract costs {side.price:.4f} and a fee of {side.fee:.4f}, for as many as wanted",
            f"a quarter of Kelly's fraction, at most {MAX_FRACTION:.0%} of the bankroll, held to the end",
            "no other bet that depends on the same event",
            f"the forecaster's record: {case.record.summary}",
        ),
    )


def _signal(kind: SignalKind, case: Case, side: Side, evidence: dict[str, float], seen: str) -> Signal:
    prediction, offer = case.prediction, case.offer
    size, edge = stake(case, side), edge_of(prediction, side)
    end = case.now + LIFETIME
    return Signal(
        signal_id=case.signal_id,
        market_key=prediction.market_key,
        signal_kind=kind,
        prediction_id=prediction.prediction_id,
        experiment=prediction.experiment,
        experiment_version=prediction.experiment_version,
        model=prediction.model,
        side=side.position,
        summary=f"{seen}: {100 * edge:.1f} points beyond cost on {side.position} if it is right; {case.record.summary}",
        probability=prediction.probability_yes,
        bid=offer.bid or 0.0,
        ask=offer.ask or 0.0,
        cost=side.cost,
        edge=edge,
        believed=size.believed,
        kelly_fraction=size.fraction,
        assumptions=size.assumptions,
        record=case.record,
        evidence=evidence,
        created_at=case.now,
        expires_at=end if offer.ends_at is None else min(end, offer.ends_at - END_MARGIN),
    )


def _predicted(prediction: Prediction) -> Position | None:
    """The side the forecast took when it was made."""
    if prediction.initial_price is None or prediction.probability_yes == prediction.initial_price:
        return None
    return Position.YES if prediction.probability_yes > prediction.initial_price else Position.NO


def _of_side(probability: float, side: Side) -> float:
    return probability if side.position is Position.YES else 1 - probability
