"""A price chart twice: the geometry a template draws as inline SVG, without scripts, and the columns uPlot draws. Pure.

Law: both show the same points. A gap in the quotes is a gap in the line, never a zero; a price stays until the next
one, so lines are steps. The window of prices is the data's own, widened a little and kept within [0, 1]; what the
picture says is said in words too.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import msgspec

from cloudapi.queries.prices import Series

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 14, 28
N_PRICE_LINES = 4
N_TIME_LINES = 4
LEAST_SPAN = 0.04  # of prices; a flat market shall not look wild
MOST_POINTS = 360  # steps across the picture; the last price within each is drawn


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened at a moment; `price` only where it has one."""

    at: datetime
    label: str
    kind: str = "run"  # or "resolution"
    price: float | None = None


class Tick(msgspec.Struct, frozen=True):
    """A line of the grid."""

    at: float
    label: str


class Placed(msgspec.Struct, frozen=True):
    """A mark on the picture."""

    x: float
    y: float | None
    kind: str
    label: str


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a template needs to draw it."""

    mid: str  # the path of the stepped line
    band: str  # closed paths between bid and ask
    forecast_y: float | None
    forecast_x: float
    end_x: float
    prices: list[Tick]
    times: list[Tick]
    marks: list[Placed]
    summary: str
    rows: list[tuple[datetime, float | None, float | None, float | None]]  # newest first, for the table
    data: str  # JSON for uPlot: columns in per cent, the forecast and its beginning, the marks


class _Scale:
    """Moments and prices to pixels."""

    def __init__(self, times: Sequence[float], prices: Sequence[float]) -> None:
        self.first, self.last = min(times), max(times)
        if self.first == self.last:
            self.first -= 3600
        middle, half = (max(prices) + min(prices)) / 2, max(max(prices) - min(prices), LEAST_SPAN) * 0.6
        self.low, self.high = max(0.0, middle - half), min(1.0, middle + half)

    def x(self, moment: float) -> float:
        return round(LEFT + (moment - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, price: float) -> float:
        share = (min(max(price, self.low), self.high) - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def draw(
    series: Series, *, forecast: float | None = None, since: datetime | None = None, marks: Sequence[Mark] = ()
) -> Chart | None:
    """The picture of a series. Returns: None while there is no price to draw."""
    points = list(_points(series))
    known = [price for point in points for price in point[1:] if price is not None]
    if not known:
        return None
    end = max(series.t)
    window = [float(series.t[0]), float(end), *(m.at.timestamp() for m in marks if series.t[0] <= m.at.timestamp())]
    scale = _Scale(window, [*known, *([] if forecast is None else [forecast])])
    begins = scale.first if since is None else max(since.timestamp(), scale.first)
    mids = [(moment, mid) for moment, _, _, mid in points]
    return Chart(
        mid=" ".join(_steps(run, scale) for run in _runs(mids)),
        band=" ".join(_band(points, scale)),
        forecast_y=None if forecast is None else scale.y(forecast),
        forecast_x=scale.x(min(begins, scale.last)),
        end_x=scale.x(scale.last),
        prices=[Tick(scale.y(p), f"{p:.0%}" if scale.high - scale.low > 0.1 else f"{p:.1%}") for p in _grid(scale)],
        times=_time_ticks(scale),
        marks=[_place(mark, scale) for mark in marks if mark.at.timestamp() >= scale.first],
        summary=_in_words([price for _, price in mids if price is not None], forecast),
        rows=[(datetime.fromtimestamp(moment, UTC), bid, ask, mid) for moment, bid, ask, mid in points[:-31:-1]],
        data=_columns(points, scale, forecast, begins, marks),
    )


def _columns(
    points: Sequence[tuple[int, float | None, float | None, float | None]],
    scale: _Scale,
    forecast: float | None,
    begins: float,
    marks: Sequence[Mark],
) -> str:
    t, bid, ask, mid = zip(*points, strict=True)
    told = {
        "t": t,
        **{name: [_cent(price) for price in column] for name, column in (("bid", bid), ("ask", ask), ("mid", mid))},
        "range": [_cent(scale.low), _cent(scale.high)],
        "span": [int(scale.first), int(scale.last)],
        "forecast": _cent(forecast),
        "since": int(begins),
        "marks": [
            {"at": int(mark.at.timestamp()), "label": mark.label, "kind": mark.kind, "price": _cent(mark.price)}
            for mark in marks
            if mark.at.timestamp() >= scale.first
        ],
    }
    return msgspec.json.encode(told).decode()


def _cent(price: float | None) -> float | None:
    return None if price is None else round(price * 100, 2)


def _points(series: Series) -> Iterator[tuple[int, float | None, float | None, float | None]]:
    """Time, bid, ask, mid; thinned to what a screen can show."""
    columns = (series.bid, series.ask, series.mid)
    keep = max(1, -(-len(series.t) // MOST_POINTS))
    for place in range((len(series.t) - 1) % keep if series.t else 0, len(series.t), keep):
        bid, ask, mid = (None if (value := column[place]) is None else value / series.scale for column in columns)
        yield series.t[place], bid, ask, mid


def _runs(points: Sequence[tuple[float, float | None]]) -> Iterator[list[tuple[float, float]]]:
    """Stretches without a gap."""
    run = list[tuple[float, float]]()
    for moment, price in points:
        if price is not None:
            run.append((moment, price))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _steps(run: Sequence[tuple[float, float]], scale: _Scale) -> str:
    first, price = run[0]
    path = [f"M{scale.x(first)} {scale.y(price)}"]
    path += [f"H{scale.x(moment)}V{scale.y(price)}" for moment, price in run[1:]]
    return "".join(path) if len(run) > 1 else path[0] + "h2"


def _band(points: Sequence[tuple[int, float | None, float | None, float | None]], scale: _Scale) -> Iterator[str]:
    """One rectangle per step that has both sides."""
    for (moment, bid, ask, _), following in pairwise(points):
        if bid is not None and ask is not None and ask >= bid:
            left, right = scale.x(moment), scale.x(following[0])
            yield f"M{left} {scale.y(ask)}H{right}V{scale.y(bid)}H{left}Z"


def _grid(scale: _Scale) -> list[float]:
    return [scale.low + (scale.high - scale.low) * n / N_PRICE_LINES for n in range(N_PRICE_LINES + 1)]


def _time_ticks(scale: _Scale) -> list[Tick]:
    span = scale.last - scale.first
    form = "%H:%M" if span <= 36 * 3600 else "%d %b"
    moments = [scale.first + span * n / N_TIME_LINES for n in range(N_TIME_LINES + 1)]
    return [Tick(scale.x(moment), datetime.fromtimestamp(moment, UTC).strftime(form)) for moment in moments]


def _place(mark: Mark, scale: _Scale) -> Placed:
    y = None if mark.price is None else scale.y(mark.price)
    return Placed(scale.x(min(mark.at.timestamp(), scale.last)), y, mark.kind, mark.label)


def _in_words(mids: Sequence[float], forecast: float | None) -> str:
    """What somebody who cannot see the picture needs of it."""
    if not mids:
        return "There are quotes, but none with both sides to take a middle from."
    said = f"The market's mid went from {mids[0]:.1%} to {mids[-1]:.1%}, between {min(mids):.1%} and {max(mids):.1%}."
    if forecast is None:
        return said
    return f"{said} The forecast is {forecast:.1%}, {abs(forecast - mids[-1]) * 100:.1f} points from the last mid."
