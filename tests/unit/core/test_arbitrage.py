"""Arbitrage: worked by hand first, then what must hold for every book."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_struct

from agent.core.arbitrage.books import Book, Level, asks, asks_from_bids, book_from_quote
from agent.core.arbitrage.find import event_packages, ladder_packages, pair_packages, suspicions
from agent.core.arbitrage.packages import ASSUMED_SIZE, price
from agent.core.fees import KalshiFeeKind, KalshiFees, PolymarketFees
from agent.core.matching.judge import Judgement
from sync.records import ArbitrageKind, MarketStatus, Position, Relation, Resolution, YesMapsTo
from tests.factories import NOON, make_market, make_quote

D = Decimal
FREE = PolymarketFees(rate=D(0))
SAME = Judgement(Relation.EQUIVALENT, YesMapsTo.YES)
TURNED = Judgement(Relation.EQUIVALENT, YesMapsTo.NO)
YES, NO = Position.YES, Position.NO
RESOLVED = MarketStatus.RESOLVED


def book(key: str, *, yes=(), no=(), fees=FREE, age_s: int = 0) -> Book:
    """A book of (price, size) texts for each side."""
    ladders = [asks((D(str(at)), D(str(size))) for at, size in side) for side in (yes, no)]
    return Book(
        market_key=key, fetched_at=NOON - timedelta(seconds=age_s), yes_asks=ladders[0], no_asks=ladders[1], fees=fees
    )  # fmt: skip


def sides(package) -> list[tuple[str, Position]]:
    return [(leg.book.market_key, leg.side) for leg in package.legs]


def best(judgement, a, b, **over):
    """The better of a pair's priced packages."""
    priced = [edge for package in pair_packages(judgement, a, b) if (edge := price(package, now=NOON, **over))]
    return max(priced, key=lambda edge: edge.net, default=None)


def test_a_cross_platform_edge_by_hand():
    """YES on Kalshi at 0.40, NO on Polymarket at 0.50, 100 of each.

    cost = 100 x (0.40 + 0.50) = 90; paid in every case 100; gross = 10.
    Kalshi: 0.07 x 100 x 0.40 x 0.60 = 1.68; Polymarket (0.04): 0.04 x 100 x 0.50 x 0.50 = 1.00. Fees 2.68.
    net = 7.32; rate = 7.32 / 92.68 = 7.898 %; over 73 days a fifth of a year: x 5 = 39.49 %.
    """
    a = book("kalshi:A", yes=[("0.40", 100)], no=[("0.62", 100)], fees=KalshiFees(), age_s=3)
    b = book("polymarket:B", yes=[("0.52", 100)], no=[("0.50", 100)], fees=PolymarketFees(rate=D("0.04")), age_s=8)

    edge = best(SAME, a, b, pays_at=NOON + timedelta(days=73))

    assert sides(edge.package) == [("kalshi:A", YES), ("polymarket:B", NO)]
    assert edge.package.kind is ArbitrageKind.CROSS_PLATFORM
    assert (edge.size, edge.cost, edge.gross, edge.fees, edge.net) == (100, D(90), D(10), D("2.68"), D("7.32"))
    assert edge.rate == D("7.32") / D("92.68")
    assert edge.annualised == pytest.approx(edge.rate * 5)
    assert edge.ages_s == (3, 8)
    assert edge.depth_known
    assert edge.shown
    assert edge.assumptions == ()


def test_the_walk_stops_where_one_more_contract_earns_nothing():
    """Asks: A 0.40 x 10, 0.45 x 20, 0.60 x 99; B 0.50 x 15, 0.52 x 50, no fees.

    10 at 0.90, then 5 at 0.95, then 15 at 0.97 (A's 0.45 is used up), then 0.60 + 0.52 is above 1.
    cost = 9 + 4.75 + 14.55 = 28.30 for 30 contracts; gross 1.70.
    """
    a = book("kalshi:A", yes=[("0.60", 99), ("0.40", 10), ("0.45", 20)])
    b = book("polymarket:B", no=[("0.50", 15), ("0.52", 50)])

    edge = best(SAME, a, b)

    assert (edge.size, edge.cost, edge.gross) == (30, D("28.30"), D("1.70"))
    assert best(SAME, book("kalshi:A", yes=[("0.50", 9)]), book("polymarket:B", no=[("0.50", 9)])) is None


