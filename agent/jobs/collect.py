"""Collect: read every open market of every venue, store what is news, then let the detectors look. Every 15 min.

Law: pages are stored as they arrive, about two thousand markets in a transaction, so memory stays flat and a crash
keeps what was read. A venue that fails, or whose format has drifted, leaves the others working: the run is partial and
says why.
"""

from collections.abc import Container, Iterable, Sequence
from datetime import datetime, timedelta

import structlog
import uuid_utils

from agent.core.instants import to_the_ms
from agent.core.patterns.base import Board, Detector, Finding, Guard, History, Pair
from agent.core.patterns.registry import findings, news
from agent.core.resolution import upheld
from agent.core.selection import Question, Thresholds, decide, has_life
from agent.errors import VenueError
from agent.jobs.context import Job, RunContext, Unit
from agent.store.db import Store
from agent.store.decisions import save_withheld
from agent.store.drift import Drift, load_drifts, load_habit, save_drift, save_profile
from agent.store.legs import load_listings
from agent.store.markets import load_markets, save_markets
from agent.store.matches import load_matches
from agent.store.patterns import load_recent_scores, save_patterns
from agent.store.quotes import load_boards, load_history, save_quotes
from agent.store.raw import save_raw
from agent.store.rejects import save_rejects
from agent.store.resolutions import load_overruled
from agent.store.tx import Tx
from agent.venues.base import Page, VenueClient
from agent.venues.drift import Watch, trusted_markets, trusted_quotes
from sync.records import Market, Pattern, Relation, YesMapsTo

LOOK_BACK = timedelta(hours=24)  # what a detector calls a market's habit
QUIET = timedelta(hours=6)  # the same finding is not said twice within this time
# On one board: their day of quotes is 35 MB with the usual 32 rows each, 105 MB if all change in every cycle.
BOARD_MARKETS = 2_000
# In one transaction: its fsync and the index pages it dirties are shared, and the writer is free again in 150 ms.
# Half as many cost a first cycle a fifteenth more of the processor, twice as many save little and hold 20 MB more.
SAVE_MARKETS = 2_000
REASONS_SAID = 4  # fields a run's reason names; the status has them all

log = structlog.get_logger("collect")


def collect_job(
    store: Store, venues: Sequence[VenueClient], detectors: Sequence[Detector], guard: Guard | None = None
) -> Job:
    """Wire the job."""

    async def collect(ctx: RunContext, slot: datetime) -> None:
        outcomes = await ctx.map(
            venues,
            key=lambda venue: f"{venue.venue}:{slot.isoformat()}",
            fn=lambda venue: walk(store, venue),
        )
        for outcome in outcomes:
            counts = outcome.value or {}
            for reason in (counts.pop("failure", None), counts.pop("drift", None)):
                if reason:
                    ctx.partial(reason)
            ctx.count(**counts)
        since = min(slot, ctx.now)  # a run begun again has pages that its first attempt stored
        found = await ctx.step(f"detect:{slot.isoformat()}", lambda: detect(store, detectors, ctx.now, guard, since))
        ctx.count(patterns=found)

    return collect


async def walk(store: Store, venue: VenueClient) -> Unit:
    """Read one venue to its end, or as far as it goes.

    A failure is a result here, not an exception: the pages before it are stored, and the venue's own client has
    tried again often enough.
    """
    counts = dict.fromkeys(("markets", "rejects", "dropped", "new", "changed", "withheld", "quotes", "unchanged"), 0)
    standing = (await load_drifts(store.reader)).get(venue.venue)
    watch = Watch(
        venue.venue, await load_habit(store.reader, venue.venue), set(standing.distrusted if standing else ())
    )
    overruled = await load_overruled(store.reader, venue.venue)
    said: dict[str, object] = {}
    held = list[Page]()
    oldest_s: float | None = None  # what a cache of the venue handed out at most; most say nothing

    async def save_held() -> None:
        for name, n in (await save_pages(store, watch, held)).items():
            counts[name] += n
        held.clear()

    try:
        async for page in venue.pages():
            watch.look(page)
            if page.age_s is not None:
                oldest_s = max(oldest_s or 0.0, page.age_s)
            page.markets = upheld(page.markets, overruled)
            held.append(page)
            if sum(len(one.markets) for one in held) >= SAVE_MARKETS:
                await save_held()
    except VenueError as exc:
        said["failure"] = f"{venue.venue}: {exc}"
        log.warning("venue failed", action="venue_failed", venue=venue.venue, reason=str(exc), advice=exc.advice)
    await save_held()
    if oldest_s is not None:
        counts["cache_age_s"] = round(oldest_s)
    if drift := await _judge(store, watch, complete=not said):
        said["drift"] = f"drift: {venue.venue}: {drift}"
    return Unit({f"{venue.venue}_{name}": n for name, n in counts.items()} | said)


