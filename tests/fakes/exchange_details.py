"""What the local exchange answers about single markets: winners, oracle, books, histories, fee terms.

Law: derived from the frame's own records with the venues' habits (a closed market has no fine history, a settled one
moves to the historical routes, sizes are text); a test that wants another word puts a document into `overrides`.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from tests.fakes.exchange_faults import Answer
from tests.fakes.exchange_recordings import Frame, Json

NOT_FOUND = Answer(404, {"error": "not found"})
CUTOFF = "2026-09-01T00:00:00Z"
DATA_PAGE = 50  # points; the real host gives 10,000
MULTIPLIERS = ("1", "0.5")

_PAID = {"0": 0, "0.5": 500_000, "1": 1_000_000}
_BASELESS = 0.5  # what the series shows before anybody traded


def clob_answer(frame: Frame, path: str, params: dict[str, str]) -> Answer:
    """The order book host."""
    if path.startswith("/markets/"):
        market = _gamma_market(frame, "conditionId", path.removeprefix("/markets/"))
        return NOT_FOUND if market is None else Answer(200, _clob_market(market))
    market = _by_token(frame, params.get("token_id") or params.get("market") or "")
    if market is None:
        return Answer(404, {"error": "No orderbook exists for the requested token id"})
    if path == "/book":
        return _clob_book(market)
    if path == "/prices-history":
        fine = market.get("closed") and int(params.get("fidelity", "1")) < 720
        start, end, step = int(params["startTs"]), int(params["endTs"]), 60 * int(params.get("fidelity", "1"))
        points = [] if fine else [{"t": at, "p": _price(market, at)} for at in range(start, end, step)]
        return Answer(200, {"history": points})
    return NOT_FOUND


def data_answer(frame: Frame, path: str, params: dict[str, str]) -> Answer:
    """The data host, version 2."""
    if path == "/v2/resolutions":
        market = _gamma_market(frame, "conditionId", params.get("condition", ""))
        return Answer(200, {"data": [] if market is None else [_resolution(market)]})
    market = _by_token(frame, params.get("token_id", ""))
    if path != "/v2/prices-history" or market is None:
        return NOT_FOUND
    start = _seconds(market["startDate"])
    every = [{"timestamp": start + n * 10_800, "price": _price(market, start + n * 10_800)} for n in range(-8, 200)]
    at = int(params.get("cursor", "0"))
    more = at + DATA_PAGE < len(every)
    pagination: Json = {"limit": DATA_PAGE, "has_more": more}
    if more:
        pagination["next_cursor"] = str(at + DATA_PAGE)
    return Answer(200, {"data": every[at : at + DATA_PAGE], "pagination": pagination})


def kalshi_answer(frame: Frame, path: str, params: dict[str, str], moved: set[str]) -> Answer | None:
    """What Kalshi has beside its listings; None for a path that is none of these. `moved` left the live routes."""
    answer: Answer | None = None
    match path.strip("/").split("/"):
        case ["historical", "cutoff"]:
            answer = Answer(200, {"market_settled_ts": CUTOFF, "trades_created_ts": CUTOFF})
        case ["historical", "markets"]:
            asked = moved & set(params.get("tickers", "").split(","))
            answer = Answer(200, {"markets": [m for m in _kalshi(frame) if m["ticker"] in asked], "cursor": ""})
        case ["historical", "markets", ticker, "candlesticks"] if ticker in moved:
            answer = Answer(200, {"ticker": ticker, "candlesticks": _bars(frame, ticker, params, suffix="")})
        case ["series", _, "markets", ticker, "candlesticks"]:
            known = ticker not in moved and any(market["ticker"] == ticker for market in _kalshi(frame))
            bars = _bars(frame, ticker, params, suffix="_dollars") if known else []
            answer = Answer(200, {"ticker": ticker, "candlesticks": bars}) if known else NOT_FOUND
        case ["markets", "candlesticks"]:
            ticker = params.get("market_tickers", "")
            bars = _bars(frame, ticker, params, suffix="_dollars")
            answer = Answer(200, {"markets": [{"market_ticker": ticker, "candlesticks": bars}]})
        case ["markets", ticker, "orderbook"]:
            answer = _kalshi_book(frame, ticker)
        case ["series"]:
            answer = Answer(200, {"series": _series(frame)})
    return answer


def _gamma_market(frame: Frame, name: str, value: str) -> Json | None:
    found = (market for event in frame.gamma_events for market in event["markets"] if market.get(name) == value)
    return next(found, None)


def _by_token(frame: Frame, token: str) -> Json | None:
    markets = (market for event in frame.gamma_events for market in event["markets"])
    return next((market for market in markets if token and token in market.get("clobTokenIds", "")), None)


def _prices(market: Json) -> list[str]:
    prices: list[str] = json.loads(market.get("outcomePrices") or "[]")
    return prices


def _final(market: Json) -> bool:
    over = market.get("closed") and market.get("umaResolutionStatus") not in ("proposed", "disputed")
    return bool(over) and sorted(_prices(market)) in (["0", "1"], ["0.5", "0.5"])


def _clob_market(market: Json) -> Json:
    tokens = zip(json.loads(market["clobTokenIds"]), json.loads(market["outcomes"]), _prices(market), strict=True)
    final = _final(market)
    return {
        "condition_id": market["conditionId"],
        "question": market["question"],
        "active": True,
        "closed": market["closed"],
        "is_50_50_outcome": final and "0.5" in _prices(market),
        "tokens": [
            {"token_id": token, "outcome": label, "price": float(price), "winner": final and price == "1"}
            for token, label, price in tokens
        ],
    }


def _resolution(market: Json) -> Json:
    row: Json = {"condition_id": market["conditionId"], "status": "posed", "was_disputed": False, "price": "69"}
    if _final(market):
        return row | {"status": "resolved", "payouts": [_PAID[price] for price in _prices(market)]}
    return row | {"status": market.get("umaResolutionStatus", "posed"), "proposed_price": "1000000000000000000"}


def _clob_book(market: Json) -> Answer:
    if market.get("closed"):
        return Answer(404, {"error": "No orderbook exists for the requested token id"})
    bid, ask = market.get("bestBid"), market.get("bestAsk")
    bids = [] if bid is None else [{"price": f"{bid / 2:.4f}", "size": "10"}, {"price": str(bid), "size": "120.55"}]
    asks = [{"price": "0.999", "size": "5"}, {"price": str(ask), "size": "80.10"}] if ask not in (None, 1) else []
    return Answer(200, {"market": market["conditionId"], "bids": bids, "asks": asks})


def _price(market: Json, at: int) -> float:
    """Half until trading starts, then something that moves."""
    return _BASELESS if at <= _seconds(market["startDate"]) else round(0.3 + (at // 3600) % 40 / 100, 2)


def _kalshi(frame: Frame) -> Iterable[Json]:
    return (market for event in frame.kalshi_events for market in event["markets"])


def _bars(frame: Frame, ticker: str, params: dict[str, str], *, suffix: str) -> list[Json]:
    """Hourly bars, every third hour quiet: no trade in one, nothing at all in the next."""
    if all(market["ticker"] != ticker for market in _kalshi(frame)):
        return []
    step = 60 * int(params["period_interval"])
    first = -(-int(params["start_ts"]) // step) * step
    bars = []
    for at in range(first, int(params["end_ts"]) + 1, step):
        turn = at // step % 6
        price: Json = {f"close{suffix}": "0.4200", f"previous{suffix}": "0.4100"}
        bar: Json = {"end_period_ts": at, "price": price if turn % 3 else {f"previous{suffix}": "0.4200"}}
        bar["yes_bid"], bar["yes_ask"] = {f"close{suffix}": "0.4000"}, {f"close{suffix}": "0.4400"}
        bar["volume_fp" if suffix else "volume"] = "12.50" if turn % 3 else "0.00"
        bars += [bar] if turn != 5 else []
    return bars


def _kalshi_book(frame: Frame, ticker: str) -> Answer:
    market = next((market for market in _kalshi(frame) if market["ticker"] == ticker), None)
    if market is None:
        return NOT_FOUND
    bid, ask = market.get("yes_bid_dollars", "0.0000"), market.get("yes_ask_dollars", "1.0000")
    yes: list[Any] = [] if float(bid) == 0 else [["0.0100", "700.00"], [bid, "13.25"]]
    no: list[Any] = [] if float(ask) in (0, 1) else [["0.0100", "900.00"], [f"{1 - float(ask):.4f}", "21.50"]]
    return Answer(200, {"orderbook_fp": {"yes_dollars": yes, "no_dollars": no}})


def _series(frame: Frame) -> list[Json]:
    tickers = sorted({event["series_ticker"] for event in frame.kalshi_events})
    return [
        {"ticker": ticker, "fee_type": "quadratic", "fee_multiplier": float(MULTIPLIERS[index % 2]), "tags": None}
        for index, ticker in enumerate(tickers)
    ]


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp())