def test_fees_stop_the_walk_before_the_prices_do():
    """0.46 + 0.52 leaves 2 cents; Kalshi takes 0.07 x 0.46 x 0.54 = 1.74 and Polymarket 0.04 x 0.52 x 0.48 = 1.00."""
    a = book("kalshi:A", yes=[("0.46", 100)], fees=KalshiFees())
    b = book("polymarket:B", no=[("0.52", 100)], fees=PolymarketFees(rate=D("0.04")))

    assert best(SAME, a, b) is None
    assert best(SAME, replace(a, fees=FREE), replace(b, fees=FREE)).gross == 2


def test_an_inverted_pair_is_hedged_by_the_same_side_twice():
    """A's YES is B's NO: two YES pay one in every case. YES and NO would be the same bet twice."""
    a, b = book("kalshi:A", yes=[("0.40", 5)]), book("polymarket:B", yes=[("0.50", 5)])

    assert [sides(package) for package in pair_packages(TURNED, a, b)] == [
        [("kalshi:A", NO), ("polymarket:B", NO)],
        [("kalshi:A", YES), ("polymarket:B", YES)],
    ]
    assert best(TURNED, a, b).gross == D("0.50")


@pytest.mark.parametrize(
    ("relation", "maps_to", "legs"),
    [
        (Relation.A_IMPLIES_B, YesMapsTo.YES, [NO, YES]),
        (Relation.B_IMPLIES_A, YesMapsTo.YES, [YES, NO]),
        (Relation.A_IMPLIES_B, YesMapsTo.NO, [NO, NO]),
        (Relation.B_IMPLIES_A, YesMapsTo.NO, [YES, YES]),
    ],
)
def test_an_implication_is_hedged_one_way_only_and_in_every_world(relation, maps_to, legs):
    """Every pair of answers the implication allows must pay at least one; the other way round may pay nothing."""
    (package,) = pair_packages(Judgement(relation, maps_to), book("kalshi:A"), book("polymarket:B"))

    assert [leg.side for leg in package.legs] == legs
    assert package.kind is ArbitrageKind.RELATED_MARKET
    for a in (True, False):
        for b in (True, False):
            side = b if maps_to is YesMapsTo.YES else not b
            allowed = (not a or side) if relation is Relation.A_IMPLIES_B else (not side or a)
            paid = (a is (legs[0] is YES)) + (b is (legs[1] is YES))
            assert paid >= 1 or not allowed


@pytest.mark.parametrize("relation", [Relation.OVERLAP, Relation.DIFFERENT, Relation.UNCLEAR])
def test_a_relation_that_proves_nothing_gives_no_package(relation):
    """Looking alike is not being hedged."""
    assert pair_packages(Judgement(relation, YesMapsTo.YES), book("kalshi:A"), book("polymarket:B")) == ()
    assert pair_packages(Judgement(Relation.EQUIVALENT), book("kalshi:A"), book("polymarket:B")) == ()


def test_kalshi_asks_come_from_the_bids_of_the_other_side():
    """Who bids 0.42 for NO with 13 sells YES at 0.58; the best bid is last on the wire and first here."""
    ladder = asks_from_bids([(D("0.3100"), D(40)), (D("0.4200"), D("13.50"))])

    assert ladder == (Level(D("0.5800"), D("13.50")), Level(D("0.6900"), D(40)))


def test_an_empty_side_offers_nothing():
    """A price of 0 or 1 is how venues write empty; a missing bid means nobody sells NO."""
    one_sided = book_from_quote(make_quote(bid=None, ask=0.3, mid=None), FREE)

    assert asks([(D(1), D(5)), (D(0), D(5)), (D("0.5"), D(0))]) == ()
    assert one_sided.no_asks == ()
    assert best(SAME, one_sided, book("polymarket:B", yes=[("0.1", 5)])) is None


def test_a_top_of_book_is_priced_for_a_size_it_admits_to_assume():
    """Without depth there is still a comparison, never a promise."""
    a = book_from_quote(make_quote(market_key="kalshi:A", bid=0.38, ask=0.40), KalshiFees())
    b = book_from_quote(make_quote(market_key="polymarket:B", bid=0.50, ask=0.52), FREE)

    edge = best(SAME, a, b)

    assert (edge.size, edge.depth_known, edge.gross) == (ASSUMED_SIZE, False, D("10.00"))
    assert any("top of a book" in sentence for sentence in edge.assumptions)


def test_an_unknown_fee_is_no_edge():
    """A fee that cannot be known must not count as zero."""
    a = book("kalshi:A", yes=[("0.10", 5)], fees=KalshiFees(kind=KalshiFeeKind.FLAT))

    assert best(SAME, a, book("polymarket:B", no=[("0.10", 5)])) is None


