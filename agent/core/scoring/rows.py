"""The one row every measure reads: a prediction, what the market was when it was made, and what became of both.

Law: values only, prepared by whoever loads them; a price that is not usable is None and carries the reason, a moment
that has not come is absent from `horizons`. Nothing here is a score. Loaded by the store, read by the measures beside
this file, never stored itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sync.records import Horizon, Movement, NoQuote, Resolution

HORIZONS: Final = (Horizon.H1, Horizon.H6, Horizon.H24, Horizon.H72, Horizon.H168, Horizon.CLOSE)
PRIMARY: Final = (Horizon.H24, Horizon.CLOSE)  # declared before any data: the others are corrected for their number


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizonQuote:
    """The market at one horizon: all three prices of a usable book, or none and the reason."""

    mid: float | None = None
    bid: float | None = None
    ask: float | None = None
    move_exec: float | None = None  # a contract of the predicted side, bought then and sold here, both fees paid
    missing: NoQuote | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One prediction with everything a measure looks at."""

    prediction_id: str
    market_key: str  # "venue:…": the venue is read from it
    event_key: str  # what is resampled together: the event with its venue, or the market's key where it has none
    experiment: str
    version: str
    saw_price: bool
    predicted_at: datetime
    probability: float
    model: str | None = None
    category: str | None = None
    confidence: int | None = None  # percent: that in 24 h the mid is on the predicted side of initial_mid
    initial_mid: float | None = None  # of a usable book at predicted_at; None leaves the row out of all but Brier, log
    initial_bid: float | None = None
    initial_ask: float | None = None
    tick_size: float | None = None
    horizons: Mapping[Horizon, HorizonQuote] = field(default_factory=dict)  # only those that are due
    hours_to_convergence: float | None = None  # to the first usable mid at the prediction or past it; None: not yet
    hours_watched: float = 0.0  # to the last usable mid: where an unconverged row is censored
    movement: Movement | None = None  # of the last check
    latest_mid: float | None = None  # the last usable mid: what the descriptive convergence is reckoned to
    resolution: Resolution | None = None  # None while nobody has decided
    resolution_value: float | None = None  # what one YES contract paid
    closes_at: datetime | None = None  # as the venue said when the prediction was made: the nearer of its two ends
    resolved_at: datetime | None = None
    known_at: datetime | None = None  # when the answer had been stored here, never before it was out
