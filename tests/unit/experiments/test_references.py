"""The baseline and the no-skill references: known numbers, no opinions."""

from datetime import date

import pytest

from agent.core.ensemble import TrackRecord
from agent.core.scoring.references import faded
from agent.experiments.base import ExperimentResult, ExperimentSkip, SightedContext
from agent.experiments.coin import Coin
from agent.experiments.longshot_fader import LongshotFader
from agent.experiments.market_prior import MarketPrior
from tests.factories import NOON, make_market, make_quote

REFERENCES = [MarketPrior(), Coin(), LongshotFader()]


def context(quote, run_day=date(2026, 11, 21)):
    """What a reference sees; it never opens the door."""
    return SightedContext(
        now=NOON,
        run_day=run_day,
        results={},
        door=None,
        quote=quote,
        track=TrackRecord([], now=NOON),
        versions={},
    )


@pytest.mark.parametrize("quote", [None, make_quote(bid=None, mid=None, last_price=0.42)])
@pytest.mark.parametrize("experiment", REFERENCES, ids=lambda e: e.name)
async def test_without_a_middle_there_is_no_reference(experiment, quote):
    """A last trade never stands in for a price, and one half never for a forecast."""
    assert isinstance(await experiment.run(make_market(), context(quote)), ExperimentSkip)


async def test_the_market_prior_is_the_middle():
    """Its skill against the market is zero by definition."""
    result = await MarketPrior().run(make_market(), context(make_quote(bid=0.40, ask=0.44)))

    assert result == ExperimentResult(probability_yes=0.42)


@pytest.mark.parametrize(
    ("mid", "expected"), [(0.10, 0.09), (0.19, 0.171), (0.20, 0.20), (0.5, 0.5), (0.80, 0.80), (0.90, 0.91)]
)
def test_the_fader_shades_longshots_and_their_mirror(mid, expected):
    """The known bias and nothing more: a model that does not beat this has learned only the bias."""
    assert faded(mid) == pytest.approx(expected)


async def test_the_coin_is_fair_and_throws_the_same_for_a_market_and_day():
    """A rerun must not throw again, and neither side may be preferred."""
    quote = make_quote(bid=0.49, ask=0.51)
    markets = [make_market(market_key=f"kalshi:KX{i}") for i in range(400)]

    first = [(await Coin().run(m, context(quote))).probability_yes for m in markets]
    again = [(await Coin().run(m, context(quote))).probability_yes for m in markets]
    tomorrow = [(await Coin().run(m, context(quote, date(2026, 11, 22)))).probability_yes for m in markets]

    assert first == again
    assert first != tomorrow
    assert set(first) == {0.45, 0.55}
    assert 140 < first.count(0.55) < 260  # six standard deviations of a fair coin


@pytest.mark.parametrize(("bid", "ask", "lowest"), [(0.01, 0.03, 0.01), (0.97, 0.99, 0.93)])
async def test_the_coin_stays_a_probability(bid, ask, lowest):
    """Five points off a longshot must not leave the range."""
    for i in range(20):
        result = await Coin().run(make_market(market_key=f"kalshi:KX{i}"), context(make_quote(bid=bid, ask=ask)))
        assert lowest <= result.probability_yes <= 0.99
