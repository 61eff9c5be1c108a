"""Arbitrage: what pays for certain, net of fees and of what the books hold? Six minutes after each collect.

Law: stored tops of books only tell where to look; what is shown was priced from books fetched together, or says that
it was not. A fee nobody told is no edge and is counted. One transaction stores what pays now and ends what does no
longer. Nothing here trades.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
import uuid_utils

from agent.core.arbitrage.books import Book, book_from_levels, book_from_quote
from agent.core.arbitrage.find import event_packages, ladder_packages, pair_packages, rough_gap, suspicions
from agent.core.arbitrage.packages import SHOWN_ABOVE, Package, price
from agent.core.arbitrage.shown import Offer, shown
from agent.core.fees import Fees
from agent.core.instants import to_the_ms
from agent.core.market import end_time
from agent.core.matching.judge import Judgement
from agent.errors import VenueError
from agent.jobs.context import Job, RunContext, Unit
from agent.jobs.fees import FeeBook
from agent.store.arbitrage import legs_of, load_active, save_arbitrage
from agent.store.db import Store
from agent.store.legs import load_legs
from agent.store.markets import load_markets
from agent.store.matches import load_matches
from agent.store.patterns import load_patterns_since
from agent.store.quotes import load_latest_quotes, load_seen_at
from agent.store.tx import Tx
from agent.venues.base import VenueDetails
from sync.records import Arbitrage, ArbitrageStatus, Market, MarketStatus, Match, Quote, Relation, Venue

PROVEN = (Relation.EQUIVALENT, Relation.A_IMPLIES_B, Relation.B_IMPLIES_A)
STALE = timedelta(minutes=35)  # two collects and a slow one: an older top is no price
PATTERNS_SINCE = timedelta(hours=12)  # a finding is said again after six hours at the latest
OF_EVENTS = frozenset(("event_sum", "ladder"))  # the detectors that have looked at every event already
MOST_BOOKS = 60  # fetched in one run: some ten seconds at the venues' limits
MOST_LEGS = 12  # of a package whose books are fetched: nobody buys thirty legs at once

log = structlog.get_logger("arbitrage")


@dataclass(frozen=True, slots=True)
class Look:
    """What a run looks at, loaded once: tops of books seen lately, with their fees."""

    markets: Mapping[str, Market]
    tops: Mapping[str, Book]
    unseen: Mapping[str, str]  # why a market has no top


@dataclass(frozen=True, slots=True)
class Possible:
    """A package and the match it rests on, before it is priced."""

    package: Package
    match: Match | None = None
    suspicions: tuple[str, ...] = ()


def arbitrage_job(store: Store, details: Mapping[Venue, VenueDetails]) -> Job:
    """Wire the job."""
    fees = FeeBook(store, details)

    async def arbitrage(ctx: RunContext, slot: datetime) -> None:
        ctx.count(priced=0, active=0, fees_unknown=0, without_depth=0)
        active = await load_active(store.reader)
        matches, quotes = await _gapped(store)
        events = await _events(store, ctx.now, active)
        keys = {key for one in matches for key in (one.kalshi_key, one.polymarket_key)}
        keys |= {market.market_key for legs in events for market in legs}
        keys |= {leg.market_key for one in active for leg in one.legs}
        look = await _look(store, keys, quotes, fees, ctx)
        tops = _priced(possible(matches, events, look.markets, look.tops), look.markets, ctx.now)
        deep = await _fetch_books(details, look, worth_fetching(tops))
        now = to_the_ms(store.clock())
        offers = _priced(possible(matches, events, look.markets, {**look.tops, **deep}), look.markets, now)
        found = shown(
            offers,
            [(legs_of(one), one) for one in active],
            look.markets,
            look.unseen,
            now=now,
            new_id=lambda: str(uuid_utils.uuid7()),
        )
        await ctx.step(f"arbitrage:{slot.isoformat()}", lambda: _saved(found))
        standing = [one for one in found if one.status is ArbitrageStatus.ACTIVE]
        ctx.count(
            priced=len(offers),
            active=len(standing),
            ended=len(found) - len(standing),
            presumed_other=sum(one.presumed_other and one.edge.shown for one in offers),
            without_depth=sum(not leg.depth_known for one in standing for leg in one.legs),
        )

    return arbitrage


async def _saved(found: Sequence[Arbitrage]) -> Unit:
    async def save(tx: Tx) -> None:
        await save_arbitrage(tx, found)

    return Unit(len(found), save)


async def _gapped(store: Store) -> tuple[list[Match], dict[str, Quote]]:
    """The proven pairs whose stored tops stand apart far enough to be worth a look, fees aside."""
    matches = await load_matches(store.reader, PROVEN)
    quotes = await load_latest_quotes(store.reader, {k for m in matches for k in (m.kalshi_key, m.polymarket_key)})
    return [one for one in matches if _stands_apart(one, quotes)], quotes


def _stands_apart(match: Match, quotes: Mapping[str, Quote]) -> bool:
    a, b = quotes.get(match.kalshi_key), quotes.get(match.polymarket_key)
    gap = None if a is None or b is None else rough_gap(judgement_of(match), a, b)
    return gap is not None and gap > float(SHOWN_ABOVE) / 2  # half: the books may have moved since


def judgement_of(match: Match) -> Judgement:
    """A stored verdict as the packages are made of it."""
    return Judgement(match.relation, match.yes_maps_to, match.reasons, match.by_time)


async def _events(store: Store, now: datetime, active: Sequence[Arbitrage]) -> list[list[Market]]:
    """Whole events in which a detector found sums or ladders priced wrong, and those shown before."""
    patterns = await load_patterns_since(store.reader, now - PATTERNS_SINCE, 0)
    keys = {one.market_key for one in patterns if one.detector in OF_EVENTS}
    keys |= {leg.market_key for one in active if one.match_id is None for leg in one.legs}
    markets = await load_markets(store.reader, keys)
    ids = {(m.venue.value, m.event_id) for m in markets.values() if m.event_id is not None}
    return await load_legs(store.reader, ids)


async def _look(store: Store, keys: set[str], known: Mapping[str, Quote], fees: FeeBook, ctx: RunContext) -> Look:
    markets = await load_markets(store.reader, keys)
    quotes = {**known, **await load_latest_quotes(store.reader, keys - known.keys())}
    seen_at = await load_seen_at(store.reader, keys)
    terms = await fees.load(list(markets.values()), ctx.now)
    tops, unseen = dict[str, Book](), dict[str, str]()
    for key, market in markets.items():
        market_terms = terms.get(key)
        if market_terms is None:
            unseen[key] = "nobody told its fees"
            ctx.count(fees_unknown=1)
        elif key not in quotes or key not in seen_at or ctx.now - seen_at[key] > STALE:
            unseen[key] = "its book was not looked at lately"
        elif market.status is MarketStatus.OPEN:
            tops[key] = replace(book_from_quote(quotes[key], market_terms), fetched_at=seen_at[key])
    return Look(markets, tops, unseen)


def possible(
    matches: Sequence[Match],
    events: Sequence[Sequence[Market]],
    markets: Mapping[str, Market],
    books: Mapping[str, Book],
) -> list[Possible]:
    """Every package these books allow. Pure."""
    found = list[Possible]()
    for match in matches:
        a, b = books.get(match.kalshi_key), books.get(match.polymarket_key)
        if a is None or b is None or match.kalshi_key not in markets or match.polymarket_key not in markets:
            continue
        judgement = judgement_of(match)
        doubts = suspicions(judgement, _mid(a), _mid(b))
        found += [Possible(package, match, doubts) for package in pair_packages(judgement, a, b)]
    for legs in events:
        members = [(market, books.get(market.market_key)) for market in legs]
        found += [Possible(package) for package in event_packages(members)]
        found += [Possible(package) for package in ladder_packages([(m, b) for m, b in members if b is not None])]
    return found


def _mid(book: Book) -> float | None:
    """The middle between what YES costs and what NO costs; None for a one-sided book."""
    if not book.yes_asks or not book.no_asks:
        return None
    return float(book.yes_asks[0].price + 1 - book.no_asks[0].price) / 2


def _priced(found: Sequence[Possible], markets: Mapping[str, Market], now: datetime) -> list[Offer]:
    """What each package earns, where it earns anything."""
    offers = list[Offer]()
    for one in found:
        ends = [end_time(markets[leg.book.market_key]) for leg in one.package.legs]
        known = [end for end in ends if end is not None]
        edge = price(one.package, now=now, pays_at=max(known) if len(known) == len(ends) else None)
        if edge is not None:
            offers.append(Offer(edge=edge, match=one.match, suspicions=one.suspicions))
    return offers


def worth_fetching(tops: Sequence[Offer]) -> list[str]:
    """Markets whose whole book may show something, by the tops of the books; the best package's first. Pure."""
    ahead = [
        one
        for one in sorted(tops, key=lambda one: -one.edge.rate)
        if one.edge.rate > SHOWN_ABOVE / 2 and not one.presumed_other and len(one.edge.package.legs) <= MOST_LEGS
    ]
    keys = dict.fromkeys(leg.book.market_key for one in ahead for leg in one.edge.package.legs)
    return list(keys)[:MOST_BOOKS]


async def _fetch_books(details: Mapping[Venue, VenueDetails], look: Look, keys: Sequence[str]) -> dict[str, Book]:
    """Whole books, all at once so that they stand side by side; what cannot be fetched keeps its top."""
    wanted = [key for key in keys if look.markets[key].venue in details]
    async with asyncio.TaskGroup() as group:
        tasks = {key: group.create_task(_fetch(details, look.markets[key], look.tops[key].fees)) for key in wanted}
    return {key: book for key, task in tasks.items() if (book := task.result()) is not None}


async def _fetch(details: Mapping[Venue, VenueDetails], market: Market, fees: Fees) -> Book | None:
    try:
        book = await details[market.venue].fetch_book(market)
    except VenueError as exc:
        log.info("book not fetched", action="book_not_fetched", market=market.market_key, reason=str(exc))
        return None
    return book_from_levels(
        market.market_key,
        book.fetched_at,
        bids=[(level.price, level.size) for level in book.bids],
        offers=[(level.price, level.size) for level in book.asks],
        fees=fees,
    )
