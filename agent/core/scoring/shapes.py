"""The report on experiments as values: what commands render, the cloud stores and signals quote. JSON-able.

Law: every tested number is a Measure; whatever is counted instead of measured says what it counted. Imports no numpy:
who renders a report must not pay for making one.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from agent.core.scoring.measures import Measure
from sync.records import Evidence, Horizon, Resolution, TimeFrame


class Struct(msgspec.Struct, frozen=True, kw_only=True):
    """Base of a report's parts."""


class CalibrationBin(Struct, frozen=True, kw_only=True):
    """Forecasts of about the same size."""

    predicted: float  # mean of what was said
    observed: float  # share of what happened
    low: float  # 95 % band of the share, were the stated probabilities true
    high: float
    n: int


class Calibration(Struct, frozen=True, kw_only=True):
    """A reliability table and its error beside the error of luck alone."""

    state: Evidence
    n: int
    events: int
    bins: tuple[CalibrationBin, ...] = ()
    error: float | None = None  # expected calibration error: mean distance of said and seen, weighted by n
    expected_error: float | None = None  # of a perfect forecaster on these rows
    error_band_high: float | None = None  # 95 % of perfect forecasters stay below


class HorizonReport(Struct, frozen=True, kw_only=True):
    """The market at one fixed moment after the predictions."""

    horizon: Horizon
    primary: bool  # declared in advance; the others are corrected for their number
    n_due: int
    n_missing: dict[str, int]  # due and without a usable quote, by reason
    n_ties: int  # moved less than half a tick: no direction
    n_unknown_cost: int  # without a book side or a fee: not executable
    signed_move: Measure
    signed_move_exec: Measure  # against 0, breaking even; without skill it is minus `mean_cost`
    closure_slope: Measure
    gap_closed: Measure
    direction_hit: Measure  # beside the permutation's expectation
    lift: Measure  # hit minus expectation
    mean_cost: float | None
    converging: Measure  # descriptive: share whose gap became smaller
    convergence: Measure  # descriptive: by how much, in probability


class ArrivalReport(Struct, frozen=True, kw_only=True):
    """Time until the price reached the prediction; those it has not reached are censored. Descriptive."""

    n: int
    n_arrived: int
    within_24h: Measure  # null: the most a fair price would, had it until the end
    within_168h: Measure
    median_hours: float | None  # None: not half of them arrived


class ConfidenceReport(Struct, frozen=True, kw_only=True):
    """Stated confidence, as the chance that in 24 h the mid is on the predicted side."""

    rank_correlation: Measure  # with the signed move
    partial_correlation: Measure  # gap size, price and days to close taken out
    skill: Measure  # Brier skill of confidence against how often such markets moved that way
    calibration: Calibration


class ReferenceReport(Struct, frozen=True, kw_only=True):
    """A forecaster without skill, on the same rows."""

    name: str
    brier: float | None
    log_score: float | None
    brier_skill: Measure  # against the market
    signed_move: Measure  # at 24 h


class Slice(Struct, frozen=True, kw_only=True):
    """Part of an arm. Shown, never tested: among many slices one always looks good."""

    name: str
    n: int
    events: int
    brier_skill: Measure
    signed_move: Measure  # at 24 h


class Standout(Struct, frozen=True, kw_only=True):
    """One prediction picked by how it went: an illustration, no evidence."""

    prediction_id: str
    market_key: str
    probability: float
    initial_mid: float
    horizon: Horizon
    signed_move: float
    resolution: Resolution | None = None


class ConvergenceBand(Struct, frozen=True, kw_only=True):
    """How many gaps closed by so much, beside what shuffled sides give."""

    low: float  # percent
    high: float
    n: int
    expected: float


class Distribution(Struct, frozen=True, kw_only=True):
    """The descriptive convergence: only gaps of 5 points and more, by the last usable mid."""

    n: int
    median_percentage: Measure
    bands: tuple[ConvergenceBand, ...]
    n_by_movement: dict[str, int]  # word of each prediction's last check


class ArmReport(Struct, frozen=True, kw_only=True):
    """One set-up: version, model, and whether it saw the price; never pooled with another."""

    experiment: str
    version: str
    model: str | None
    saw_price: bool
    state: Evidence  # of Brier skill once enough events are resolved, before that of the signed move at 24 h
    badge: bool  # 200 events and an executable move above 0 at a primary horizon
    n: int
    n_markets: int
    events: int
    n_resolved: int
    n_excluded: dict[str, int]
    brier: Measure  # beside the market's
    log_score: Measure
    market_brier: Measure
    market_log_score: Measure
    market_brier_before_close: Measure  # 24 h before the market's end
    brier_skill: Measure
    brier_difference: Measure  # market minus ours: above 0 is better than the market
    hit_at_resolution: Measure  # beside the price of the predicted side
    lift_at_resolution: Measure
    horizons: tuple[HorizonReport, ...]
    calibration: Calibration
    arrival: ArrivalReport
    confidence: ConfidenceReport
    references: tuple[ReferenceReport, ...]
    by_category: tuple[Slice, ...]
    by_days_to_close: tuple[Slice, ...]
    recent: Slice  # predicted in the last 30 days
    distribution: Distribution
    top: tuple[Standout, ...]
    poor: tuple[Standout, ...]


class ExperimentReport(Struct, frozen=True, kw_only=True):
    """Everything one experiment's predictions say about it."""

    experiment: str
    made_at: datetime
    n: int
    events: int
    arms: tuple[ArmReport, ...]


class Sort(StrEnum):
    """What a leaderboard is ordered by."""

    CONVERGENCE = "convergence"
    CONFIDENCE = "confidence"
    RECENT = "recent"
    BRIER_SKILL = "brier_skill"


class LeaderboardEntry(Struct, frozen=True, kw_only=True):
    """One arm in one line; `rank` is None while it is too early to rank it."""

    rank: int | None
    experiment: str
    version: str
    model: str | None
    saw_price: bool
    state: Evidence
    badge: bool
    n: int
    events: int
    brier_skill: Measure
    signed_move: Measure  # at 24 h
    closure_slope: Measure  # at 24 h
    convergence: Measure  # descriptive: median percentage beside the shuffled one
    confidence: Measure  # partial rank correlation
    recent: Measure  # signed move at 24 h, predictions of the last 30 days


class Leaderboard(Struct, frozen=True, kw_only=True):
    """Arms in order. Each is measured against the market on its own rows, so different questions do not mix."""

    sort: Sort
    made_at: datetime
    entries: tuple[LeaderboardEntry, ...]
    category: str | None = None  # lower case; a board of these questions alone: shown, never tested
    frame: TimeFrame | None = None
    categories: tuple[str, ...] = ()  # that may be asked for beside this frame
    frames: tuple[TimeFrame, ...] = ()  # that may be asked for beside this category
