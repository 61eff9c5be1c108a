"""The envelopes of lists and the parameters they share."""

from datetime import datetime, timedelta
from typing import Annotated, TypeAlias

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter

from cloudapi.errors import Invalid
from cloudapi.problems import Problem
from cloudapi.queries.insights import InsightBrief
from sync.records import (
    Arbitrage,
    BenchmarkPass,
    BenchmarkReport,
    Check,
    Digest,
    Insight,
    Mark,
    Market,
    Match,
    Prediction,
    Score,
    Signal,
)

MAX_TEXT = 200  # characters of a filter or a search

Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
Limit: TypeAlias = Annotated[int, QueryParameter(ge=1, le=100, description="Objects per page, 1 to 100.")]
Cursor: TypeAlias = Annotated[
    str | None, QueryParameter(max_length=500, description="`next_cursor` of the page before; filters unchanged.")
]

PageText = FromQuery[Text | None]
Key = FromPath[Text]

FAILURES = {
    401: ResponseSpec(Problem, description="No key, or one that opens nothing", media_type="application/problem+json"),
    422: ResponseSpec(Problem, description="A parameter cannot be used", media_type="application/problem+json"),
    429: ResponseSpec(Problem, description="Too many requests", media_type="application/problem+json"),
    503: ResponseSpec(Problem, description="The database is away", media_type="application/problem+json"),
}
MISSING = {404: ResponseSpec(Problem, description="No such object", media_type="application/problem+json")}
TIERED = {403: ResponseSpec(Problem, description="Not part of the tier", media_type="application/problem+json")}


class MarketPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of markets, newest listed first."""

    data: list[Market]
    has_more: bool
    next_cursor: str | None


class InsightPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of insights. `upgrade_prompt` is there when the tier sees a part only."""

    data: list[Insight | InsightBrief]
    has_more: bool
    next_cursor: str | None
    upgrade_prompt: str | None = None


class DigestPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of daily digests, newest first."""

    data: list[Digest]
    has_more: bool
    next_cursor: str | None


class ArbitragePage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of arbitrage, the newest find first."""

    data: list[Arbitrage]
    has_more: bool
    next_cursor: str | None


class MatchPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of pairs, the verdict of each as it stands, newest first."""

    data: list[Match]
    has_more: bool
    next_cursor: str | None


class SignalPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of signals, newest first."""

    data: list[Signal]
    has_more: bool
    next_cursor: str | None


class PredictionPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of predictions, newest first."""

    data: list[Prediction]
    has_more: bool
    next_cursor: str | None


class CheckPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the hourly checks of one prediction, newest first."""

    prediction_id: str
    data: list[Check]
    has_more: bool
    next_cursor: str | None


class PassPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of hourly passes of the benchmark, newest first."""

    data: list[BenchmarkPass]
    has_more: bool
    next_cursor: str | None


class MarkList(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The market at each horizon of one prediction that has come, and its score where the market has its answer."""

    prediction_id: str
    data: list[Mark]
    score: Score | None = None


class ExperimentPage(msgspec.Struct, frozen=True, kw_only=True):
    """The newest report of every experiment, by name."""

    data: list[BenchmarkReport]


def aware(moment: datetime | None, name: str, *, of: str = "query") -> datetime | None:
    """The instant a caller named. Raises: Invalid if it has no zone or is no instant a database knows.

    Args:
        of: where it was named, query or body.
    """
    if moment is None:
        return None
    if moment.utcoffset() is None:
        raise Invalid(
            f"{name} needs a zone: write it as RFC 3339, as in 2026-01-31T12:00:00Z.",
            errors=[{"pointer": f"/{of}/{name}", "detail": "no zone"}],
        )
    if not datetime(2000, 1, 1, tzinfo=moment.tzinfo) <= moment <= datetime(2100, 1, 1, tzinfo=moment.tzinfo):
        raise Invalid(
            f"{name} must lie between 2000 and 2100.", errors=[{"pointer": f"/{of}/{name}", "detail": "out of range"}]
        )
    return moment


def span(start: datetime | None, end: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """The range a caller asked for; the last 24 hours by default. Raises: Invalid if it is empty."""
    until = aware(end, "end") or now
    since = aware(start, "start") or until - timedelta(hours=24)
    if since >= until:
        raise Invalid("start must be before end.", errors=[{"pointer": "/query/start", "detail": "not before end"}])
    return since, until
