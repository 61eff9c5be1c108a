"""Predictions and the steps of the sessions that ask for them."""

from datetime import date, datetime

from sync.records.markets import Record
from sync.records.words import Percent, Probability, SessionState


class Prediction(Record, frozen=True, kw_only=True, tag="prediction"):
    """A forecast registered for scoring. Never edited; chained to the one before it."""

    prediction_id: str
    market_key: str
    experiment: str
    experiment_version: str
    run_day: date  # UTC day it counts for; (market, experiment, version, model, day) is unique
    probability_yes: Probability
    saw_price: bool
    predicted_at: datetime
    model: str | None = None
    prompt_version: str | None = None
    confidence: Percent | None = None  # probability that the mid is on the predicted side in 24 h
    rationale: str | None = None
    initial_price: Probability | None = None  # market mid at predicted_at
    initial_bid: Probability | None = None
    initial_ask: Probability | None = None
    initial_seen_at: datetime | None = None  # when that book was last looked at: how old the price was
    chain: str | None = None  # which edge's record: a second machine keeps one of its own
    chain_seq: int  # 1, 2, 3 … over all predictions of one edge
    previous_hash: str
    record_hash: str


class SessionStep(Record, frozen=True, kw_only=True, tag="session_step"):
    """One model of a session moved on, as the edge that works on it says."""

    step_id: str
    session_id: str
    model: str
    state: SessionState
    made_at: datetime
    reason: str | None = None  # why it failed
    prediction_ids: tuple[str, ...] = ()  # in the record, when it is completed
