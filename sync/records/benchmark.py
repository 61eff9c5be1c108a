"""How predictions fare against the market: checks, marks, scores, passes, reports."""

from datetime import datetime
from typing import Any

from sync.records.markets import Record
from sync.records.words import (
    BenchmarkStatus,
    Exclusion,
    Horizon,
    Movement,
    NoQuote,
    Percent,
    Probability,
    Resolution,
    TimeFrame,
)


class Check(Record, frozen=True, kw_only=True, tag="check"):
    """One prediction held against the market at one hour: the descriptive benchmark fields."""

    prediction_id: str
    market_key: str
    checked_at: datetime
    movement_direction: Movement
    predicted_probability: Probability
    hours_since_prediction: float
    closed: bool
    resolved: bool
    predicted_confidence: Percent | None = None
    yes_price: Probability | None = None  # mid
    no_price: Probability | None = None
    abs_delta: Probability | None = None
    convergence_rate: float | None = None  # change of abs_delta per elapsed hour since the last check with a price
    cumulative_convergence: float | None = None  # initial delta minus abs_delta
    signed_move: float | None = None  # move of the mid toward the predicted side: the honest one


class Mark(Record, frozen=True, kw_only=True, tag="mark"):
    """The market at one horizon of a prediction, written once: the honest layer of the benchmark."""

    prediction_id: str
    market_key: str
    horizon: Horizon
    due_at: datetime
    marked_at: datetime
    missing: NoQuote | None = None  # set: there is no price, and why
    seen_at: datetime | None = None  # when the book below was looked at
    bid: Probability | None = None
    ask: Probability | None = None
    mid: Probability | None = None
    signal: bool | None = None  # the prediction was further from the price than its noise; None: no price to tell by
    signed_move: float | None = None  # of the mid toward the predicted side since the prediction
    signed_move_exec: float | None = None  # bought and sold across both spreads, both fees paid; None: a fee unknown


class Score(Record, frozen=True, kw_only=True, tag="score"):
    """A prediction whose market has an answer. `excluded` ones are counted and have no numbers."""

    prediction_id: str
    market_key: str
    scored_at: datetime
    resolution: Resolution
    resolution_value: Probability | None = None
    excluded: Exclusion | None = None
    brier_score: Probability | None = None
    log_score: float | None = None  # natural, clipped to [0.01, 0.99]; lower is better
    market_brier_score: Probability | None = None  # of the usable mid at the prediction
    day_before_brier_score: Probability | None = None  # of the market 24 hours before its end


class BenchmarkPass(Record, frozen=True, kw_only=True, tag="benchmark_pass"):
    """One hourly pass of the benchmark in numbers. Means are None where nothing had a price."""

    pass_id: str
    checked_at: datetime
    status: BenchmarkStatus
    n_active: int
    n_paused: int
    n_completed: int
    n_checks: int
    n_converging: int
    n_diverging: int
    n_stable: int
    n_overshot: int
    n_stale: int
    n_settled: int
    n_marks: int
    n_scores: int
    n_excluded: int  # of the scores
    mean_rate: float | None = None  # change of the gap per hour
    max_rate: float | None = None
    convergence_percentage: float | None = None  # median share of the gap that closed, of gaps of 5 points and more


class BenchmarkReport(Record, frozen=True, kw_only=True, tag="benchmark_report"):
    """What the benchmark says of one experiment, or of all in order, as the edge worked it out at one moment."""

    report_id: str
    scope: str  # "experiment:<name>", or as `leaderboard` says
    made_at: datetime
    body: dict[str, Any]  # agent.core.scoring.shapes, as JSON: every number with n, events, interval and null

    @staticmethod
    def leaderboard(sort: str, category: str | None = None, frame: TimeFrame | None = None) -> str:
        """The scope of a leaderboard: of all questions, or of a cut. The category comes last: it may hold anything."""
        cut = "" if category is None and frame is None else f":{frame or 'any'}:{(category or '').lower()}"
        return f"leaderboard:{sort}{cut}"
