"""How both venues write down a happening: the wire shapes, with their habits.

Law: exactly the venues' types, as recorded: JSON inside strings on Polymarket, decimal text on Kalshi, fields that
are missing rather than null.
"""

import json
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fakes.world import Happening, Leg

TICK = timedelta(minutes=15)

_OVER = frozenset({"yes", "no", "void", "unknown"})
_FEE_RATES = {"Crypto": 0.07, "Sports": 0.05, "Politics": 0.04, "Economics": 0.05}  # the others are free
_KALSHI_STATUS = {
    "open": "active",
    "unopened": "initialized",
    "paused": "inactive",
    "proposed": "determined",
    "disputed": "disputed",
}


def gamma_event(happening: "Happening", tick: int, start: datetime) -> dict[str, Any]:
    """One item of Polymarket's /events/keyset."""
    return {
        "id": str(happening.number),
        "slug": f"event-{happening.number}",
        "title": happening.title,
        "active": True,
        "closed": False,
        "archived": False,
        "negRisk": happening.exclusive,
        "negRiskAugmented": happening.augmented,
        "tags": [
            {"id": "9", "label": "All", "slug": "all"},
            {"id": "2", "label": happening.category, "slug": happening.category.lower()},
        ],
        "markets": [_gamma_market(leg, happening, tick, start) for leg in happening.legs],
    }


def kalshi_event(happening: "Happening", tick: int, start: datetime) -> dict[str, Any]:
    """One item of Kalshi's /events with nested markets."""
    ticker = _event_ticker(happening)
    return {
        "event_ticker": ticker,
        "series_ticker": ticker.split("-", maxsplit=1)[0],
        "title": happening.title,
        "sub_title": "",
        "category": happening.category,
        "mutually_exclusive": happening.exclusive,
        "collateral_return_type": "MECNET" if happening.exclusive else "",
        "strike_period": "",
        "markets": [_kalshi_market(leg, ticker, tick, start) for leg in happening.legs],
    }


def _gamma_market(leg: "Leg", happening: "Happening", tick: int, start: datetime) -> dict[str, Any]:
    fate = leg.fates[tick]
    over = fate in _OVER or fate == "proposed"
    digest = sha256(f"leg {leg.number}".encode()).hexdigest()
    market: dict[str, Any] = {
        "id": str(500_000 + leg.number),
        "question": leg.question,
        "conditionId": f"0x{digest}",
        "slug": f"market-{leg.number}",
        "endDate": f"{start + leg.closes_in:%Y-%m-%dT%H:%M:%SZ}",
        "startDate": "2026-09-24T17:34:01.17Z",
        "description": f"This market resolves to “{leg.labels[0]}” if so. Source: official statements.\n\nElse not.",
        "outcomes": json.dumps(leg.labels),
        "volume": str(leg.volumes[tick] * 9),
        "volumeNum": leg.volumes[tick] * 9,
        "active": fate != "unopened",
        "closed": over,
        "archived": False,
        "groupItemTitle": leg.proposition,
        "enableOrderBook": True,
        "orderPriceMinTickSize": 0.001,
        "orderMinSize": 5,
        "negRisk": happening.exclusive,
        "acceptingOrders": not over and fate != "paused",
        "clobTokenIds": json.dumps([str(int(digest, 16)), str(int(digest[::-1], 16))]),
        "lastTradePrice": 0,
        "bestAsk": 1,
        "feesEnabled": happening.category in _FEE_RATES,
    }
    if happening.category in _FEE_RATES:
        market |= _gamma_fees(happening.category)
    if fate != "unopened":
        market |= _gamma_prices(leg, fate, tick)
    if over:
        market["closedTime"] = f"{start + tick * TICK:%Y-%m-%d %H:%M:%S}+00"
    if fate in ("yes", "no", "void"):
        market["umaResolutionStatus"] = "resolved"
    elif fate in ("disputed", "proposed"):
        market["umaResolutionStatus"] = fate
    return market


def _gamma_fees(category: str) -> dict[str, Any]:
    schedule = {"exponent": 1, "rate": _FEE_RATES[category], "takerOnly": True, "rebateRate": 0.25}
    return {"feeType": f"{category.lower()}_fees", "feeSchedule": schedule}


