"""Watches the raw records of a listing while it is read, and takes back what can no longer be trusted.

Law: a page is looked at before it is stored. A field found changed is distrusted for the rest of the listing and in
the next ones until it is healthy again; what it feeds is not stored: a price becomes None, a market's words stay
those stored last. What each value of ours is read from stands in one table per venue. Called by jobs/collect.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from msgspec import Raw

from agent.core.drift import TOTAL, Change, Finding, Habit, Profile, collapse, findings
from agent.venues.base import Page
from sync.records import Market, MarketStatus, Quote, Venue

# Records of one page that are looked at, evenly spread: enough to see what befell all of them at the first page, and
# thousands over a listing. Looking at 64 cost half as much as reading the whole page.
SAMPLE = 24
N_KEPT = 3  # raw records kept when something is found, for whoever repairs the reader


@dataclass(frozen=True, slots=True)
class Feed:
    """Values of ours and the wire fields they are read from, the preferred one first."""

    values: tuple[str, ...]
    fields: tuple[str, ...]


# A turned Polymarket book (the outcome "Yes" stands second) swaps its sides, so either field feeds both.
_BOOK: Final = ("bid", "ask", "mid")
QUOTE_FEEDS: Mapping[Venue, tuple[Feed, ...]] = {
    Venue.POLYMARKET: (
        Feed(_BOOK, ("bestBid",)),
        Feed(_BOOK, ("bestAsk",)),
        Feed(("last_price",), ("lastTradePrice",)),
        Feed(("volume_24h",), ("volume24hr",)),
        Feed(("liquidity_usd",), ("liquidityNum",)),
    ),
    Venue.KALSHI: (
        Feed(("bid", "mid"), ("yes_bid_dollars", "yes_bid")),
        Feed(("ask", "mid"), ("yes_ask_dollars", "yes_ask")),
        Feed(("last_price",), ("last_price_dollars", "last_price")),
        Feed(("volume_24h",), ("volume_24h_fp", "volume_24h")),
        Feed(("open_interest",), ("open_interest_fp", "open_interest")),
    ),
}
_ANSWER: Final = ("resolution", "resolution_value")
MARKET_FEEDS: Mapping[Venue, tuple[Feed, ...]] = {
    Venue.POLYMARKET: (
        Feed(("close_time",), ("endDate",)),
        Feed(("open_time",), ("startDate",)),
        Feed(("rules_text",), ("description",)),
        Feed(("tick_size",), ("orderPriceMinTickSize",)),
        Feed(("token_ids",), ("clobTokenIds",)),
        Feed(("outcome_labels",), ("outcomes",)),
        Feed(_ANSWER, ("outcomePrices",)),
        Feed(("event_id",), ("event.id",)),
        Feed(("category",), ("event.tags",)),
        Feed(("mutually_exclusive",), ("event.negRisk", "negRisk")),
        Feed(("fees",), ("feesEnabled",)),
        Feed(("fees",), ("feeSchedule",)),
    ),
    Venue.KALSHI: (
        Feed(("close_time",), ("close_time",)),
        Feed(("expected_time",), ("expected_expiration_time",)),
        Feed(("open_time",), ("open_time",)),
        Feed(("rules_text",), ("rules_primary",)),
        Feed(("tick_size",), ("price_ranges",)),
        Feed(("proposition",), ("yes_sub_title",)),
        Feed(_ANSWER, ("result",)),
        Feed(("event_id",), ("event.event_ticker", "event_ticker")),
        Feed(("series_id",), ("event.series_ticker",)),
        Feed(("category",), ("event.category",)),
        Feed(("mutually_exclusive",), ("event.mutually_exclusive",)),
        Feed(("fees",), ("event.fee_type_override",)),
        Feed(("fees",), ("event.fee_multiplier_override",)),
        Feed(("strike_type",), ("strike_type",)),
        Feed(("floor_strike",), ("floor_strike",)),
        Feed(("cap_strike",), ("cap_strike",)),
    ),
}

# Where zero is the venues' way to write "empty": the reader makes None of it, so that more of them invent no number.
_ZERO_IS_EMPTY: Final = frozenset(
    {"bestBid", "bestAsk", "lastTradePrice", "yes_bid_dollars", "yes_ask_dollars", "last_price_dollars"}
    | {"yes_bid", "yes_ask", "last_price"}
)


class _Listing(msgspec.Struct):
    events: list[Raw] | None = None
    markets: list[Raw] | None = None


_LISTING = msgspec.json.Decoder(_Listing)
_LEGS = msgspec.json.Decoder(list[Raw] | None)
_RECORD = msgspec.json.Decoder(dict[str, Any])
_HEAD = msgspec.json.Decoder(dict[str, Raw])
_VALUE = msgspec.json.Decoder()


@dataclass(slots=True)
class Watch:
    """One listing under observation. `distrusted` holds wire fields, from earlier listings at first."""

    venue: Venue
    habit: Habit | None
    distrusted: set[str]
    profile: Profile = field(default_factory=Profile)
    samples: list[bytes] = field(default_factory=list)
    n_pages: int = 0

    def look(self, page: Page) -> None:
        """Take a sample of the page into the profile; distrust at once what all records show."""
        self.profile.n_records += page.n_records
        self.n_pages += 1
        found = sample(page.body, self.profile)
        # What all records show, the first pages show; after them only ever more pages could make it nearly all.
        if self.habit is None or self.n_pages & (self.n_pages - 1):
            return
        hard = {finding.field for finding in findings(self.habit.profile, self.profile) if finding.total}
        if hard - self.distrusted:
            self.samples = [bytes(record) for record in found[:N_KEPT]]
            self.distrusted |= hard

    def found(self) -> list[Finding]:
        """What the whole listing shows."""
        return [] if self.habit is None else findings(self.habit.profile, self.profile)

    def judge(self, found: Iterable[Finding]) -> None:
        """At the end of a complete listing: distrust what it showed and nothing else.

        More empty values are None like all empty values; they are told, and the filled ones beside them are as good as
        ever. That does not hold for zeros where zero is a number.
        """
        self.distrusted = {finding.field for finding in found if _is_suspect(finding)}

    def shrunk(self) -> str | None:
        """In words, that the listing is much shorter than usual."""
        return None if self.habit is None else collapse(self.habit.n_records, self.profile.n_records)

    def lost_of_quotes(self) -> frozenset[str]:
        """Names of a quote's values that cannot be trusted now."""
        return self._lost(QUOTE_FEEDS[self.venue])

    def lost_of_markets(self) -> frozenset[str]:
        """Names of a market's values that cannot be trusted now."""
        return self._lost(MARKET_FEEDS[self.venue])

    def _lost(self, feeds: Iterable[Feed]) -> frozenset[str]:
        return frozenset(
            value
            for feed in feeds
            if not self.distrusted.isdisjoint(self._sources(feed.fields))
            for value in feed.values
        )

    def _sources(self, names: Sequence[str]) -> Sequence[str]:
        """The fields a value may have come from: the reader goes on to the next where one is missing."""
        for index, name in enumerate(names):
            if self._presence(name) >= TOTAL:
                return [one for one in names[: index + 1] if self._presence(one) > 1 - TOTAL]
        return names

    def _presence(self, name: str) -> float:
        head, dot, rest = name.partition(".")
        return self.profile.events.presence(rest) if dot and head == "event" else self.profile.markets.presence(name)