def test_only_more_than_two_percent_is_shown():
    """0.49 + 0.49 earns 2 of 98, which is 2.04 %; 0.49 + 0.495 earns 1.5 of 98.5, which is 1.52 %."""
    a = book("kalshi:A", yes=[("0.49", 100)])

    assert best(SAME, a, book("polymarket:B", no=[("0.49", 100)])).shown
    assert not best(SAME, a, book("polymarket:B", no=[("0.495", 100)])).shown


def legs_of(n: int, yes: str, no: str, **over) -> list[tuple]:
    return [
        (make_market(market_key=f"polymarket:{i}", **{"open_set": False} | over), book(f"polymarket:{i}", yes=[(yes, 10)], no=[(no, 10)]))
        for i in range(n)
    ]  # fmt: skip


def test_the_sum_check_of_an_event_by_hand():
    """Three exclusive legs: YES at 0.30 each cost 0.90 and pay 1; NO at 0.60 each cost 1.80 and pay at least 2."""
    all_no, all_yes = event_packages(legs_of(3, "0.30", "0.60"))

    no_edge, yes_edge = price(all_no, now=NOON), price(all_yes, now=NOON)

    assert (all_no.kind, all_no.payout, all_yes.payout) == (ArbitrageKind.HEDGE, 2, 1)
    assert (no_edge.cost, no_edge.gross) == (18, 2)
    assert (yes_edge.cost, yes_edge.gross) == (9, 1)


@pytest.mark.parametrize("open_set", [True, None])
def test_a_set_that_may_grow_proves_nothing_about_all_its_yes(open_set):
    """The hidden "Other" pays when no listed leg does, so a sum below one is its price and no gift."""
    packages = event_packages(legs_of(3, "0.30", "0.60", open_set=open_set))

    assert [package.legs[0].side for package in packages] == [NO]


@pytest.mark.parametrize("over", [{"mutually_exclusive": False}, {"mutually_exclusive": None}])
def test_nested_legs_have_no_sum(over):
    """Threshold ladders are nested: all of them can be YES, or none."""
    one_leg_off = [*legs_of(2, "0.30", "0.60"), *legs_of(1, "0.30", "0.60", **over)]

    assert event_packages(one_leg_off) == ()
    assert event_packages(legs_of(1, "0.30", "0.60")) == ()


@pytest.mark.parametrize(
    ("third", "n_no", "n_yes"),
    [
        ({"status": RESOLVED, "resolution": Resolution.NO}, 2, 2),  # out of the race: one of the others it is
        ({"status": RESOLVED, "resolution": Resolution.VOID}, 2, 0),
        ({"status": MarketStatus.PAUSED}, 2, 0),  # may be the one that pays
        ({"status": MarketStatus.UNOPENED}, 2, 0),
        ({"status": RESOLVED, "resolution": Resolution.YES}, 0, 0),  # decided
    ],
)
def test_a_leg_that_does_not_trade_decides_what_the_others_prove(third, n_no, n_yes):
    """NO on any legs of an exclusive event pays all but one; YES on all needs every other leg to have lost."""
    members = [*legs_of(2, "0.30", "0.35"), *((market, None) for market, _ in legs_of(1, "0.30", "0.60", **third))]

    found = {package.legs[0].side: package for package in event_packages(members)}

    assert len(found[NO].legs) == n_no if n_no else NO not in found
    assert len(found[YES].legs) == n_yes if n_yes else YES not in found
    if n_no:
        assert found[NO].payout == n_no - 1


def rung(key: str, title: str, *, yes: str, no: str):
    """A leg that stands alone in what it says, with a book."""
    market = make_market(
        market_key=key, title=title, proposition=None, mutually_exclusive=False, close_time=NOON + timedelta(days=240)
    )
    return market, book(key, yes=[(yes, 10)], no=[(no, 10)])


@pytest.mark.parametrize(
    ("harder", "easier", "kind"),
    [
        ("Will it be released by June 30, 2027?", "Will it be released by July 31, 2027?", ArbitrageKind.TEMPORAL),
        ("Will there be more than 9.5 runs?", "Will there be more than 8.5 runs?", ArbitrageKind.RELATED_MARKET),
        ("Will it fall below 80 points?", "Will it fall below 90 points?", ArbitrageKind.RELATED_MARKET),
    ],
)
def test_a_harder_rung_bounds_every_easier_one(harder, easier, kind):
    """NO on the harder at 0.55 and YES on the easier at 0.40 cost 0.95 and pay at least 1; the other way round nothing."""
    legs = [rung("kalshi:HARD", harder, yes="0.50", no="0.55"), rung("kalshi:EASY", easier, yes="0.40", no="0.65")]

    for ordered in (legs, legs[::-1]):
        (package,) = ladder_packages(ordered)
        assert sides(package) == [("kalshi:HARD", NO), ("kalshi:EASY", YES)]
        assert package.kind is kind
        assert price(package, now=NOON).gross == D("0.50")


