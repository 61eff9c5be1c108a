"""Recorded answers, damaged: whatever bytes come, every reader gives records or a named error, and soon.

Law: no exception but VenueDataError leaves a reader, nothing it returns is outside its range, and a document of
megabytes or of a hundred thousand brackets takes no longer than one of its size may.
"""

import json
import math
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.core.resolution import Evidence
from agent.errors import VenueDataError
from agent.venues import (
    kalshi,
    kalshi_book,
    kalshi_history,
    kalshi_series,
    polymarket,
    polymarket_clob,
    polymarket_data,
)
from agent.venues.base import Book, HistoryPoint, Page
from agent.venues.kalshi_series import FeePage
from agent.venues.polymarket_data import HistoryPage
from tests.factories import NOON
from tests.fakes.exchange_pages import GAMMA_EVENT, GAMMA_MARKET, KALSHI_EVENT, KALSHI_MARKET
from tests.unit.venues.test_fuzz import check

Reader = Callable[[bytes], Any]

BAR = {
    "end_period_ts": 1784307600,
    "price": {"close_dollars": "0.4200", "previous_dollars": "0.41"},
    "yes_bid": {"close_dollars": "0.4000"},
    "yes_ask": {"close_dollars": "0.4400"},
    "volume_fp": "12.50",
}
SAMPLES: dict[str, tuple[Reader, Any]] = {
    "gamma": (lambda body: polymarket.parse_page(body, NOON), {"events": [GAMMA_EVENT | {"markets": [GAMMA_MARKET] * 2}]}),
    "kalshi": (lambda body: kalshi.parse_page(body, NOON), {"events": [KALSHI_EVENT | {"markets": [KALSHI_MARKET] * 2}]}),
    "clob-market": (
        lambda body: polymarket_clob.parse_winner(body, "0x1", None),
        {"condition_id": "0x1", "closed": True, "is_50_50_outcome": False,
         "tokens": [{"token_id": "1", "outcome": "Yes", "price": 1, "winner": True},
                    {"token_id": "2", "outcome": "No", "price": 0, "winner": False}]},
    ),
    "clob-book": (
        lambda body: polymarket_clob.parse_book(body, "polymarket:0x1", NOON),
        {"bids": [{"price": "0.48", "size": "100.00"}], "asks": [{"price": "0.51", "size": "120.00"}]},
    ),
    "clob-history": (polymarket_clob.parse_history, {"history": [{"t": 1784307600, "p": 0.5}, {"t": 1784311200, "p": 0.53}]}),
    "oracle": (
        lambda body: polymarket_data.parse_resolution(body, "0x1", 0),
        {"data": [{"condition_id": "0x1", "status": "resolved", "payouts": [1000000, 0]}]},
    ),
    "data-history": (
        polymarket_data.parse_history,
        {"data": [{"timestamp": 1789295100, "price": 0.34}], "pagination": {"has_more": True, "next_cursor": "x"}},
    ),
    "candles": (lambda body: kalshi_history.parse_candles(body, "T"), {"ticker": "T", "candlesticks": [BAR, BAR]}),
    "cutoff": (kalshi_history.parse_cutoff, {"market_settled_ts": "2026-06-25T00:00:00Z"}),
    "kalshi-book": (
        lambda body: kalshi_book.parse_book(body, "kalshi:T", NOON),
        {"orderbook_fp": {"yes_dollars": [["0.4200", "13.00"]], "no_dollars": [["0.5600", "7.25"]]}},
    ),
    "series": (
        lambda body: kalshi_series.parse_fees(body, NOON),
        {"series": [{"ticker": "KXMLB", "fee_type": "quadratic", "fee_multiplier": 0.5}]},
    ),
}  # fmt: skip
REAL = {
    "gamma": "polymarket/gamma_markets_2026_three.json",
    "kalshi": "kalshi/events_nested_2026_two.json",
    "clob-market": "polymarket/nautilus_clob_market_closed_binary_accepting_true.json",
    "clob-book": "polymarket/nautilus_clob_book_response.json",
    "oracle": "polymarket/datav2_resolutions_pending.json",
    "data-history": "polymarket/datav2_prices_history.json",
    "kalshi-book": "kalshi/orderbook_soccer_2026-03.json",
}
VALUES = (
    b"null", b"true", b"NaN", b"Infinity", b"-1", b"0", b"2", b"1e400", b"-1e400", b'"1e400"', b'"NaN"', b'"Infinity"',
    b'"-0.5"', b'"abc"', b'""', b"[]", b"{}", b"[[[]]]", b'{"a":{"b":[]}}', b"99999999999999999999999999", b'"\\ud800"',
    b'"\\u0000"', b"1.7976931348623157e308", b"[null]", b'["1"]', b"\xff",
)  # fmt: skip
_VALUE = re.compile(rb'(?<=:)\s*("(?:[^"\\]|\\.)*"|-?[0-9.]+|true|false|null)')