async def save_pages(store: Store, watch: Watch, pages: Sequence[Page]) -> dict[str, int]:
    """Store some pages in one transaction: what can be trusted of them, and of that what is news."""
    now, lost = store.clock(), watch.lost_of_markets()
    markets = [market for page in pages for market in page.markets]
    if lost:
        markets = trusted_markets(markets, lost, await load_markets(store.reader, (m.market_key for m in markets)))
    read = [quote for page in pages for quote in page.quotes]
    quotes = {quote.market_key: quote for quote in trusted_quotes(read, watch.lost_of_quotes())}
    silent = {m.market_key: m for m in markets if not has_life(m, quotes.get(m.market_key))}
    rejects = [reject for page in pages for reject in page.rejects]
    async with store.write() as tx:
        ages = {key: quote.age_s for key, quote in quotes.items() if quote.age_s is not None}
        saved = await save_markets(tx, markets, silent.keys(), ages)
        for key in saved.withheld:
            quotes.pop(key, None)
        stored = await save_quotes(tx, list(quotes.values()), saved.ids)
        decisions = {
            saved.ids[key]: decide(Question.SEND, silent[key], None, Thresholds(), now) for key in saved.newly_withheld
        }
        await save_withheld(tx, decisions, released=[saved.ids[key] for key in saved.released], now=now)
        await save_rejects(tx, rejects, now)
    return {
        "markets": len(markets),
        "rejects": len(rejects),
        "dropped": sum(sum(page.n_dropped.values()) for page in pages),
        "new": saved.n_new,
        "changed": saved.n_changed,
        "withheld": len(saved.withheld),
        "quotes": stored.n_stored,
        "unchanged": stored.n_unchanged,
    }


async def _judge(store: Store, watch: Watch, *, complete: bool) -> str | None:
    """What the listing as a whole says about the format; returns it in words where anything of ours is lost.

    A listing cut off by a failure proves nothing about its length, and a field it shows healthy is not acquitted.
    """
    found, now = watch.found(), to_the_ms(store.clock())
    if complete:
        watch.judge(found)
    drift = Drift(
        venue=watch.venue,
        since=now,
        distrusted=tuple(sorted(watch.distrusted)),
        lost=tuple(sorted(watch.lost_of_quotes() | watch.lost_of_markets())),
        reasons=tuple(finding.words for finding in found),
        shrunk=watch.shrunk() if complete else None,
    )
    async with store.write() as tx:
        if complete:
            await save_profile(tx, watch.venue, watch.profile, good=not drift.harmful, now=now)
        if complete or drift.reasons:
            await save_drift(tx, drift)
        await save_raw(tx, watch.venue, watch.samples, reason=", ".join(drift.reasons), now=now)
    if drift.reasons:
        log.warning("format drift", action="format_drift", venue=watch.venue, reasons=drift.reasons, lost=drift.lost)
    return _in_words(drift)


def _in_words(drift: Drift) -> str | None:
    """What is missing, and the first reasons; None where nothing of ours is."""
    if not drift.lost:
        return drift.shrunk
    n_more = len(drift.reasons) - REASONS_SAID
    more = f"and {n_more} more fields" if n_more > 0 else None
    not_stored = f"not stored until healthy again: {', '.join(drift.lost)}"
    return ", ".join(filter(None, [drift.shrunk, not_stored, *drift.reasons[:REASONS_SAID], more]))


async def detect(
    store: Store,
    detectors: Sequence[Detector],
    now: datetime,
    guard: Guard | None = None,
    since: datetime | None = None,
) -> Unit:
    """Let the detectors look at what this cycle touched, some whole events at a time; keep what was not said lately.

    Args:
        since: when the cycle began; None: now.
    """
    said = await load_recent_scores(store.reader, now - QUIET)
    patterns, pairs = list[Pattern](), await _pairs(store)
    for market_ids in await load_boards(store.reader, touched_since=since or now, at_most=BOARD_MARKETS):
        quotes = await load_history(store.reader, now - LOOK_BACK, market_ids)
        markets = await load_markets(store.reader, quotes)
        histories = [History(markets[key], history) for key, history in quotes.items()]
        listings = await load_listings(store.reader, _exclusive_events(markets.values()))
        board = Board(histories, now, _on_board(pairs, markets), listings, guard or Guard())
        patterns += [_pattern(finding, now) for finding in news(findings(board, detectors), said)]

    async def save(tx: Tx) -> None:
        await save_patterns(tx, patterns)

    return Unit(len(patterns), save)


async def _pairs(store: Store) -> list[Pair]:
    """The questions asked on both venues, as the last verdicts have it."""
    return [
        Pair(match.kalshi_key, match.polymarket_key, inverted=match.yes_maps_to is YesMapsTo.NO)
        for match in await load_matches(store.reader, [Relation.EQUIVALENT])
    ]


def _on_board(pairs: Sequence[Pair], markets: Container[str]) -> list[Pair]:
    return [pair for pair in pairs if pair.left in markets and pair.right in markets]


def _exclusive_events(markets: Iterable[Market]) -> set[tuple[str, str]]:
    """The events whose legs add up: only there a leg that is missing matters."""
    return {
        (market.venue, market.event_id)
        for market in markets
        if market.mutually_exclusive and market.event_id is not None
    }


def _pattern(finding: Finding, now: datetime) -> Pattern:
    return Pattern(
        pattern_id=str(uuid_utils.uuid7()),
        market_key=finding.market_key,
        detector=finding.detector,
        score=finding.score,
        evidence=finding.evidence,
        detected_at=now,
    )