def test_bins_and_other_texts_are_no_ladder():
    """Exclusive legs with numbers are bins, and rungs of two ladders prove nothing about each other."""
    runs = rung("kalshi:A", "Will there be more than 9.5 runs?", yes="0.5", no="0.5")
    hits = rung("kalshi:B", "Will there be more than 8.5 hits?", yes="0.5", no="0.5")
    bins = [(replace_struct(market, mutually_exclusive=True), its_book) for market, its_book in (runs, runs)]

    assert ladder_packages([runs, hits]) == ()
    assert ladder_packages([runs, runs]) == ()
    assert ladder_packages(bins) == ()


@pytest.mark.parametrize(("days", "factor"), [(73, 5), (365, 1), (0.1, 365), (0, None), (-1, None), (None, None)])
def test_annualised_counts_the_days_until_the_last_payment(days, factor):
    """Below one day money cannot be turned over again; without a day there is no yearly figure."""
    pays_at = None if days is None else NOON + timedelta(days=days)
    edge = best(SAME, book("kalshi:A", yes=[("0.4", 1)]), book("polymarket:B", no=[("0.5", 1)]), pays_at=pays_at)

    assert edge.annualised == (None if factor is None else pytest.approx(edge.rate * D(factor)))


def test_prices_speak_up_against_a_match_the_texts_suggest():
    """Prices that add up to one, or lie far apart, say that rules or orientation differ."""
    (opposite, _far) = suspicions(SAME, 0.20, 0.81)

    assert "opposite" in opposite
    assert len(suspicions(SAME, 0.30, 0.50)) == 1
    assert suspicions(SAME, 0.50, 0.51) == ()
    assert suspicions(TURNED, 0.20, 0.81) == ()
    assert suspicions(SAME, None, 0.81) == ()


CENTS = st.integers(1, 99)
KALSHI_FEES = st.builds(KalshiFees, multiplier=st.sampled_from([D("0.5"), D(1)]))
POLYMARKET_FEES = st.builds(PolymarketFees, rate=st.sampled_from([D(0), D("0.04"), D("0.07")]), exponent=st.sampled_from([D(1), D(2)]))  # fmt: skip
SIZES = st.integers(1, 500)


@st.composite
def ladders(draw, floor: int):
    """Asks at or above a floor, in cents."""
    return [
        (D(draw(st.integers(floor, 99))) / 100, draw(SIZES)) for _ in range(draw(st.integers(0, 4)))
    ]  # fmt: skip


@st.composite
def fair_pairs(draw):
    """Two books around one true probability: nobody sells below what a side is worth."""
    worth = draw(CENTS)
    return [
        book(key, yes=draw(ladders(worth)), no=draw(ladders(100 - worth)), fees=draw(fees))
        for key, fees in (("kalshi:A", KALSHI_FEES), ("polymarket:B", POLYMARKET_FEES))
    ]


@st.composite
def any_pairs(draw):
    return [
        book(key, yes=draw(ladders(1)), no=draw(ladders(1)), fees=draw(fees))
        for key, fees in (("kalshi:A", KALSHI_FEES), ("polymarket:B", POLYMARKET_FEES))
    ]


@given(pair=fair_pairs())
def test_a_fair_book_never_shows_an_edge(pair):
    """What is offered at or above its worth cannot be bought together below it, fees or not."""
    edge = best(SAME, *pair)

    assert edge is None or edge.net <= 0


@given(pair=any_pairs(), judgement=st.builds(Judgement, st.sampled_from(Relation), st.sampled_from(YesMapsTo)))
def test_swapping_the_venues_changes_nothing(pair, judgement):
    """Which venue is called A is our habit: the same legs, money and size come out."""
    a, b = pair

    def found(packages):
        edges = [edge for package in packages if (edge := price(package, now=NOON))]
        return sorted((sorted(sides(edge.package)), edge.size, edge.cost, edge.fees, edge.net) for edge in edges)

    assert found(pair_packages(judgement, a, b)) == found(pair_packages(judgement.seen_from_b(), b, a))


@given(pair=any_pairs())
def test_every_contract_taken_earned_something_before_rounding(pair):
    """The walk may lose rounding cents, never more: Kalshi's order rounds by a cent, fills by 0.0001 each."""
    edge = best(SAME, *pair)

    assert edge is None or edge.net > -D("0.02")
    assert edge is None or edge.size <= min(
        sum(level.size for level in leg.book.asks(leg.side)) for leg in edge.package.legs
    )
