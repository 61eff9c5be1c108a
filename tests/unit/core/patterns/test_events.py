"""Legs of one event: sums, rungs and siblings prove something only when nothing is missing."""

from datetime import timedelta

import pytest

from agent.core.patterns.base import History, Listing
from agent.core.patterns.event_sum import EventSum
from agent.core.patterns.ladder import Ladder
from agent.core.patterns.stale_sibling import StaleSibling
from sync.records import MarketStatus
from tests.factories import NOON, make_market, make_quote
from tests.unit.core.patterns.made import found, history, legs

KEY = "polymarket:1"
DEAR, CHEAP = ([0.5], [0.4], [0.3]), ([0.4], [0.3], [0.1])


def test_bids_above_one_and_asks_below_one_are_found():
    """Judged at prices one can act on, so the spread is already paid."""
    (dear,), (cheap,) = found(EventSum(), *legs(*DEAR)), found(EventSum(), *legs(*CHEAP))

    assert (dear.evidence["side"], dear.evidence["total"], dear.evidence["gap"]) == ("bids", 1.17, 0.17)
    assert (cheap.evidence["side"], cheap.evidence["total"], cheap.evidence["gap"]) == ("asks", 0.83, 0.17)
    assert dear.score == cheap.score == 100


@pytest.mark.parametrize(
    ("listing", "dear", "cheap"),
    [
        (Listing(n_open=3), True, True),
        (Listing(n_open=3, n_lost=4), True, True),  # resolved NO: worth nothing, certainly
        (Listing(n_open=3, n_won=1), False, False),  # resolved YES: nothing is left to price
        (Listing(n_open=3, n_undecided=1), False, False),  # paused, disputed, annulled: worth nobody knows what
        (Listing(n_open=4), False, False),  # the store knows a leg nobody saw lately
        (Listing(n_open=3, n_unopened=1), True, False),  # not launched: the rest may sit there
    ],
)
def test_what_became_of_the_other_legs_decides(listing, dear, cheap):
    """A missing leg explains any gap below one; a leg that won ends the event."""
    assert bool(found(EventSum(), *legs(*DEAR), listings={KEY: listing})) is dear
    assert bool(found(EventSum(), *legs(*CHEAP), listings={KEY: listing})) is cheap


def test_a_set_that_may_still_grow_counts_only_above_one():
    """negRiskAugmented: an unseen leg may hold the rest."""
    assert found(EventSum(), *legs(*DEAR, open_set=True))
    assert found(EventSum(), *legs(*CHEAP, open_set=True)) == []


def test_a_long_shot_without_a_bid_cannot_make_a_gap():
    """What nobody pays for adds nothing to the bids, and what nobody sells forbids buying the whole set."""
    dear, cheap = legs(*DEAR), legs(*CHEAP)
    tail = make_quote(market_key="polymarket:0x19", fetched_at=NOON, bid=None, ask=0.01, mid=None)
    unsold = make_quote(market_key="polymarket:0x19", fetched_at=NOON, bid=0.01, ask=None, mid=None)
    market = make_market(market_key="polymarket:0x19", event_id="1")

    assert found(EventSum(), *dear, History(market, [tail]))
    assert found(EventSum(), *cheap, History(market, [unsold])) == []


def test_a_leg_not_seen_lately_silences_its_event():
    """The board knows it is there even where the store was not asked."""
    *seen, last = legs(*DEAR)
    old = [make_quote(market_key=last.market.market_key, fetched_at=NOON - timedelta(hours=3), bid=0.29, ask=0.31)]

    assert found(EventSum(), *seen, History(last.market, old)) == []


def test_a_crossed_leg_silences_its_event():
    """One of its two sides is stale, and with it the sum."""
    *seen, last = legs(*DEAR)
    crossed = [make_quote(market_key=last.market.market_key, fetched_at=NOON, bid=0.40, ask=0.30, mid=None)]

    assert found(EventSum(), *seen, History(last.market, crossed)) == []


def rung(number: int, threshold: str, mid: float, **market) -> History:
    title = market.pop("title", f"Will Bitcoin reach ${threshold} by December 31, 2026?")
    return history(
        f"polymarket:0x{number}", [mid], title=title, **{"proposition": None, "mutually_exclusive": False} | market
    )


def test_a_harder_rung_dearer_than_an_easier_one_is_found():
    """Buying the easier at its ask and selling the harder at its bid cannot lose."""
    (finding,) = found(Ladder(), rung(1, "150,000", 0.30), rung(2, "200k", 0.40), rung(3, "250,000", 0.10))

    assert finding.market_key == "polymarket:0x2"
    assert finding.evidence["easier_market"] == "polymarket:0x1"
    assert (finding.evidence["easier_ask"], finding.evidence["harder_bid"], finding.evidence["gap"]) == (
        0.31,
        0.39,
        0.08,
    )
    assert finding.score == 53