def _is_suspect(finding: Finding) -> bool:
    if finding.total or finding.change in (Change.GONE, Change.RETYPED):
        return True
    return finding.change is Change.ZEROED and finding.field not in _ZERO_IS_EMPTY


def trusted_quotes(quotes: Iterable[Quote], lost: frozenset[str]) -> list[Quote]:
    """The quotes without the values that cannot be trusted: None, never zero, never the old number."""
    nothing = dict.fromkeys(lost)
    return [msgspec.structs.replace(quote, **nothing) for quote in quotes] if lost else list(quotes)


def trusted_markets(markets: Iterable[Market], lost: frozenset[str], known: Mapping[str, Market]) -> list[Market]:
    """The markets with what was stored last in place of what cannot be trusted; a new market goes without.

    Args:
        known: as stored, by key.
    """
    return [_trusted(market, lost, known.get(market.market_key)) for market in markets] if lost else list(markets)


def _trusted(market: Market, lost: frozenset[str], before: Market | None) -> Market:
    kept: dict[str, Any] = {
        name: _BLANK.get(name) if before is None else getattr(before, name) for name in lost if name not in _ANSWER
    }
    if not lost.isdisjoint(_ANSWER):
        kept |= {name: None if before is None else getattr(before, name) for name in _ANSWER}
        if market.status is MarketStatus.RESOLVED and kept["resolution"] is None:
            kept["status"] = MarketStatus.CLOSED
    return msgspec.structs.replace(market, **kept)


_BLANK: Mapping[str, Any] = {"token_ids": (), "outcome_labels": ()}


def sample(body: bytes, profile: Profile) -> list[Raw]:
    """Count an even sample of a page into the profile; returns the market records taken."""
    try:
        listing = _LISTING.decode(body)
        taken = list(_spread(listing.markets or (), SAMPLE))
        heads = _spread(listing.events or (), SAMPLE)
        share = -(-SAMPLE // max(len(heads), 1))
        for event in heads:
            head = _HEAD.decode(event)
            legs = head.pop("markets", None)
            taken.extend(_spread((_LEGS.decode(legs) if legs is not None else None) or (), share))
            profile.events.add({name: _VALUE.decode(value) for name, value in head.items()})
        for record in taken:
            profile.markets.add(_RECORD.decode(record))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return []  # what cannot be read is the reader's to refuse, record by record, with its reasons
    return taken


def _spread(items: Sequence[Raw], n: int) -> Sequence[Raw]:
    """About n of the items, evenly over all of them."""
    return items if len(items) <= n else [items[index * len(items) // n] for index in range(n)]
