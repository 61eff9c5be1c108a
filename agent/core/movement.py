"""What the market did against a prediction, check by check: the descriptive benchmark, and the signed move beside it.

Pure: a Book is looked at once for all predictions of its market, each Standing is then held against that View. A price
is the mid of a usable quote or it is missing; a last trade never stands in for it, and a settlement's jump to 0 or 1
never enters the numbers. The words CONVERGING and DIVERGING carry no evidence of skill (a fair price diverges from
most predictions); `signed_move` has expectation zero without it. Called by jobs/benchmark.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import fmean, median

import msgspec

from sync.records import BenchmarkStatus, Check, MarketStatus, Movement, NoQuote

MAX_SPREAD = 0.10  # wider books have a mid that nobody trades at
CHEAP = 0.10  # below this mid the spread is judged against the mid itself
MAX_SPREAD_OF_CHEAP_MID = 0.5
MAX_BOOK_AGE = timedelta(minutes=15)  # one collection slot
END_MARGIN = timedelta(hours=1)  # nearer to the end the price is the result arriving
NOISE = 0.005  # a smaller change of the gap is the book breathing
MIN_GAP_FOR_PERCENTAGE = 0.05  # the share closed of a smaller gap explodes: median -895 % at half a point
PERCENTAGE_BOUND = 200.0

ENDED = (MarketStatus.CLOSED, MarketStatus.RESOLVED)
_HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The top of a market's book at one look, and what the market was then."""

    status: MarketStatus
    ends_at: datetime | None  # the earlier of close time and expected time, where the venue says one
    tick_size: float | None
    bid: float | None
    ask: float | None
    seen_at: datetime | None  # when the book was last looked at, changed or not


@dataclass(frozen=True, slots=True)
class View:
    """A book as the benchmark sees it: a mid, or why there is none."""

    mid: float | None
    missing: NoQuote | None
    threshold: float  # below it a change is noise: half a point, a tick or half the spread, whichever is largest
    closed: bool
    resolved: bool


# Structs, not dataclasses: a pass makes one per prediction, and a frozen dataclass takes eight times as long to make.
class Previous(msgspec.Struct, frozen=True, gc=False):
    """The last check of a prediction that had a price."""

    checked_at: datetime
    abs_delta: float


class Standing(msgspec.Struct, frozen=True, gc=False):
    """One prediction and how it stood at its last check."""

    prediction_id: str
    market_key: str
    probability: float
    confidence: int | None
    predicted_at: datetime
    initial_price: float | None
    previous: Previous | None


def view(book: Book, now: datetime) -> View:
    """Look at a book once for every prediction of its market."""
    missing = fault(book, now)
    half_spread = ((book.ask or 0) - (book.bid or 0)) / 2
    return View(
        mid=None if missing else clean(((book.bid or 0) + (book.ask or 0)) / 2),
        missing=missing,
        threshold=clean(max(NOISE, book.tick_size or 0, half_spread)),
        closed=book.status in ENDED,
        resolved=book.status is MarketStatus.RESOLVED,
    )


def fault(book: Book, now: datetime) -> NoQuote | None:
    """What keeps a book from being measured with; None for a usable one.

    Usable: market open and more than an hour from its end, two-sided, not crossed, spread at most 10 points (and at
    most half the mid below 10 cents), looked at within 15 minutes of `now`. A look from the future (the clock went
    back) is as doubtful as one from the past.
    """
    if book.status is not MarketStatus.OPEN:
        return NoQuote.NOT_TRADING
    if book.seen_at is None:
        return NoQuote.MISSED
    if abs(now - book.seen_at) > MAX_BOOK_AGE:
        return NoQuote.OLD_BOOK
    if book.ends_at is not None and book.ends_at - now <= END_MARGIN:
        return NoQuote.ENDING
    return fault_of_sides(book.bid, book.ask)


def fault_of_sides(bid: float | None, ask: float | None) -> NoQuote | None:
    """What is wrong with the two prices alone. A side at 0 or 1, or not a number, is an empty one."""
    if bid is None or ask is None or not (0 < bid < 1 and 0 < ask < 1):
        return NoQuote.ONE_SIDED
    mid, spread = clean((bid + ask) / 2), clean(ask - bid)
    if spread < 0:
        return NoQuote.CROSSED
    if spread > MAX_SPREAD or (mid < CHEAP and spread > MAX_SPREAD_OF_CHEAP_MID * mid):
        return NoQuote.WIDE
    return None