def promised(read: Any) -> None:
    """What every reader's answer keeps, whatever it was given."""
    match read:
        case Page():
            check(read)
            assert all(len(reject.reason) < 2_000 for reject in read.rejects)
        case Evidence():
            assert read.value is None or 0 <= read.value <= 1
        case Book():
            for level in (*read.bids, *read.asks):
                assert level.price.is_finite()
                assert 0 < level.price < 1
                assert 0 < level.size < 10**15
        case FeePage():
            assert all(0 <= one.fee_multiplier < 10**15 for one in read.fees)
        case HistoryPage():
            promised(read.points)
        case list():
            for point in read:
                assert isinstance(point, HistoryPoint)
                for price in (point.price, point.bid, point.ask):
                    assert price is None or 0 <= price <= 1
                assert point.volume is None or (math.isfinite(point.volume) and point.volume >= 0)
                assert point.at.utcoffset() is not None


def survives(reader: Reader, body: bytes) -> None:
    """A record, a counted rejection, or a named error."""
    words = ""
    try:
        promised(reader(body))
    except VenueDataError as exc:
        words = str(exc)
    assert len(words) < 2_000  # an excerpt, not the document


def swapped(body: bytes, chance: random.Random) -> bytes:
    """Some values replaced by values of another kind."""
    spots = list(_VALUE.finditer(body))
    for spot in sorted(chance.sample(spots, min(len(spots), chance.randint(1, 4))), key=lambda one: -one.start(1)):
        body = body[: spot.start(1)] + chance.choice(VALUES) + body[spot.end(1) :]
    return body


def scarred(body: bytes, chance: random.Random) -> bytes:
    """Some bytes replaced, some cut out, the end perhaps missing."""
    damaged = bytearray(body)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(damaged))
        damaged[at : at + chance.randint(0, 3)] = bytes(chance.randrange(256) for _ in range(chance.randint(0, 3)))
    return bytes(damaged[: chance.randrange(len(damaged) + 1)]) if chance.random() < 0.4 else bytes(damaged)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_sample_itself_is_read(name: str) -> None:
    """Damage to something unreadable would prove nothing."""
    reader, document = SAMPLES[name]
    promised(reader(json.dumps(document).encode()))


@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_samples_give_records_or_a_named_error(name: str) -> None:
    """Types swapped, bytes scarred, ends cut: the same six hundred every time."""
    reader, document = SAMPLES[name]
    body, chance = json.dumps(document).encode(), random.Random(name)
    for _ in range(300):
        survives(reader, swapped(body, chance))
        survives(reader, scarred(body, chance))


@pytest.mark.parametrize("name", SAMPLES)
def test_every_value_may_be_anything(name: str) -> None:
    """Each single value of the sample replaced by each of the awkward ones."""
    reader, document = SAMPLES[name]
    body = json.dumps(document).encode()
    for spot in _VALUE.finditer(body):
        for value in VALUES:
            survives(reader, body[: spot.start(1)] + value + body[spot.end(1) :])


@pytest.mark.parametrize("name", REAL)
def test_damaged_recordings_give_records_or_a_named_error(recordings: Path, name: str) -> None:
    """The same damage to what an exchange really sent."""
    reader, _ = SAMPLES[name]
    document = json.loads((recordings / REAL[name]).read_bytes())
    if name == "gamma":
        document = {"markets": document}
    body, chance = json.dumps(document).encode(), random.Random(name)
    for _ in range(60):
        survives(reader, swapped(body, chance))
        survives(reader, scarred(body, chance))


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize(
    "hostile",
    [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 5_000 + b"]" * 5_000, b'"' + b"x" * 10_000_000 + b'"',
     b"9" * 1_000_000, b'"' + b"9" * 1_000_000 + b'"', b'"' + b"\\ud800" * 200_000 + b'"'],
    ids=["brackets", "braces", "nested", "ten-megabyte-text", "million-digits", "million-digits-in-text", "half-pairs"],
)  # fmt: skip
def test_monsters_end_soon_in_a_named_error_or_not_at_all(name: str, hostile: bytes) -> None:
    """In the place of every field: deep nesting, ten megabytes of text, a number of a million digits."""
    reader, document = SAMPLES[name]
    body = json.dumps(document).encode()
    began = time.process_time()
    for spot in list(_VALUE.finditer(body))[:8]:
        survives(reader, body[: spot.start(1)] + hostile + body[spot.end(1) :])
    survives(reader, hostile)
    assert time.process_time() - began < 20  # a hang, not a speed: one pass is tens of milliseconds
