"""Our rules only ever lower what a model says, and say why."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.clamps import Situation, Verdict, clamp, edge, expiry
from agent.core.fees import KalshiFees, PolymarketFees
from sync.records import MarketStatus, Position, Recommendation, TimeSensitivity
from tests.factories import NOON, make_market, make_quote

BOLD = Verdict(
    recommendation=Recommendation.STRONG_BET,
    position=Position.YES,
    sensitivity=TimeSensitivity.ACT_NOW,
    confidence=80,
)


def situation(**over):
    """A market anyone may bet on."""
    given = {"market": make_market(), "quote": make_quote(), "seen_at": NOON, "now": NOON, "forecast": 0.60} | over
    return Situation(**given)


def test_a_sound_book_leaves_the_verdict_alone():
    """The rules must not clamp everything: then nothing would ever be actionable."""
    verdict = clamp(BOLD, situation())

    assert verdict == BOLD
    assert verdict.actionable


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"quote": None}, "no usable middle"),
        ({"quote": make_quote(bid=None, mid=None)}, "no usable middle"),
        ({"quote": make_quote(bid=0.35, ask=0.47)}, "spread is above 10 points"),
        ({"quote": make_quote(bid=0.02, ask=0.05), "forecast": 0.4}, "above half the price"),
        ({"quote": make_quote(liquidity_usd=900.0)}, "$1,000"),
        ({"quote": make_quote(liquidity_usd=None)}, "nobody told how much rests"),
        ({"quote": make_quote(volume_24h=499.0)}, "less than 500 traded"),
        ({"quote": make_quote(volume_24h=None)}, "nobody told how much was traded"),
        ({"seen_at": NOON - timedelta(minutes=21)}, "more than 20 minutes ago"),
        ({"seen_at": None}, "never looked at"),
        ({"market": make_market(status=MarketStatus.PAUSED)}, "paused"),
        ({"market": make_market(close_time=NOON + timedelta(minutes=59))}, "60 minutes to its stated end"),
        # Kalshi's close is a safety margin, weeks behind the answer.
        ({"market": make_market(expected_time=NOON + timedelta(minutes=59))}, "60 minutes to its stated end"),
    ],
)
def test_each_rule_lowers_a_bet_with_its_reason(over, words):
    """A reader who wonders why a bet became CAUTION finds the rule in words."""
    verdict = clamp(BOLD, situation(**over))

    assert verdict.recommendation is Recommendation.CAUTION
    assert verdict.sensitivity is TimeSensitivity.HOURS
    assert not verdict.actionable
    assert any(words in reason for reason in verdict.clamps), verdict.clamps


def test_a_market_without_usd_liquidity_is_judged_by_volume_on_kalshi():
    """Kalshi tells no resting dollars; a missing number there is not thinness."""
    market = make_market(market_key="kalshi:KXFED-26DEC-C25")
    quote = make_quote(market_key="kalshi:KXFED-26DEC-C25", liquidity_usd=None)

    assert clamp(BOLD, situation(market=market, quote=quote)).actionable


@pytest.mark.parametrize(
    ("position", "forecast", "expected"),
    [
        (Position.YES, 0.60, Position.YES),
        (Position.YES, 0.48, Position.WAIT),  # 6 points of lean = 4 of spread + 2 of fees: nothing is left
        (Position.YES, 0.30, Position.WAIT),
        (Position.NO, 0.30, Position.NO),
        (Position.NO, 0.60, Position.WAIT),
    ],
)
def test_a_lean_inside_spread_and_fees_waits(position, forecast, expected):
    """An edge that crossing the book eats is none; the number is ours, never the model's."""
    verdict = clamp(
        Verdict(
            recommendation=Recommendation.GOOD_BET, position=position, sensitivity=TimeSensitivity.DAYS, confidence=70
        ),
        situation(forecast=forecast),
    )

    assert verdict.position is expected
    assert (verdict.recommendation is Recommendation.CAUTION) == (expected is not position)


@pytest.mark.parametrize(
    ("position", "forecast", "words"),
    [
        (Position.YES, None, "no forecast of ours to compute an edge from"),
        (Position.WAIT, 0.60, "no side is suggested"),
    ],
)
def test_a_bet_without_a_computed_edge_is_none(position, forecast, words):
    """What cannot be computed cannot be confirmed; the side itself is a matter of opinion and stays."""
    said = Verdict(
        recommendation=Recommendation.GOOD_BET, position=position, sensitivity=TimeSensitivity.ACT_NOW, confidence=70
    )

    verdict = clamp(said, situation(forecast=forecast))

    assert (verdict.recommendation, verdict.position) == (Recommendation.CAUTION, position)
    assert verdict.sensitivity is TimeSensitivity.HOURS
    assert all(words in reason for reason in verdict.clamps)
    calm = Verdict(
        recommendation=Recommendation.AVOID, position=position, sensitivity=TimeSensitivity.DAYS, confidence=70
    )
    assert clamp(calm, situation(forecast=forecast)) == calm


