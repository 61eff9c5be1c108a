"""Recorded series of real markets as histories the detectors, the forecasts and the benchmark can look at.

Law: what a recording does not say is assumed here, in words, and nowhere else. A series of bare prices gets a book of
half a point to each side and enough volume to be looked at; detectors of books and volumes therefore have nothing to
find in it. Fees are the venue's general ones. A market ends where its recording says that it closed, and is decided
only by an exact payout of 0 or 1 told beside that. Called by the replay and by the reports on detectors.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec

from agent.core.market import mid, resolution_from_payouts, side
from agent.core.patterns.base import History
from agent.errors import ConfigError, VenueDataError
from sync.records import FeeTerms, Market, MarketStatus, Quote, Resolution, Venue

HALF_A_POINT = 0.005
ENOUGH = 10_000.0  # dollars, where a series has no volume
GENERAL_FEES = {
    Venue.KALSHI: FeeTerms(kind="quadratic", multiplier=Decimal(1)),
    Venue.POLYMARKET: FeeTerms(enabled=True),  # at the rate of the category
}
PRICES = "price_jump momentum reversal"  # what bare prices are enough for


@dataclass(frozen=True)
class Series:
    """Histories of one recording, the looks it holds, and how far back a look remembers."""

    name: str
    histories: list[History]
    looks: list[datetime]
    look_back: timedelta
    quiet: timedelta  # a finding is not said again within it
    max_age: timedelta  # an older row was not seen lately
    readable: frozenset[str]  # detectors for which there is something in it
    endings: tuple[Market, ...] = ()  # markets as they closed or were decided, at that moment


def _series(
    name: str, histories: list[History], *, reads: str, slower: float = 1.0, endings: Iterable[Market] = ()
) -> Series:
    """As the daemon looks: 24 hours back, quiet for six, seen within 90 minutes; longer where the looks are rarer."""
    looks = sorted({quote.fetched_at for history in histories for quote in history.quotes})
    spans = [slower * span for span in (timedelta(hours=24), timedelta(hours=6), timedelta(minutes=90))]
    readable = frozenset(f"{PRICES} {reads}".split())
    return Series(name, histories, looks, spans[0], spans[1], spans[2], readable, tuple(endings))


def _quote(key: str, at: datetime, bid: float | None, ask: float | None, volume: float | None) -> Quote:
    bid, ask = side(bid), side(ask)
    return Quote(market_key=key, fetched_at=at, bid=bid, ask=ask, mid=mid(bid, ask), volume_24h=volume)


def _bare(key: str, at: datetime, price: float, volume: float | None) -> Quote:
    return _quote(key, at, round(price - HALF_A_POINT, 6), round(price + HALF_A_POINT, 6), volume)


def _market(
    key: str,
    title: str,
    event: str | None,
    *,
    exclusive: bool | None,
    close: datetime | None,
    category: str | None = None,
) -> Market:
    venue, _, venue_id = key.partition(":")
    return Market(
        key, Venue(venue), venue_id, title, MarketStatus.OPEN, datetime(2026, 1, 1, tzinfo=UTC), event, event,
        mutually_exclusive=exclusive, close_time=close, category=category, fees=GENERAL_FEES[Venue(venue)],
    )  # fmt: skip


def _ended(market: Market, at: datetime, price: float | None) -> Market:
    """A market seen closed, with its answer where the price it closed at is an exact payout."""
    payouts = [] if price is None else [price, 1 - price]
    resolution, value = resolution_from_payouts(payouts, 0, confirmed=False)
    decided = resolution is not Resolution.UNKNOWN
    return msgspec.structs.replace(
        market,
        status=MarketStatus.RESOLVED if decided else MarketStatus.CLOSED,
        fetched_at=at,
        closed_time=at,
        resolution=resolution,
        resolution_value=value,
    )


def cryptopulse(folder: Path) -> Series:
    """Kalshi, one day of quarter hours: 152 markets of games, temperatures and petrol prices.

    Its price is taken for the ask, since both sides of a match add up to 101 to 103, over a bid one cent below.
    """
    found = json.loads((folder / "kalshi/series_cryptopulse_20260726_15min.json").read_text())
    quotes, markets = defaultdict[str, list[Quote]](list), dict[str, Market]()
    for snapshot in found["snapshots"]:
        at = datetime.fromtimestamp(snapshot["t"] / 1000, UTC)
        for event in snapshot["events"]:
            exclusive = any(word in event["tk"] for word in ("MATCH", "GAME", "HIGH", "BOXING", "MAP", "F5-"))
            for leg in event["m"]:
                key, strike = f"kalshi:{leg['tk']}", leg["tk"].rpartition("-")[2]
                title = f"Over {strike} runs" if "MLBTOTAL" in key else leg["ti"]
                category = "Weather" if "HIGH" in event["tk"] else "Games"
                markets[key] = _market(key, title, event["tk"], exclusive=exclusive, close=None, category=category)
                ask = leg["y"] / 100
                quotes[key].append(_quote(key, at, round(ask - 0.01, 6), ask, leg["v"]))
    histories = [History(markets[key], rows) for key, rows in quotes.items()]
    return _series("Kalshi games, 15 min", histories, reads="volume_spike event_sum ladder stale_sibling")


def engine(folder: Path) -> Series:
    """Polymarket, three days of looks about 80 minutes apart: 50 markets with books and volumes."""
    found = json.loads((folder / "polymarket/series_engine_20260410-12.json").read_text())
    quotes, markets = defaultdict[str, list[Quote]](list), dict[str, Market]()
    for snapshot in found["snapshots"]:
        at = datetime.fromisoformat(snapshot["saved_at"])
        for row in snapshot["markets"]:
            key = f"polymarket:{row['market_id']}"
            close = datetime.fromisoformat(row["end_date_iso"])
            markets[key] = _market(key, row["question"], None, exclusive=None, close=close)
            quotes[key].append(_quote(key, at, row["yes_bid"], row["yes_ask"], row["volume_24h"]))
    histories = [History(markets[key], rows) for key, rows in quotes.items()]
    return _series("Polymarket mix, 80 min", histories, reads="volume_spike spread_shift closing_soon", slower=4)


def worldcup(folder: Path) -> Series:
    """Polymarket, two looks a day for five weeks: 48 teams, three questions each; books and volumes in all.

    What closed stays closed: the price it closed at is its payout.
    """
    quotes, markets, endings = defaultdict[str, list[Quote]](list), dict[str, Market](), dict[str, Market]()
    with (folder / "polymarket/series_worldcup2026.csv").open() as file:
        for row in csv.DictReader(file):
            key = f"polymarket:{row['market']}-{row['team']}"
            at, bid, ask = datetime.fromisoformat(row["ts_utc"]), row["bid"], row["ask"]
            if row["closed"] == "True":
                if key in markets and key not in endings:
                    endings[key] = _ended(markets[key], at, float(row["price"]) if row["price"] else None)
                continue
            exclusive, title = row["market"] == "outright", f"{row['team']}: {row['market']}"
            markets[key] = _market(key, title, row["market"], exclusive=exclusive, close=None, category="Sports")
            number = [float(text) if text else None for text in (bid, ask, row["volume"])]
            quotes[key].append(_quote(key, at, number[0], number[1], number[2]))
    histories = [History(markets[key], rows) for key, rows in quotes.items()]
    reads = "volume_spike spread_shift event_sum stale_sibling"
    return _series("World Cup, 12 h", histories, reads=reads, slower=28, endings=endings.values())


def weather(folder: Path) -> Series:
    """Kalshi, 1,134 temperature brackets of a spring: the first trade and the last, and how each was settled.

    A market is taken to end at its last trade; both prices are trades, taken for the middle of a book.
    """
    histories, endings = list[History](), list[Market]()
    with (folder / "kalshi/settled_weather_open_close_2026.csv").open() as file:
        for row in csv.DictReader(file):
            key, start, end = f"kalshi:{row['market_ticker']}", _instant(row["open_ts"]), _instant(row["close_ts"])
            title = f"{row['city']} {row['settle_date']}: {row['lower']} to {row['upper']}"
            market = _market(key, title, row["event_ticker"], exclusive=True, close=None, category="Weather")
            histories.append(History(market, [_bare(key, start, float(row["open_yes"]), ENOUGH)]))
            endings.append(_ended(market, end, {"yes": 1.0, "no": 0.0}.get(row["result"])))
    return _series("Kalshi weather, settled", histories, reads="", endings=endings)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def minutes(name: str, label: str, *, close: datetime, reads: str = "") -> Callable[[Path], Series]:
    """Polymarket price history of one event's legs, thinned to quarter hours; bare prices."""

    def load(folder: Path) -> Series:
        quotes, last = defaultdict[str, list[Quote]](list), dict[str, datetime]()
        with (folder / f"polymarket/prices_minute_{name}.csv").open(encoding="utf-8-sig") as file:
            for row in csv.DictReader(file):
                at = datetime.fromisoformat(row.pop("datetime")).replace(tzinfo=UTC)
                at = at.replace(minute=at.minute // 15 * 15, second=0)
                for title, price in row.items():
                    if price and last.get(title) != at:
                        last[title] = at
                        quotes[title].append(_bare(f"polymarket:{title}", at, float(price), ENOUGH))
        histories = [
            History(
                _market(
                    f"polymarket:{title}", title, name, exclusive="event_sum" in reads, close=close, category=label
                ),
                rows,
            )
            for title, rows in quotes.items()
        ]
        return _series(f"{label}, 15 min", histories, reads=reads)

    return load


SOURCES: tuple[Callable[[Path], Series], ...] = (
    cryptopulse,
    engine,
    worldcup,
    minutes(
        "fed-decision-in-march-885", "Fed", close=datetime(2026, 3, 18, tzinfo=UTC), reads="event_sum stale_sibling"
    ),
    minutes("us-iran-nuclear-deal-before-2027", "Iran deal", close=datetime(2027, 1, 1, tzinfo=UTC)),
    minutes("us-x-iran-ceasefire-by", "ceasefire", close=datetime(2026, 6, 30, tzinfo=UTC), reads="ladder"),
    minutes(
        "will-crude-oil-cl-hit-by-end-of-march", "crude oil", close=datetime(2026, 3, 31, tzinfo=UTC), reads="ladder"
    ),
)


def load_all(folder: Path) -> Iterator[Series]:
    """Every series detectors can look at, one after the other."""
    for load in SOURCES:
        yield load(folder)


def load_for_replay(folder: Path) -> list[Series]:
    """Every series that can be replayed and is there. Raises: ConfigError where none is, VenueDataError."""
    found = list[Series]()
    for load in (*SOURCES, weather):
        try:
            found.append(load(folder))
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError) as exc:
            raise VenueDataError(f"{folder}: a recorded series cannot be read: {type(exc).__name__}: {exc}") from exc
    if not found:
        raise ConfigError([f"{folder}: no recorded series there: the folders polymarket and kalshi hold them"])
    return found
