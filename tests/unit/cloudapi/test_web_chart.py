"""The chart's geometry: steps, gaps and words, without a page around it."""

import json
from datetime import UTC, datetime, timedelta

from cloudapi.queries.prices import SCALE, Series
from cloudapi.tiers import Interval
from cloudapi.web.chart import BOTTOM, HEIGHT, LEFT, MOST_POINTS, RIGHT, TOP, WIDTH, Mark, draw
from cloudapi.web.reliability import reliability

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def make_series(*mids: float | None) -> Series:
    scaled = [None if mid is None else round(mid * SCALE) for mid in mids]
    times = [int(NOON.timestamp()) + 300 * n for n in range(len(mids))]
    return Series(market_id="kalshi:X", interval=Interval.M5, t=times, bid=scaled, ask=scaled, last=scaled, mid=scaled)


def test_a_price_stays_until_the_next_one():
    """Steps, not slopes: between two quotes nobody knows of a price between them."""
    chart = draw(make_series(0.4, 0.5, 0.5))

    assert chart.mid.startswith(f"M{float(LEFT)} ")
    assert "L" not in chart.mid
    assert chart.mid.count("H") == chart.mid.count("V") == 2


def test_a_gap_is_a_gap():
    """Missing is not zero, and nothing is drawn across it."""
    chart = draw(make_series(0.4, 0.4, None, 0.6, 0.6))

    assert chart.mid.count("M") == 2
    assert "between 40.0% and 60.0%" in chart.summary
    assert [row[3] for row in chart.rows] == [0.6, 0.6, None, 0.4, 0.4]


def test_nothing_to_draw_is_no_chart():
    """The page has a text for it."""
    assert draw(make_series()) is None
    assert draw(make_series(None, None)) is None


def test_everything_stays_inside_the_picture():
    """Prices at the very ends, marks before the range and after it, one lonely point."""
    marks = [
        Mark(at=NOON - timedelta(days=9), label="long before"),
        Mark(at=NOON + timedelta(days=1), label="resolved yes", kind="resolution", price=1.0),
    ]
    for series in (make_series(0.0, 1.0), make_series(0.5), make_series(0.999, 0.9991)):
        chart = draw(series, forecast=1.0, since=NOON - timedelta(days=3), marks=marks)
        assert TOP <= chart.forecast_y <= HEIGHT - BOTTOM
        assert LEFT <= chart.forecast_x <= chart.end_x == WIDTH - RIGHT
        assert [mark.label for mark in chart.marks] == ["resolved yes"]
        assert all(TOP <= tick.at <= HEIGHT - BOTTOM for tick in chart.prices)


def test_a_long_series_is_thinned_and_keeps_its_newest_price():
    """A week of five minutes is more than a screen has columns."""
    chart = draw(make_series(*([0.4] * 2015), 0.47))

    assert chart.mid.count("H") <= MOST_POINTS
    assert chart.rows[0][3] == 0.47
    assert "to 47.0%" in chart.summary


def test_the_forecast_is_set_beside_the_last_price_in_words():
    """Who cannot see the picture learns the same."""
    assert (
        "The forecast is 55.0%, 10.0 points from the last mid." in draw(make_series(0.4, 0.45), forecast=0.55).summary
    )


def test_uplot_gets_the_points_of_the_drawing_gaps_and_marks_included():
    """Two charts of one series that differ would be two truths: same columns, per cent, nothing where nothing was."""
    marks = [
        Mark(at=NOON + timedelta(minutes=5), label="blind: 70.0%"),
        Mark(at=NOON + timedelta(minutes=10), label="resolved YES", kind="resolution", price=1.0),
        Mark(at=NOON - timedelta(days=1), label="before the range"),
    ]
    chart = draw(make_series(0.4, None, 0.61234), forecast=0.7, since=NOON + timedelta(minutes=5), marks=marks)
    told = json.loads(chart.data)

    assert told["mid"] == [40.0, None, 61.23]
    assert told["t"] == [int(NOON.timestamp()) + 300 * n for n in range(3)]
    assert told["forecast"] == 70.0
    assert told["since"] == int(NOON.timestamp()) + 300
    assert [(mark["kind"], mark["price"]) for mark in told["marks"]] == [("run", None), ("resolution", 100.0)]
    low, high = told["range"]
    assert 0 <= low < 40.0
    assert 70.0 < high <= 100


def make_bin(predicted: float, observed: float, *, n: int = 30) -> dict[str, float]:
    return {"predicted": predicted, "observed": observed, "low": predicted - 0.1, "high": predicted + 0.1, "n": n}


def test_calibration_shows_each_bin_before_the_band_of_luck():
    """A point inside its band shows nothing, and the sentence counts them."""
    drawn = reliability({"bins": [make_bin(0.8, 0.5), make_bin(0.2, 0.25)]})

    assert [point.said for point in drawn.points] == [0.2, 0.8]
    assert drawn.points[0].x < drawn.points[1].x
    assert drawn.points[0].y > drawn.points[1].y
    assert [point.is_within for point in drawn.points] == [True, False]
    assert "1 of 2 points lie where luck alone would put them" in drawn.summary
    assert json.loads(drawn.data) == {
        "said": [20.0, 80.0],
        "happened": [25.0, 50.0],
        "low": [10.0, 70.0],
        "high": [30.0, 90.0],
    }


def test_without_bins_there_is_no_calibration_to_draw():
    """An empty picture would look like knowledge."""
    assert reliability({}) is None
    assert reliability({"bins": []}) is None
