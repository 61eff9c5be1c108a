"""What the market did against a prediction, check by check: the descriptive benchmark, and the signed move beside it.

Pure: one Standing and `now` in, one Check out. A price is the mid of a usable quote or it is missing; a last trade
never stands in for it, and a settlement's jump to 0 or 1 never enters the numbers. The words CONVERGING and DIVERGING
carry no evidence of skill (a fair price diverges from most predictions); `signed_move` has expectation zero without
it. Called by jobs/benchmark.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean, median

from sync.records import Check, MarketStatus, Movement

MAX_SPREAD = 0.10  # wider books have a mid that nobody trades at
CHEAP = 0.10  # below this mid the spread is judged against the mid itself
MAX_SPREAD_OF_CHEAP_MID = 0.5
MAX_BOOK_AGE = timedelta(minutes=15)  # one collection slot
END_MARGIN = timedelta(hours=1)  # nearer to the end the price is the result arriving
NOISE = 0.005  # a smaller change of the gap is the book breathing
MIN_GAP_FOR_PERCENTAGE = 0.05  # the share closed of a smaller gap explodes: median -895 % at half a point
PERCENTAGE_BOUND = 200.0

_DIGITS = 9  # far below any tick; makes 0.75 - 0.60 the 0.15 it is, in comparisons and on the wire


@dataclass(frozen=True, slots=True)
class Previous:
    """The last check of a prediction that had a price."""

    checked_at: datetime
    abs_delta: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One prediction and everything a check of it looks at."""

    prediction_id: str
    market_key: str
    probability: float
    confidence: int | None
    predicted_at: datetime
    initial_price: float | None
    status: MarketStatus
    ends_at: datetime | None  # the earlier of close time and expected time, where the venue says one
    tick_size: float | None
    bid: float | None
    ask: float | None
    seen_at: datetime | None  # when the book was last looked at, changed or not
    previous: Previous | None


def check(standing: Standing, now: datetime) -> Check:
    """Hold a prediction against the market as it stands at `now`."""
    if standing.status in (MarketStatus.CLOSED, MarketStatus.RESOLVED):
        return _check_without_price(standing, now, Movement.SETTLED)
    mid = usable_mid(standing, now)
    if mid is None:
        return _check_without_price(standing, now, Movement.STALE)
    p, m0 = standing.probability, standing.initial_price
    abs_delta = _clean(abs(p - mid))
    initial_delta = None if m0 is None else _clean(abs(p - m0))
    before = standing.previous
    if before is None and initial_delta is not None:
        before = Previous(standing.predicted_at, initial_delta)
    return Check(
        prediction_id=standing.prediction_id,
        market_key=standing.market_key,
        checked_at=now,
        movement_direction=_direction(standing, mid, before),
        predicted_probability=p,
        predicted_confidence=standing.confidence,
        hours_since_prediction=_hours_since_prediction(standing, now),
        closed=False,
        resolved=False,
        yes_price=mid,
        no_price=_clean(1 - mid),
        abs_delta=abs_delta,
        convergence_rate=_rate(before, abs_delta, now),
        cumulative_convergence=None if initial_delta is None else _clean(initial_delta - abs_delta),
        signed_move=None if m0 is None else signed_move(p, m0, mid),
    )


def usable_mid(standing: Standing, now: datetime) -> float | None:
    """The mid of a book good enough to measure with; None otherwise.

    Good enough: market open and more than an hour from its end, two-sided, not crossed, spread at most 10 points (and
    at most half the mid below 10 cents), looked at within 15 minutes of `now`. A look from the future (the clock went
    back) is as doubtful as one from the past.
    """
    bid, ask, seen_at = standing.bid, standing.ask, standing.seen_at
    if standing.status is not MarketStatus.OPEN or bid is None or ask is None or seen_at is None:
        return None
    if abs(now - seen_at) > MAX_BOOK_AGE or (standing.ends_at is not None and standing.ends_at - now <= END_MARGIN):
        return None
    mid, spread = _clean((bid + ask) / 2), _clean(ask - bid)
    if not 0 <= spread <= MAX_SPREAD or (mid < CHEAP and spread > MAX_SPREAD_OF_CHEAP_MID * mid):
        return None
    return mid


