"""What a reader gets of a priced package: steps, risks, confidence, and what became of the ones before."""

from datetime import timedelta
from decimal import Decimal
from itertools import count

import pytest
from msgspec.structs import replace

from agent.core.arbitrage.books import book_from_levels, book_from_quote
from agent.core.arbitrage.find import pair_packages
from agent.core.arbitrage.packages import price
from agent.core.arbitrage.shown import MOST_SHOWN, Offer, confidence, per_contract, shown, summary
from agent.core.fees import KalshiFeeKind, PolymarketFees, SeriesTerms, market_fees
from agent.core.matching.judge import Judgement
from sync.records import (
    ArbitrageStatus,
    FeeTerms,
    JudgedBy,
    MarketStatus,
    Position,
    Relation,
    RuleDifference,
    YesMapsTo,
)
from tests.factories import NOON, make_arbitrage, make_market, make_match, make_quote

D = Decimal
A, B = "kalshi:FED-CUT", "polymarket:0xfed0"
MARKETS = {key: make_market(market_key=key) for key in (A, B)}
FREE = PolymarketFees(rate=D(0))
ASSUMED = PolymarketFees(rate=D(0), assumption="a rate assumed")
SAME = Judgement(Relation.EQUIVALENT, YesMapsTo.YES)
DIFFERENCE = RuleDifference(kind="tie", quote_a="a tie is void", quote_b="a tie is half")


def ids():
    numbers = count(1)
    return lambda: f"new-{next(numbers)}"


def offer(ask="0.40", *, deep=True, age_s=0, fees=FREE, suspicions=(), key=A, **of_match) -> Offer:
    """YES on A at `ask`, NO on B at 0.50."""
    at = NOON - timedelta(seconds=age_s)
    if deep:
        one = book_from_levels(key, at, bids=[], offers=[(D(ask), D(10))], fees=fees)
        two = book_from_levels(B, NOON, bids=[(D("0.50"), D(10))], offers=[], fees=FREE)
    else:
        one = book_from_quote(make_quote(market_key=key, bid=None, ask=float(ask), fetched_at=at), fees)
        two = book_from_quote(make_quote(market_key=B, bid=0.50, ask=None), FREE)
    (package,) = (p for p in pair_packages(SAME, one, two) if p.legs[0].side is Position.YES)
    edge = price(package, now=NOON)
    return Offer(edge=edge, match=make_match(**of_match), suspicions=suspicions)


def tell(*offers, active=(), markets=MARKETS, unseen=()):
    return shown(offers, [(legs_key, one) for legs_key, one in active], markets, dict(unseen), now=NOON, new_id=ids())


@pytest.mark.parametrize(
    ("made", "percent"),
    [
        ({"judged_by": JudgedBy.TEXT}, 50),
        ({"judged_by": JudgedBy.RULES}, 80),
        ({"judged_by": JudgedBy.OPERATOR}, 90),
        ({"judged_by": JudgedBy.RULES, "deep": False}, 60),
        ({"judged_by": JudgedBy.RULES, "differences": (DIFFERENCE, DIFFERENCE)}, 70),
        ({"judged_by": JudgedBy.RULES, "fees": ASSUMED}, 70),
        ({"judged_by": JudgedBy.RULES, "age_s": 11}, 75),
        ({"judged_by": JudgedBy.RULES, "age_s": 121}, 65),
        ({"judged_by": JudgedBy.RULES, "suspicions": ("far apart",)}, 50),
        ({"judged_by": JudgedBy.TEXT, "suspicions": ("a", "b"), "deep": False, "fees": ASSUMED}, 5),
    ],
)
def test_confidence_is_what_the_relation_rests_on_less_what_speaks_against_it(made, percent):
    """Each doubt costs, and nothing is ever certain or impossible."""
    assert confidence(offer(**made)) == percent


def test_every_difference_and_doubt_is_a_risk_in_words():
    """A reader has to be able to check it."""
    (one,) = tell(offer(judged_by=JudgedBy.RULES, differences=(DIFFERENCE,), age_s=30))

    assert any("rules differ (tie): A 'a tie is void', B 'a tie is half'" in risk for risk in one.risks)
    assert any("oldest is 30 s old" in risk for risk in one.risks)
    assert not any("nobody has compared" in risk for risk in one.risks)
    (by_text,) = tell(offer())
    assert any("nobody has compared the rules" in risk for risk in by_text.risks)


def test_the_best_of_each_set_of_legs_is_shown_and_never_too_many():
    """Fifty at once is a fault of ours and no feast."""
    keys = [f"kalshi:K{n}" for n in range(MOST_SHOWN + 5)]
    markets = MARKETS | {key: make_market(market_key=key) for key in keys}
    offers = [offer(f"0.{20 + n:02}", key=key) for n, key in enumerate(keys) if n < 28] + [
        offer("0.3", key=k) for k in keys
    ]

    found = tell(*offers, markets=markets)

    assert len(found) == MOST_SHOWN
    assert len({leg.market_key for one in found for leg in one.legs}) == MOST_SHOWN + 1
    assert found[0].legs[0].price == D("0.20")


