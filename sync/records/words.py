"""The closed vocabularies of the records, each word once."""

from enum import StrEnum
from typing import Annotated

import msgspec

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]


class Venue(StrEnum):
    """The exchanges we read."""

    POLYMARKET = "polymarket"
    KALSHI = "kalshi"


class MarketStatus(StrEnum):
    """Where a market stands in its life, in one vocabulary for both venues."""

    UNOPENED = "unopened"  # listed, not trading yet: a leg without prices
    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"  # trading over, answer not final
    RESOLVED = "resolved"


class Resolution(StrEnum):
    """How a market ended. A pinned price alone is never a resolution."""

    YES = "yes"
    NO = "no"
    VOID = "void"  # refund or a settlement between 0 and 1: see resolution_value
    DISPUTED = "disputed"
    UNKNOWN = "unknown"  # closed, and the venue does not say how


class Recommendation(StrEnum):
    """The closed vocabulary of an insight's verdict."""

    STRONG_BET = "STRONG_BET"
    GOOD_BET = "GOOD_BET"
    CAUTION = "CAUTION"
    AVOID = "AVOID"


class Position(StrEnum):
    """The side an insight leans to."""

    YES = "YES"
    NO = "NO"
    WAIT = "WAIT"


class TimeSensitivity(StrEnum):
    """How long an insight stays worth reading."""

    ACT_NOW = "ACT_NOW"
    HOURS = "HOURS"
    DAYS = "DAYS"
    WEEKS = "WEEKS"


class Sentiment(StrEnum):
    """How a day felt across everything we watch."""

    CALM = "CALM"
    MIXED = "MIXED"
    TENSE = "TENSE"  # large moves, thin books, much undecided


class Movement(StrEnum):
    """What the market did against a prediction since the check before. Descriptive only."""

    CONVERGING = "CONVERGING"
    DIVERGING = "DIVERGING"
    STABLE = "STABLE"
    OVERSHOT = "OVERSHOT"
    STALE = "STALE"  # no usable quote: no number, counted
    SETTLED = "SETTLED"


class Relation(StrEnum):
    """How question A stands to the mapped side of question B."""

    EQUIVALENT = "EQUIVALENT"
    A_IMPLIES_B = "A_IMPLIES_B"
    B_IMPLIES_A = "B_IMPLIES_A"
    OVERLAP = "OVERLAP"
    DIFFERENT = "DIFFERENT"
    UNCLEAR = "UNCLEAR"


class YesMapsTo(StrEnum):
    """Which side of B a YES on A is."""

    YES = "YES"
    NO = "NO"
    UNCLEAR = "UNCLEAR"


class JudgedBy(StrEnum):
    """Who had the last word on a pair of markets."""

    TEXT = "TEXT"  # titles, numbers and dates agree; nobody has compared the rules
    RULES = "RULES"  # a model compared the rules, its quotes were found in both
    OPERATOR = "OPERATOR"  # a person's list


class ArbitrageKind(StrEnum):
    """What the legs of a package have to do with each other."""

    CROSS_PLATFORM = "CROSS_PLATFORM"  # one question on two venues
    RELATED_MARKET = "RELATED_MARKET"  # one answer implies the other
    TEMPORAL = "TEMPORAL"  # the same thing by an earlier and by a later day
    HEDGE = "HEDGE"  # all legs of one event, of which exactly or at most one can be YES


class ArbitrageStatus(StrEnum):
    """Whether a package still pays, as far as we saw last."""

    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"


class Horizon(StrEnum):
    """The fixed moments after a prediction at which its market is read once, and two before the market's end."""

    H1 = "1h"
    H6 = "6h"
    H24 = "24h"
    H72 = "72h"
    H168 = "168h"
    DAY_BEFORE = "day_before"  # 24 hours before the end
    CLOSE = "close"  # the last usable quote 60 to 180 minutes before the end


class NoQuote(StrEnum):
    """Why a moment has no price."""

    MISSED = "missed"  # nobody looked within the tolerance
    ONE_SIDED = "one_sided"  # an empty side, or one at 0 or 1
    CROSSED = "crossed"
    WIDE = "wide"  # spread above 10 points, or above half the mid below 10 cents
    OLD_BOOK = "old_book"  # last looked at more than 15 minutes before
    NOT_TRADING = "not_trading"  # paused, closed, resolved
    ENDING = "ending"  # an hour or less before the market's end


class BenchmarkStatus(StrEnum):
    """Where the benchmark of a prediction stands, and that of all of them together."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"


class Exclusion(StrEnum):
    """Why a resolved prediction has no score; counted, never dropped."""

    VOID = "void"
    LATE = "late"  # made less than an hour before the market's end: the answer was arriving


class Evidence(StrEnum):
    """What may be said about a measured number."""

    NOT_MEASURED = "NOT_MEASURED"  # nothing has what it needs
    TOO_EARLY = "TOO_EARLY"  # fewer than 30 independent events
    NO_EVIDENCE = "NO_EVIDENCE"  # its interval holds what no skill gives
    BETTER = "BETTER"
    WORSE = "WORSE"
    SHOWN = "SHOWN"  # descriptive, or an anchor for another number: never tested


class TimeFrame(StrEnum):
    """How far a market's end was when it was predicted."""

    DAY = "1d"  # up to one day
    DAYS_3 = "3d"  # one to three
    WEEK = "7d"
    MONTH = "30d"
    LATER = "later"


class SignalKind(StrEnum):
    """What a signal saw."""

    CONVERGENCE_ACCELERATING = "CONVERGENCE_ACCELERATING"  # the price moves toward a forecast, faster than before
    DISAGREEMENT = "DISAGREEMENT"  # a confident forecast is far from what can be traded


class SessionState(StrEnum):
    """Where one model of an on-demand session stands; it only moves forward, the last three are the end."""

    QUEUED = "QUEUED"
    RESEARCHING = "RESEARCHING"  # an edge has it: what is known is gathered
    GENERATING = "GENERATING"  # the model is asked for its forecast
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