def _gamma_prices(leg: "Leg", fate: str, tick: int) -> dict[str, Any]:
    pinned = {"yes": "1", "no": "0", "void": "0.5", "unknown": "0", "proposed": "0.9995"}
    if fate in pinned:
        first = pinned[fate]
        second = {"1": "0", "0": "1", "0.5": "0.5", "0.9995": "0.0005"}[first] if fate != "unknown" else "0"
        return {"outcomePrices": json.dumps([first, second]), "lastTradePrice": float(first)}
    price = leg.prices[tick] if leg.labels[1] != "Yes" else 1 - leg.prices[tick]
    bid, ask = _sides(price, leg, 3)
    prices: dict[str, Any] = {
        "outcomePrices": json.dumps([f"{price:.4f}", f"{1 - price:.4f}"]),
        "lastTradePrice": round(price, 3),
        "volume24hr": leg.volumes[tick],
        "liquidity": str(leg.volumes[tick] * 2),
        "liquidityNum": leg.volumes[tick] * 2,
        "bestAsk": ask if leg.has_ask else 1,
    }
    return prices | ({"bestBid": bid} if leg.has_bid else {})


def _kalshi_market(leg: "Leg", event_ticker: str, tick: int, start: datetime) -> dict[str, Any]:
    fate = leg.fates[tick]
    over = fate in _OVER
    trading = fate in ("open", "paused")
    bid, ask = _sides(leg.prices[tick], leg, 2)
    market: dict[str, Any] = {
        "close_time": f"{start + leg.closes_in:%Y-%m-%dT%H:%M:%SZ}",
        "event_ticker": event_ticker,
        "expected_expiration_time": f"{start + leg.closes_in:%Y-%m-%dT%H:%M:%SZ}",
        "last_price_dollars": f"{leg.prices[tick]:.4f}" if trading else "0.0000",
        "liquidity_dollars": "0.0000",
        "market_type": "binary",
        "no_sub_title": leg.proposition,
        "notional_value_dollars": "1.0000",
        "open_interest_fp": f"{leg.volumes[tick] * 3:.2f}",
        "open_time": "2026-09-24T17:34:01Z",
        "price_level_structure": "linear_cent",
        "price_ranges": [{"end": "1.0000", "start": "0.0000", "step": "0.0100"}],
        "result": "yes" if fate == "proposed" else "",
        "rules_primary": f"If {leg.proposition} happens, then the market resolves to Yes.",
        "rules_secondary": "",
        "status": "finalized" if over else _KALSHI_STATUS[fate],
        "ticker": f"{event_ticker}-{leg.number}",
        "title": leg.question,
        "volume_24h_fp": f"{leg.volumes[tick]:.2f}",
        "volume_fp": f"{leg.volumes[tick] * 9:.2f}",
        "yes_ask_dollars": f"{ask:.4f}" if trading and leg.has_ask else "1.0000",
        "yes_bid_dollars": f"{bid:.4f}" if trading and leg.has_bid else "0.0000",
        "yes_sub_title": leg.proposition,
    }
    if over:
        results = {"yes": ("yes", "1.0000"), "no": ("no", "0.0000"), "void": ("scalar", "0.5000")}
        market["result"], value = results.get(fate, ("", None))
        market |= {"settlement_ts": f"{start + tick * TICK:%Y-%m-%dT%H:%M:%SZ}"} | (
            {"settlement_value_dollars": value} if value else {}
        )
    if leg.threshold is not None:
        market |= {"strike_type": "greater", "floor_strike": leg.threshold}
    if leg.combo:
        market |= {"mve_collection_ticker": "KXMVESPORTS-R", "ticker": f"KXMVESPORTS-S{leg.number}"}
    return _in_cents(market) if leg.cents_only else market


def _in_cents(market: dict[str, Any]) -> dict[str, Any]:
    """The same record as Kalshi wrote it before it knew dollars."""
    old = {name: value for name, value in market.items() if not name.endswith(("_dollars", "_fp"))}
    old |= {name: round(100 * float(market[f"{name}_dollars"])) for name in ("yes_bid", "yes_ask", "last_price")}
    return old | {name: round(float(market[f"{name}_fp"])) for name in ("volume_24h", "open_interest")}


def _sides(price: float, leg: "Leg", digits: int) -> tuple[float, float]:
    step = 10.0**-digits
    bid = max(step, round(price - leg.half_spread, digits))
    return bid, min(1 - step, max(bid + step, round(price + leg.half_spread, digits)))


def _event_ticker(happening: "Happening") -> str:
    return f"KX{happening.category[:4].upper()}-26NOV{happening.number}"