def test_below_two_percent_is_not_shown():
    """The line is net over everything that is paid."""
    assert tell(offer("0.49")) == []  # 1 cent on 99
    assert len(tell(offer("0.47"))) == 1  # 3 on 97


@pytest.mark.parametrize("judged_by", list(JudgedBy))
def test_a_suspicion_stops_what_rests_on_texts_alone(judged_by):
    """Until somebody has compared the rules, a wide gap is presumed to be another question."""
    found = tell(offer(suspicions=("far apart",), judged_by=judged_by))

    assert len(found) == (0 if judged_by is JudgedBy.TEXT else 1)


@pytest.mark.parametrize(
    ("markets", "unseen", "offers", "said"),
    [
        ({}, {}, (), "kalshi:FED-CUT does not trade"),
        ({A: replace(MARKETS[A], status=MarketStatus.CLOSED)}, {}, (), "kalshi:FED-CUT does not trade"),
        (MARKETS, {B: "nobody told its fees"}, (), "not seen: polymarket:0xfed0: nobody told its fees"),
        (MARKETS, {}, (), "gone: the books leave less"),
    ],
)
def test_what_is_not_found_again_ends_with_its_reason(markets, unseen, offers, said):
    """It stays as it was last seen, and says why it is over."""
    before = make_arbitrage(computed_at=NOON - timedelta(minutes=15))

    (ended,) = tell(*offers, active=[("whatever", before)], markets=markets, unseen=unseen.items())

    assert ended.status is ArbitrageStatus.EXPIRED
    assert said in ended.ended_reason
    assert (ended.net_usd, ended.computed_at) == (before.net_usd, NOON)


def test_the_same_legs_keep_their_name():
    """A reader follows a package, not a row."""
    fresh = offer()
    before = make_arbitrage(arbitrage_id="known", detected_at=NOON - timedelta(hours=1))

    (one,) = tell(fresh, active=[(fresh.legs, before)])

    assert (one.arbitrage_id, one.detected_at, one.computed_at) == ("known", before.detected_at, NOON)


def test_a_line_for_a_digest_by_hand():
    """7.32 on 100 contracts is 0.0732 each; 7.32 on 92.68 is 7.9 %."""
    one = make_arbitrage()

    assert per_contract(one) == D("0.0732")
    assert summary(one).startswith("cross platform: YES of Will the Fed cut rates in December? at 0.400 and NO of")
    assert summary(one).endswith("net 7.9 % on 92.68 USD, 50 % sure")


@pytest.mark.parametrize(
    ("said", "series", "rate"),
    [
        (None, SeriesTerms("quadratic", D(1)), "0.0175"),  # 0.07 / 4
        (None, SeriesTerms("quadratic_with_maker_fees", D("0.5")), "0.00875"),
        (FeeTerms(multiplier=D(2)), SeriesTerms("quadratic", D(1)), "0.035"),  # the event's own word
        (FeeTerms(kind="quadratic", multiplier=D(1)), None, "0.0175"),
        (FeeTerms(kind="flat"), SeriesTerms("quadratic", D(1)), None),  # published nowhere
        (None, SeriesTerms("by_the_moon", D(1)), None),
        (None, None, None),
    ],
)
def test_kalshis_terms_are_its_series_unless_the_event_says_otherwise(said, series, rate):
    """A kind nobody explained to us is unknown, and unknown is never free."""
    fees = market_fees(make_market(market_key=A, fees=said), series)

    assert (None if fees is None else fees.unit_fee(D("0.5"))) == (None if rate is None else D(rate))
    assert KalshiFeeKind.FLAT == "flat"


@pytest.mark.parametrize(
    ("said", "rate", "assumed"),
    [
        (FeeTerms(enabled=False), "0", False),
        (FeeTerms(enabled=True, rate=D("0.04")), "0.01", False),
        (FeeTerms(rate=D("0.25"), exponent=D(2)), "0.015625", False),
        (FeeTerms(enabled=True), "0.0125", True),  # charging, without a schedule: its category's, and said so
        (FeeTerms(kind="sports_fees_v2"), None, False),
        (None, None, False),
    ],
)
def test_polymarkets_terms_are_the_markets_own(said, rate, assumed):
    """Absent is neither free nor assumed; a market that charges without a schedule gets its category's rate in words."""
    fees = market_fees(make_market(market_key=B, category="Economics", fees=said), None)

    assert (None if fees is None else fees.unit_fee(D("0.5"))) == (None if rate is None else D(rate))
    assert (fees is not None and fees.assumption is not None) == assumed