def signed_move(probability: float, initial_price: float, price: float) -> float:
    """Move of the price toward the predicted side since the prediction; 0 where it predicted no side."""
    if probability == initial_price:
        return 0.0
    return _clean(price - initial_price if probability > initial_price else initial_price - price)


def convergence_percentage(initial_delta: float, abs_delta: float) -> float | None:
    """Share of the initial gap that has closed, in percent; None for a gap below 5 points, bounded to ±200."""
    if _clean(initial_delta) < MIN_GAP_FOR_PERCENTAGE:
        return None
    share = 100 * (initial_delta - abs_delta) / initial_delta
    return min(max(share, -PERCENTAGE_BOUND), PERCENTAGE_BOUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One pass of the benchmark in numbers. Means are None where nothing had a price."""

    n_checks: int
    n_by_movement: dict[str, int]
    mean_rate: float | None  # change of abs_delta per hour
    max_rate: float | None
    median_percentage: float | None  # of the gaps of 5 points and more


def summary(checks: Iterable[Check]) -> Summary:
    """Totals of one pass."""
    counts: Counter[Movement] = Counter()
    rates, percentages = list[float](), list[float]()
    for one in checks:
        counts[one.movement_direction] += 1
        if one.convergence_rate is not None:
            rates.append(one.convergence_rate)
        if one.abs_delta is not None and one.cumulative_convergence is not None:
            share = convergence_percentage(one.abs_delta + one.cumulative_convergence, one.abs_delta)
            if share is not None:
                percentages.append(share)
    return Summary(
        n_checks=counts.total(),
        n_by_movement={movement.value: counts[movement] for movement in Movement},
        mean_rate=fmean(rates) if rates else None,
        max_rate=max(rates, default=None),
        median_percentage=median(percentages) if percentages else None,
    )


def _direction(standing: Standing, mid: float, before: Previous | None) -> Movement:
    """The word for this check. STABLE is a change below the threshold, and a first price with nothing before it.

    The threshold is half a point, a tick or half the spread, whichever is largest; a price that passed the prediction
    by as much has OVERSHOT, whatever it did since the check before.
    """
    p, m0 = standing.probability, standing.initial_price
    half_spread = ((standing.ask or 0) - (standing.bid or 0)) / 2
    threshold = _clean(max(NOISE, standing.tick_size or 0, half_spread))
    if m0 is not None and p != m0 and _clean(mid - p if p > m0 else p - mid) >= threshold:
        return Movement.OVERSHOT
    closed_by = 0.0 if before is None else _clean(before.abs_delta - abs(p - mid))
    if abs(closed_by) < threshold:
        return Movement.STABLE
    return Movement.CONVERGING if closed_by > 0 else Movement.DIVERGING


def _rate(before: Previous | None, abs_delta: float, now: datetime) -> float | None:
    """Change of the gap per hour really elapsed; None where no time has passed (the clock went back)."""
    if before is None or now <= before.checked_at:
        return None
    return _clean((before.abs_delta - abs_delta) / _hours(now - before.checked_at))


def _check_without_price(standing: Standing, now: datetime, movement: Movement) -> Check:
    return Check(
        prediction_id=standing.prediction_id,
        market_key=standing.market_key,
        checked_at=now,
        movement_direction=movement,
        predicted_probability=standing.probability,
        predicted_confidence=standing.confidence,
        hours_since_prediction=_hours_since_prediction(standing, now),
        closed=standing.status in (MarketStatus.CLOSED, MarketStatus.RESOLVED),
        resolved=standing.status is MarketStatus.RESOLVED,
    )


def _hours_since_prediction(standing: Standing, now: datetime) -> float:
    return max(0.0, _hours(now - standing.predicted_at))  # a clock that went back has measured nothing


def _hours(span: timedelta) -> float:
    return span / timedelta(hours=1)


def _clean(number: float) -> float:
    return round(number, _DIGITS) + 0.0  # + 0.0 turns -0.0 into 0.0
