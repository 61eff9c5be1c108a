"""What travels from the edge to the cloud, each record defined once.

Law: frozen, keyword-only, no behaviour beyond reading itself; what is missing is None and absent on the wire.
The store saves these records, a batch carries them, the API returns them. `_time` was said by a venue, `_at` was
stamped by us; both are aware UTC. A price or probability is a float in [0, 1] or None. A field may be added within
a schema version (the other side ignores what it does not know); renaming or removing one, a new kind of record, or a
field that may not be missed raises SCHEMA_VERSION, and the kind stands in NEEDS: an older cloud gets what it can take.
"""

from sync.records.benchmark import BenchmarkPass, BenchmarkReport, Check, Mark, Score
from sync.records.insights import Digest, DigestArbitrage, DigestMarket, Insight, Signal, TrackRecord
from sync.records.markets import FeeTerms, Market, Pattern, Quote, Record
from sync.records.pairs import Arbitrage, ArbitrageLeg, Match, RuleDifference
from sync.records.predictions import Prediction, SessionStep
from sync.records.words import (
    ArbitrageKind,
    ArbitrageStatus,
    BenchmarkStatus,
    Evidence,
    Exclusion,
    Horizon,
    JudgedBy,
    MarketStatus,
    Movement,
    NoQuote,
    Percent,
    Position,
    Probability,
    Recommendation,
    Relation,
    Resolution,
    Sentiment,
    SessionState,
    SignalKind,
    TimeFrame,
    TimeSensitivity,
    Venue,
    YesMapsTo,
)

__all__ = [
    "NEEDS",
    "SCHEMA_VERSION",
    "Arbitrage",
    "ArbitrageKind",
    "ArbitrageLeg",
    "ArbitrageStatus",
    "BenchmarkPass",
    "BenchmarkReport",
    "BenchmarkStatus",
    "Check",
    "Digest",
    "DigestArbitrage",
    "DigestMarket",
    "Evidence",
    "Exclusion",
    "FeeTerms",
    "Horizon",
    "Insight",
    "JudgedBy",
    "Mark",
    "Market",
    "MarketStatus",
    "Match",
    "Movement",
    "NoQuote",
    "Pattern",
    "Percent",
    "Position",
    "Prediction",
    "Probability",
    "Quote",
    "Recommendation",
    "Record",
    "Relation",
    "Resolution",
    "RuleDifference",
    "Score",
    "Sentiment",
    "SessionState",
    "SessionStep",
    "Signal",
    "SignalKind",
    "TimeFrame",
    "TimeSensitivity",
    "TrackRecord",
    "Travelling",
    "Venue",
    "YesMapsTo",
]

SCHEMA_VERSION = 1
# Kind of record -> the schema a cloud must have to take it as it is sent now; 1 for every kind that is not here.
NEEDS: dict[str, int] = {}

Travelling = (
    Market
    | Quote
    | Pattern
    | Insight
    | Prediction
    | Check
    | Digest
    | Match
    | Arbitrage
    | Mark
    | Score
    | BenchmarkPass
    | BenchmarkReport
    | Signal
    | SessionStep
)