def test_a_later_date_cheaper_than_an_earlier_one_is_found():
    """What has happened by June has happened by July."""
    june, july = (rung(i, "", mid, title=f"GPT-7 released by {month}?", close_time=close) for i, month, mid, close in (
        (1, "June 30, 2027", 0.5, None), (2, "July 31, 2027", 0.4, None)
    ))  # fmt: skip

    (finding,) = found(Ladder(), june, july)

    assert (finding.evidence["harder"], finding.evidence["easier"]) == ("by june 30, 2027", "by july 31, 2027")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (rung(1, "150,000", 0.40), rung(2, "200,000", 0.30)),  # the right way round
        (rung(1, "150,000", 0.39), rung(2, "200,000", 0.41)),  # within the spreads
        (rung(1, "150,000", 0.30), rung(2, "200,000", 0.40, event_id="2")),  # another event
        (rung(1, "150,000", 0.30, mutually_exclusive=True), rung(2, "200,000", 0.40, mutually_exclusive=True)),  # bins
        (rung(1, "", 0.30, title="Lakers win by over 3.5?"), rung(2, "", 0.40, title="Celtics win by over 7.5?")),
        (rung(1, "", 0.30, title="Over 3.5 runs?"), rung(2, "", 0.40, title="Under 4.5 runs?")),  # other directions
    ],
)
def test_rungs_that_contradict_nothing_are_left_alone(first, second):
    """Two texts are one ladder only when nothing but the threshold differs."""
    assert found(Ladder(), first, second) == []


def test_a_crossed_rung_proves_nothing():
    """One of its two sides is stale."""
    easier = rung(1, "150,000", 0.30)
    crossed = make_quote(market_key="polymarket:0x2", fetched_at=NOON, bid=0.45, ask=0.40, mid=None)

    assert found(Ladder(), easier, History(rung(2, "200,000", 0.40).market, [crossed])) == []


MOVED = [0.30] * 4 + [0.35, 0.40, 0.45, 0.50]


def test_a_leg_that_stands_still_while_its_siblings_move_is_found():
    """What the others gained this one must have lost."""
    still = [0.52, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50, 0.50]
    (finding,) = found(StaleSibling(), *legs(MOVED, still, [0.18, 0.20, 0.20, 0.20, 0.20, 0.20, 0.20, 0.21]))

    assert finding.evidence["mid"] == 0.50
    assert finding.evidence["implied_by_siblings"] == 0.29
    assert finding.evidence["gap"] == 0.18
    assert finding.score == 90


@pytest.mark.parametrize(
    ("paths", "listing"),
    [
        ((MOVED, [0.70, 0.70, 0.70, 0.70, 0.65, 0.60, 0.55, 0.50]), None),  # nobody stands still
        ((MOVED, [0.70] * 8), None),  # never moved: a long shot, not late
        ((MOVED, [0.42] + [0.40] * 7, [0.28] + [0.30] * 7), None),  # two stand still: which one is late?
        (([0.55] * 4 + [0.56, 0.57, 0.58, 0.60], [0.72] + [0.70] * 7), None),  # the sum was wrong before
        ((MOVED, [0.72] + [0.70] * 7), Listing(n_open=2, n_unopened=1)),  # the rest may be in the third
        ((MOVED, [0.72] + [0.70] * 7), Listing(n_open=3)),
    ],
)
def test_a_leg_nobody_can_call_late_is_left_alone(paths, listing):
    """The error must have come with the siblings' move, and point at one leg."""
    listings = {} if listing is None else {KEY: listing}

    assert found(StaleSibling(), *legs(*paths), listings=listings) == []


def test_a_two_legged_match_can_have_a_stale_side():
    """A game's two sides are the commonest exclusive event of all."""
    assert found(StaleSibling(), *legs(MOVED, [0.72] + [0.70] * 7))


def test_a_leg_that_no_longer_trades_is_not_looked_at():
    """Its last book is history."""
    closed = legs([0.5], [0.4], [0.3], status=MarketStatus.PAUSED)

    assert found(EventSum(), *closed) == []


@pytest.mark.parametrize(
    ("paths", "market"),
    [
        (([0.5], [0.3], [0.2]), {}),  # adds up
        (([0.5], [0.3], [0.22]), {}),  # off by less than the half spreads
        (([0.7], [0.6]), {}),  # two legs are one question asked twice
        (([0.6], [0.6], [0.6]), {"mutually_exclusive": False}),  # independent legs are never summed
    ],
)
def test_sums_that_prove_nothing_are_left_alone(paths, market):
    """Sums over unequal or noisy sets prove nothing."""
    assert found(EventSum(), *legs(*paths, **market)) == []
