"""What a forecaster said against what happened, twice as every chart: SVG geometry, and columns for uPlot. Pure.

Law: each point stands before the band in which luck alone would leave an honest forecaster 95 times of 100; a point
inside it shows nothing. Without bins there is no picture, for a picture of few answers would look like knowledge.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 40
GRID = (0.0, 0.25, 0.5, 0.75, 1.0)


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One bin of forecasts of about the same size."""

    x: float
    y: float
    low_y: float
    high_y: float
    said: float
    happened: float
    low: float
    high: float
    n: int

    @property
    def is_within(self) -> bool:
        """Whether luck alone explains it."""
        return self.low <= self.happened <= self.high


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a template needs."""

    points: list[Point]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]
    summary: str
    data: str


def reliability(told: Mapping[str, Any]) -> Reliability | None:
    """The picture of an arm's calibration as its report tells it. Returns: None without a bin."""
    points = [_point(each) for each in sorted(told.get("bins") or (), key=lambda each: each["predicted"])]
    if not points:
        return None
    columns = {
        "said": [_percent(p.said) for p in points],
        "happened": [_percent(p.happened) for p in points],
        "low": [_percent(p.low) for p in points],
        "high": [_percent(p.high) for p in points],
    }
    return Reliability(
        points=points,
        across=[(_x(share), f"{share:.0%}") for share in GRID],
        up=[(_y(share), f"{share:.0%}") for share in GRID],
        summary=_in_words(points),
        data=msgspec.json.encode(columns).decode(),
    )


def _point(told: Mapping[str, Any]) -> Point:
    said, happened, low, high = (float(told[name]) for name in ("predicted", "observed", "low", "high"))
    return Point(
        x=_x(said), y=_y(happened), low_y=_y(low), high_y=_y(high),
        said=said, happened=happened, low=low, high=high, n=told["n"],
    )  # fmt: skip


def _in_words(points: list[Point]) -> str:
    n_within = sum(point.is_within for point in points)
    first, last = points[0], points[-1]
    said = f"Where about {first.said:.0%} was said, {first.happened:.0%} happened"
    if len(points) > 1:
        said += f"; where about {last.said:.0%} was said, {last.happened:.0%} did"
    return f"{said}. {n_within} of {len(points)} points lie where luck alone would put them."


def _x(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _percent(share: float) -> float:
    return round(share * 100, 2)