def check(standing: Standing, seen: View, now: datetime) -> Check:
    """Hold a prediction against its market as it stands at `now`."""
    # A clock that went back has measured nothing.
    hours = max(0.0, (now - standing.predicted_at).total_seconds() / _HOUR_S)
    mid = seen.mid
    if mid is None or seen.closed:
        return Check(
            prediction_id=standing.prediction_id,
            market_key=standing.market_key,
            checked_at=now,
            movement_direction=Movement.SETTLED if seen.closed else Movement.STALE,
            predicted_probability=standing.probability,
            predicted_confidence=standing.confidence,
            hours_since_prediction=hours,
            closed=seen.closed,
            resolved=seen.resolved,
        )
    p, m0, before = standing.probability, standing.initial_price, standing.previous
    abs_delta = clean(abs(p - mid))
    initial_delta = None if m0 is None else clean(abs(p - m0))
    if before is None and initial_delta is not None:
        before = Previous(standing.predicted_at, initial_delta)
    return Check(
        prediction_id=standing.prediction_id,
        market_key=standing.market_key,
        checked_at=now,
        movement_direction=_direction(p, m0, seen, before),
        predicted_probability=p,
        predicted_confidence=standing.confidence,
        hours_since_prediction=hours,
        closed=False,
        resolved=False,
        yes_price=mid,
        no_price=clean(1 - mid),
        abs_delta=abs_delta,
        convergence_rate=_rate(before, abs_delta, now),
        cumulative_convergence=None if initial_delta is None else clean(initial_delta - abs_delta),
        signed_move=None if m0 is None else signed_move(p, m0, mid),
    )


def has_converged(one: Check, seen: View) -> bool:
    """Whether the price has reached the prediction: as near as the noise, or past it."""
    near = one.abs_delta is not None and one.abs_delta < seen.threshold
    return near or one.movement_direction is Movement.OVERSHOT


def signed_move(probability: float, initial_price: float, price: float) -> float:
    """Move of the price toward the predicted side since the prediction; 0 where it predicted no side."""
    if probability == initial_price:
        return 0.0
    return clean(price - initial_price if probability > initial_price else initial_price - price)


def convergence_percentage(initial_delta: float, abs_delta: float) -> float | None:
    """Share of the initial gap that has closed, in percent; None for a gap below 5 points, bounded to ±200."""
    if clean(initial_delta) < MIN_GAP_FOR_PERCENTAGE:
        return None
    share = 100 * (initial_delta - abs_delta) / initial_delta
    return min(max(share, -PERCENTAGE_BOUND), PERCENTAGE_BOUND)


@dataclass(slots=True)
class Tally:
    """One pass of the benchmark in numbers, added up check by check. Means are None where nothing had a price."""

    counts: Counter[Movement] = field(default_factory=Counter)
    _rates: list[float] = field(default_factory=list)
    _shares: list[float] = field(default_factory=list)

    def add(self, checks: Iterable[Check]) -> Counter[Movement]:
        """Count some checks, and return their words; one without a price counts and stays out of the means."""
        counts = Counter[Movement]()
        for one in checks:
            counts[one.movement_direction] += 1
            if one.convergence_rate is not None:
                self._rates.append(one.convergence_rate)
            if one.abs_delta is not None and one.cumulative_convergence is not None:
                share = convergence_percentage(one.abs_delta + one.cumulative_convergence, one.abs_delta)
                if share is not None:
                    self._shares.append(share)
        self.counts += counts
        return counts

    @property
    def mean_rate(self) -> float | None:
        """Change of the gap per hour, on average."""
        return fmean(self._rates) if self._rates else None

    @property
    def max_rate(self) -> float | None:
        """The fastest convergence of the pass."""
        return max(self._rates, default=None)

    @property
    def convergence_percentage(self) -> float | None:
        """Median share of the gap that has closed, of gaps of 5 points and more."""
        return median(self._shares) if self._shares else None


def overall(n_active: int, n_paused: int) -> BenchmarkStatus:
    """What the benchmark as a whole is: paused only where nothing else is left, completed where nothing is."""
    if n_active:
        return BenchmarkStatus.ACTIVE
    return BenchmarkStatus.PAUSED if n_paused else BenchmarkStatus.COMPLETED


def clean(number: float) -> float:
    """Without float dust, far below any tick: 0.75 - 0.60 is the 0.15 it should be, and zero has no sign."""
    return round(number * 1e9) / 1e9  # nine digits, at a fifth of what round(x, 9) costs


def _direction(p: float, m0: float | None, seen: View, before: Previous | None) -> Movement:
    """The word for this check. STABLE is a change below the threshold, and a first price with nothing before it.

    A price that passed the prediction by the threshold has OVERSHOT, whatever it did since the check before.
    """
    mid, threshold = seen.mid or 0.0, seen.threshold
    if m0 is not None and p != m0 and clean(mid - p if p > m0 else p - mid) >= threshold:
        return Movement.OVERSHOT
    if before is None:
        return Movement.STABLE
    closed_by = clean(before.abs_delta - abs(p - mid))
    if abs(closed_by) < threshold:
        return Movement.STABLE
    return Movement.CONVERGING if closed_by > 0 else Movement.DIVERGING


def _rate(before: Previous | None, abs_delta: float, now: datetime) -> float | None:
    """Change of the gap per hour really elapsed; None where no time has passed (the clock went back)."""
    if before is None or now <= before.checked_at:
        return None
    return clean((before.abs_delta - abs_delta) * _HOUR_S / (now - before.checked_at).total_seconds())
