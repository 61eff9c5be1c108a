"""Real payloads through the readers, with the counts written down: what a change of a reader changes shows here."""

import json
from collections import Counter
from pathlib import Path

import pytest

from agent.venues import kalshi, polymarket
from agent.venues.base import Page
from tests.factories import NOON
from tests.fakes.exchange_recordings import events_in

Counts = dict[str, int]


def counts(page: Page) -> Counts:
    """What the page holds, in the words of the facts."""
    standing = Counter(market.status.value for market in page.markets)
    ended = Counter(market.resolution.value for market in page.markets if market.resolution)
    sides = Counter((quote.bid is not None) + (quote.ask is not None) for quote in page.quotes)
    found = {
        **standing,
        **ended,
        "quotes": len(page.quotes),
        "one_sided": sides[1],
        "empty": sides[0],
        "no_mid": sum(quote.mid is None for quote in page.quotes),
        "rejects": len(page.rejects),
        **page.n_dropped,
    }
    return {name: n for name, n in found.items() if n}


def read(recordings: Path, name: str) -> Page:
    """The recorded file as its venue would send it."""
    document = json.loads((recordings / f"{name}.json").read_bytes())
    parse = polymarket.parse_page if name.startswith("polymarket/") else kalshi.parse_page
    return parse(json.dumps({"events": events_in(document)}).encode(), NOON)


EXPECTED: dict[str, Counts] = {
    "polymarket/gamma_event_game_2026-10": {},  # an event whose markets were left out
    "polymarket/gamma_events_2026_two": {"resolved": 5, "open": 2, "unopened": 1, "no": 5, "quotes": 2},
    "polymarket/gamma_events_series_20250611": {
        "resolved": 66,
        "open": 108,
        "unopened": 39,
        "no": 62,
        "yes": 4,
        "quotes": 108,
        "no_mid": 2,
    },
    "polymarket/gamma_events_series_20250624": {
        "open": 112,
        "resolved": 12,
        "unopened": 39,
        "no": 4,
        "yes": 8,
        "quotes": 112,
        "one_sided": 5,
        "no_mid": 7,
    },
    "polymarket/gamma_markets_20260207": {"open": 220, "quotes": 220, "one_sided": 5, "no_mid": 5},
    "polymarket/gamma_markets_2026_three": {"open": 3, "quotes": 3},
    "polymarket/gamma_markets_closed_2026-06": {"resolved": 2, "no": 2},
    "polymarket/gamma_markets_legacy_2020": {"closed": 20, "unknown": 20},
    "polymarket/gamma_markets_series_20250507T0232Z": {
        "unopened": 1,
        "open": 99,
        "disputed": 2,
        "quotes": 99,
        "one_sided": 30,
        "no_mid": 30,
    },
    "polymarket/gamma_markets_series_20250507T0708Z": {
        "unopened": 1,
        "open": 99,
        "disputed": 2,
        "quotes": 99,
        "one_sided": 31,
        "no_mid": 31,
    },
    "polymarket/gamma_markets_series_20250507T1712Z": {
        "unopened": 1,
        "open": 99,
        "disputed": 2,
        "quotes": 99,
        "one_sided": 30,
        "no_mid": 30,
    },
    "polymarket/gamma_markets_series_20250507T2138Z": {
        "unopened": 1,
        "open": 99,
        "disputed": 2,
        "quotes": 99,
        "one_sided": 31,
        "no_mid": 31,
    },
    "polymarket/nautilus_gamma_event": {"open": 2, "quotes": 2},
    "polymarket/nautilus_gamma_market": {"open": 1, "quotes": 1},
    "polymarket/nautilus_gamma_market_closed_binary_accepting_true": {"resolved": 1, "yes": 1},
    "polymarket/nautilus_gamma_market_closed_nonbinary_legacy": {"closed": 1, "unknown": 1},
    "polymarket/nautilus_gamma_market_closed_zero_zero_legacy": {"closed": 1, "unknown": 1},
    "polymarket/nautilus_gamma_market_sports_market_money_line": {"resolved": 1, "yes": 1},
    "polymarket/nautilus_search_response": {"open": 1, "quotes": 1, "one_sided": 1, "no_mid": 1},
    "kalshi/cockpit_combo_priced_markets": {"open": 29, "quotes": 29, "combo": 12},
    "kalshi/cockpit_events_nfl_preseason": {"open": 64, "quotes": 64},
    "kalshi/cockpit_events_sports_nested": {"open": 245, "quotes": 245, "one_sided": 38, "no_mid": 67},
    "kalshi/cockpit_market_single": {"open": 2, "quotes": 2},
    "kalshi/cockpit_markets_settled": {"resolved": 42, "closed": 2, "yes": 21, "no": 21},
    "kalshi/events_nested_2026_six": {"open": 15, "resolved": 1, "no": 1, "quotes": 15, "empty": 5, "no_mid": 5},
    "kalshi/events_nested_2026_two": {"open": 9, "quotes": 9},
    "kalshi/events_old_schema_20250607": {},
    "kalshi/golden_events_list_response": {},  # events without nested markets
    "kalshi/golden_events_multivariate_list_response": {},
    "kalshi/golden_event_single_response": {"open": 1, "quotes": 1},
    "kalshi/golden_market_single_response": {"combo": 1},
    "kalshi/golden_markets_list_response": {"combo": 5},
    "kalshi/market_mve_finalized_2026-07": {"combo": 1},
    "kalshi/markets_marchmadness_20260316_evening": {
        "open": 68,
        "resolved": 152,
        "no": 150,
        "yes": 2,
        "quotes": 68,
        "one_sided": 51,
        "no_mid": 51,
    },
    "kalshi/markets_marchmadness_20260316_noon": {"open": 68, "quotes": 68, "one_sided": 51, "no_mid": 51},
    "kalshi/markets_mve_20260307": {"combo": 60},
    "kalshi/markets_soccer_2026-03": {"open": 3, "quotes": 3},
    "kalshi/series_events_markets_crypto_2026": {"open": 2, "quotes": 2},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_file_is_read_to_its_last_record(recordings: Path, name: str) -> None:
    """Nothing lost, nothing invented, in any generation of either format."""
    assert counts(read(recordings, name)) == EXPECTED[name]
