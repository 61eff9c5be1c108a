"""What a Polymarket listing says about its fees, and what it only seems to say (facts: exchanges.md 4.2)."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from agent.venues import polymarket
from sync.records import FeeTerms
from tests.factories import NOON
from tests.fakes.exchange_pages import ABSENT, gamma_page, only_market, only_quote
from tests.fakes.exchange_recordings import events_in

NAMED = {"enabled": True, "kind": "sports_fees_v2"}


def test_a_market_keeps_its_own_schedule_exactly() -> None:
    """The same name stood for 0.03 and later for 0.05: only the market's own numbers count, as decimals."""
    assert only_market(gamma_page({})).fees == FeeTerms(
        **NAMED, rate=Decimal("0.05"), exponent=Decimal(1), taker_only=True, rebate_rate=Decimal("0.15")
    )


def test_numbers_written_as_text_or_fraction_are_understood() -> None:
    """Gamma writes many numbers as text; early 2026 had an exponent of 2."""
    fees = only_market(gamma_page({"feeSchedule": {"rate": "0.25", "exponent": "2"}})).fees
    assert fees == FeeTerms(**NAMED, rate=Decimal("0.25"), exponent=Decimal(2))


def test_a_free_market_says_so_and_a_silent_one_says_nothing() -> None:
    """Not told is not free: old markets have none of the three fields."""
    free = {"feesEnabled": False, "feeType": ABSENT, "feeSchedule": ABSENT}
    silent = {"feesEnabled": ABSENT, "feeType": None, "feeSchedule": None}
    assert only_market(gamma_page(free)).fees == FeeTerms(enabled=False)
    assert only_market(gamma_page(silent)).fees is None


def test_old_switches_are_no_rates() -> None:
    """1000 stands on every market that charges anything at all."""
    legacy = {"takerBaseFee": 1000, "makerBaseFee": 1000, "feeSchedule": ABSENT}
    assert only_market(gamma_page(legacy)).fees == FeeTerms(**NAMED)


@pytest.mark.parametrize(
    "schedule",
    [
        "0.05",
        [0.05],
        {"rate": -0.01},
        {"rate": 1.01},
        {"rate": "NaN"},
        {"rate": "sNaN"},
        {"rate": "1e400"},
        {"rate": {"maker": 0}},
        {"rate": 0.05, "exponent": 400},
        {"rate": 0.05, "exponent": -1},
        {"rate": 0.05, "rebateRate": 7},
        {"rate": 0.05, "takerOnly": "yes"},
        {"rate": 0.05, "note": "x" * 2_000},
    ],
)
def test_a_schedule_that_cannot_be_read_costs_the_rate_and_not_the_market(schedule: object) -> None:
    """A fee nobody knows is None: neither nothing, nor a reason to lose sight of a price."""
    page = gamma_page({"feeSchedule": schedule})
    assert only_market(page).fees == FeeTerms(**NAMED)
    assert only_quote(page).bid == 0.41


def test_recorded_markets_state_the_rates_that_were_in_force(recordings: Path) -> None:
    """Real listings of 2026: 13 markets charge, 12 show their schedule."""
    charging = [
        market.fees
        for path in sorted((recordings / "polymarket").glob("*gamma_*.json"))
        if "tags" not in path.name
        for market in polymarket.parse_page(
            json.dumps({"events": events_in(json.loads(path.read_bytes()))}).encode(), NOON
        ).markets
        if market.fees is not None and market.fees.enabled
    ]
    rates = sorted(str(fees.rate) for fees in charging)
    assert rates == ["0.03", *(["0.04"] * 7), "0.05", "0.05", "0.07", "0.07", "None"]
    assert {fees.exponent for fees in charging} == {Decimal(1), None}
