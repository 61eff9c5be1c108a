"""How a market ended: what the sources say together, and what none of them can say alone."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.resolution import Evidence, Standing, Verdict, completed, decide, evidence_of, settled, upheld
from sync.records import Market, MarketStatus, Resolution
from tests.factories import NOON, make_market

TRADING, PENDING, DISPUTED, SILENT = (
    Evidence("listing", standing)
    for standing in (Standing.TRADING, Standing.PENDING, Standing.DISPUTED, Standing.SILENT)
)


def final(value: float | None, source: str = "clob") -> Evidence:
    """A source that says the answer can no longer turn round."""
    return Evidence(source, Standing.FINAL, value)


@pytest.mark.parametrize(
    ("evidence", "resolution", "value"),
    [
        ([final(1.0)], Resolution.YES, 1.0),
        ([final(0.0)], Resolution.NO, 0.0),
        ([final(0.5)], Resolution.VOID, 0.5),
        ([final(0.37)], Resolution.VOID, 0.37),
        ([final(None)], Resolution.VOID, None),  # Kalshi's scalar before its value is told
        ([final(1.0), final(1.0, "oracle"), final(1.0, "listing")], Resolution.YES, 1.0),
        ([final(0.5), final(0.4999, "listing")], Resolution.VOID, 0.5),
        ([final(1.0), SILENT], Resolution.YES, 1.0),  # old markets never got a winner at the order book
        ([final(1.0), final(0.0, "oracle")], Resolution.DISPUTED, None),
        ([final(1.0), final(0.5, "oracle")], Resolution.DISPUTED, None),
        ([final(1.0), final(1.0, "oracle"), final(0.0, "listing")], Resolution.DISPUTED, None),
        ([final(1.0), PENDING], None, None),
        ([final(1.0), TRADING], None, None),
        ([final(1.0), DISPUTED], Resolution.DISPUTED, None),
        ([final(1.0), final(1.0, "oracle"), PENDING], Resolution.YES, 1.0),  # the listing lags
        ([final(1.0), final(1.0, "oracle"), DISPUTED], Resolution.YES, 1.0),
        ([PENDING], None, None),
        ([TRADING], None, None),
        ([TRADING, DISPUTED], Resolution.DISPUTED, None),
        ([DISPUTED, PENDING], Resolution.DISPUTED, None),
        ([SILENT], Resolution.UNKNOWN, None),
        ([SILENT, PENDING], None, None),
        ([], None, None),
    ],
)
def test_sources_are_weighed(evidence: list[Evidence], resolution: Resolution | None, value: float | None) -> None:
    """One final decides where nobody lags; two outvote a laggard; a contradiction is a dispute."""
    for order in permutations(evidence):
        verdict = decide(order)
        assert verdict.resolution is resolution
        assert verdict.value == (None if value is None else pytest.approx(value, abs=0.001))


def test_the_reason_names_every_source_and_what_it_said() -> None:
    """It is what an operator reads about a market that does not resolve."""
    reason = decide([final(1.0), final(0.0, "oracle"), PENDING]).reason
    for words in ("contradict", "clob final pays 1", "oracle final pays 0", "listing pending"):
        assert words in reason


@given(
    st.lists(
        st.builds(Evidence, st.sampled_from("abc"), st.sampled_from(Standing), st.none() | st.floats(0, 1)), max_size=4
    )
)
def test_no_answer_without_a_final_source(evidence: list[Evidence]) -> None:
    """A price pinned at 0.9995 is the value of somebody who is not final: it never becomes an answer."""
    verdict = decide(evidence)
    finals = [one for one in evidence if one.standing is Standing.FINAL]
    if verdict.resolution in (Resolution.YES, Resolution.NO, Resolution.VOID):
        assert finals
    if verdict.value is not None:
        assert verdict.value in {one.value for one in finals}
    assert verdict.reason


@pytest.mark.parametrize(
    ("status", "resolution", "value", "standing"),
    [
        (MarketStatus.OPEN, None, None, Standing.TRADING),
        (MarketStatus.PAUSED, None, None, Standing.TRADING),
        (MarketStatus.UNOPENED, None, None, Standing.TRADING),
        (MarketStatus.OPEN, Resolution.DISPUTED, None, Standing.DISPUTED),
        (MarketStatus.CLOSED, None, None, Standing.PENDING),
        (MarketStatus.CLOSED, Resolution.DISPUTED, None, Standing.DISPUTED),
        (MarketStatus.CLOSED, Resolution.UNKNOWN, None, Standing.SILENT),
        (MarketStatus.RESOLVED, Resolution.UNKNOWN, None, Standing.SILENT),  # Kalshi: finalized, result empty
        (MarketStatus.RESOLVED, Resolution.YES, 1.0, Standing.FINAL),
        (MarketStatus.RESOLVED, Resolution.VOID, None, Standing.FINAL),
    ],
)
def test_a_listing_is_one_source_among_others(
    status: MarketStatus, resolution: Resolution | None, value: float | None, standing: Standing
) -> None:
    """Its record is read back as evidence."""
    market = make_market(status=status, resolution=resolution, resolution_value=value)
    assert evidence_of(market, "listing") == Evidence("listing", standing, value)


def verdict_on(market: Market, resolution: Resolution | None, value: float | None = None) -> Market:
    """The market under a verdict."""
    return settled(market, Verdict(resolution, value, "said so"))


def test_only_an_answer_resolves_a_market() -> None:
    """Disputed and unknown markets stay closed; an open one that is disputed goes on trading."""
    resolved = make_market(status=MarketStatus.RESOLVED, resolution=Resolution.YES, resolution_value=1.0)
    closed = make_market(status=MarketStatus.CLOSED)
    assert verdict_on(closed, Resolution.NO, 0.0) == make_market(
        status=MarketStatus.RESOLVED, resolution=Resolution.NO, resolution_value=0.0
    )
    disputed = make_market(status=MarketStatus.CLOSED, resolution=Resolution.DISPUTED)
    assert verdict_on(resolved, Resolution.DISPUTED) == verdict_on(closed, Resolution.DISPUTED) == disputed
    assert verdict_on(resolved, None) == closed
    assert verdict_on(make_market(), None) == make_market()
    assert verdict_on(make_market(), Resolution.DISPUTED).status is MarketStatus.OPEN
    assert verdict_on(make_market(), Resolution.UNKNOWN).status is MarketStatus.CLOSED


def test_an_overruled_answer_does_not_come_back_with_the_listing() -> None:
    """Every quarter hour the listing tells it again; another market's answer stands."""
    told = [
        make_market(market_key=f"polymarket:{n}", status=MarketStatus.RESOLVED, resolution=Resolution.YES) for n in "ab"
    ]
    first, second = upheld(told, {"polymarket:a": Verdict(Resolution.DISPUTED, None, "")})
    assert (first.status, first.resolution) == (MarketStatus.CLOSED, Resolution.DISPUTED)
    assert second is told[1]


def test_a_look_up_without_its_event_keeps_what_we_knew() -> None:
    """A bare market has no category, no event title and no series: they must not vanish with it."""
    held = make_market(resolution=Resolution.DISPUTED, closed_time=NOON)
    bare = make_market(event_title=None, category=None, outcome_labels=(), title="New words", fetched_at=NOON)
    whole = completed(bare, held)
    assert (whole.event_title, whole.category, whole.outcome_labels) == (
        held.event_title,
        held.category,
        held.outcome_labels,
    )
    assert whole.title == "New words"
    assert (whole.resolution, whole.closed_time) == (None, None)  # of the moment, never taken over
    assert completed(bare, None) is bare