def test_the_lean_is_held_against_the_markets_own_fee():
    """4 points of spread and 1.75 of Kalshi's fee; a free market leaves more of the same lean."""
    said = Verdict(
        recommendation=Recommendation.GOOD_BET, position=Position.YES, sensitivity=TimeSensitivity.DAYS, confidence=70
    )
    at_half = {"quote": make_quote(bid=0.48, ask=0.52), "forecast": 0.555}  # leans by 5.5 points

    assert clamp(said, situation(**at_half, fees=KalshiFees())).position is Position.WAIT
    assert clamp(said, situation(**at_half, fees=PolymarketFees(rate=Decimal(0)))).position is Position.YES


@pytest.mark.parametrize(
    ("position", "over", "expected"),
    [
        # 0.60 - 0.44 - 0.07 x 0.44 x 0.56 = 0.142752
        (Position.YES, {"fees": KalshiFees()}, 0.142752),
        # (1 - 0.60) - (1 - 0.40) - 0.07 x 0.60 x 0.40 = -0.2168
        (Position.NO, {"fees": KalshiFees()}, -0.2168),
        (Position.YES, {}, 0.14),  # nobody told the fee: two cents
        (Position.WAIT, {"fees": KalshiFees()}, None),
        (Position.YES, {"forecast": None}, None),
        (Position.YES, {"quote": make_quote(ask=None, mid=None)}, None),
        (Position.NO, {"quote": make_quote(bid=None, mid=None)}, None),
        (Position.YES, {"quote": None}, None),
    ],
)
def test_the_edge_is_ours_by_hand(position, over, expected):
    """Forecast less the price one would pay less its fee; never a number a model said."""
    assert edge(position, situation(**over)) == (None if expected is None else pytest.approx(expected))


def test_a_nominal_close_in_the_past_is_no_objection():
    """Polymarket trades on beyond its nominal end."""
    assert clamp(BOLD, situation(market=make_market(close_time=NOON - timedelta(days=1)))).actionable


@pytest.mark.parametrize(("confidence", "actionable"), [(60, False), (61, True)])
def test_actionable_is_above_sixty(confidence, actionable):
    """The requirement says above, not from."""
    verdict = Verdict(
        recommendation=Recommendation.GOOD_BET,
        position=Position.YES,
        sensitivity=TimeSensitivity.DAYS,
        confidence=confidence,
    )

    assert clamp(verdict, situation()).actionable is actionable


_PRICES = st.none() | st.floats(0.001, 0.999)
_RANK = {Recommendation.STRONG_BET: 3, Recommendation.GOOD_BET: 2, Recommendation.CAUTION: 1, Recommendation.AVOID: 0}


@given(
    recommendation=st.sampled_from(Recommendation),
    position=st.sampled_from(Position),
    sensitivity=st.sampled_from(TimeSensitivity),
    bid=_PRICES,
    ask=_PRICES,
    mid=_PRICES,
    liquidity=st.none() | st.floats(0, 1e6),
    forecast=_PRICES,
    age_min=st.integers(0, 600),
)
def test_clamps_never_raise_a_verdict(
    *, recommendation, position, sensitivity, bid, ask, mid, liquidity, forecast, age_min
):
    """Whatever the book looks like, the outcome is as bold as the model's words or less, and every change has a word."""
    said = Verdict(recommendation=recommendation, position=position, sensitivity=sensitivity, confidence=90)
    verdict = clamp(
        said,
        situation(
            quote=make_quote(bid=bid, ask=ask, mid=mid, liquidity_usd=liquidity),
            forecast=forecast,
            seen_at=NOON - timedelta(minutes=age_min),
        ),
    )

    assert _RANK[verdict.recommendation] <= _RANK[said.recommendation]
    assert verdict.position in {said.position, Position.WAIT}
    changed = (verdict.recommendation, verdict.position, verdict.sensitivity) != (recommendation, position, sensitivity)
    assert changed == bool(verdict.clamps)


@pytest.mark.parametrize(
    ("sensitivity", "hours"),
    [
        (TimeSensitivity.ACT_NOW, 1),
        (TimeSensitivity.HOURS, 6),
        (TimeSensitivity.DAYS, 72),
        (TimeSensitivity.WEEKS, 14 * 24),
    ],
)
def test_expiry_follows_time_sensitivity(sensitivity, hours):
    """An insight that outlives its reason is worse than none."""
    assert expiry(sensitivity, NOON, make_market(close_time=None)) == NOON + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("closes_in_h", "expected_in_h", "expires_in_h"),
    [(48, None, 48), (-48, None, 14 * 24), (365 * 24, 48, 48), (48, -2, 48), (-48, -2, 14 * 24)],
)
def test_expiry_is_not_later_than_the_nearer_end_ahead(closes_in_h, expected_in_h, expires_in_h):
    """After the end there is nothing left to do; an end in the past says nothing."""
    market = make_market(
        close_time=NOON + timedelta(hours=closes_in_h),
        expected_time=None if expected_in_h is None else NOON + timedelta(hours=expected_in_h),
    )

    assert expiry(TimeSensitivity.WEEKS, NOON, market) == NOON + timedelta(hours=expires_in_h)
