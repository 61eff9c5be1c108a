"""Collect: read every open market of every venue, store what is news, then let the detectors look. Every 15 min.

Law: pages are stored as they arrive, each in its own transaction, so memory stays flat and a crash keeps what was
read. A venue that fails leaves the others working: the run is partial and says why.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
import uuid_utils

from agent.core.patterns.base import Board, Detector, Finding, History
from agent.core.patterns.registry import findings, news
from agent.errors import VenueError
from agent.jobs.context import Job, RunContext, Unit
from agent.store.db import Store, Tx
from agent.store.markets import load_markets, save_markets
from agent.store.patterns import load_recent_scores, save_patterns
from agent.store.quotes import load_history, save_quotes
from agent.store.rejects import save_rejects
from agent.venues.base import Page, VenueClient
from sync.records import Pattern

LOOK_BACK = timedelta(hours=24)  # what a detector calls a market's habit
QUIET = timedelta(hours=6)  # the same finding is not said twice within this time

log = structlog.get_logger("collect")


def collect_job(store: Store, venues: Sequence[VenueClient], detectors: Sequence[Detector]) -> Job:
    """Wire the job."""

    async def collect(ctx: RunContext, slot: datetime) -> None:
        outcomes = await ctx.map(
            venues,
            key=lambda venue: f"{venue.venue}:{slot.isoformat()}",
            fn=lambda venue: _walk(store, venue),
        )
        for outcome in outcomes:
            counts = outcome.value or {}
            reason = outcome.error or counts.pop("failure", None)
            if reason:
                ctx.partial(reason)
            ctx.count(**counts)
        found = await ctx.step(f"detect:{slot.isoformat()}", lambda: _detect(store, detectors, ctx.now))
        ctx.count(patterns=found)

    return collect


async def _walk(store: Store, venue: VenueClient) -> Unit:
    """Read one venue to its end, or as far as it goes.

    A failure is a result here, not an exception: the pages before it are stored, and the venue's own client has
    tried again often enough.
    """
    counts = dict.fromkeys(("markets", "rejects", "dropped", "new", "changed", "quotes", "unchanged"), 0)
    failure: str | None = None
    try:
        async for page in venue.pages():
            for name, n in (await _save(store, page)).items():
                counts[name] += n
    except VenueError as exc:
        failure = f"{venue.venue}: {exc}"
        log.warning("venue failed", action="venue_failed", venue=venue.venue, reason=str(exc), advice=exc.advice)
    prefixed: dict[str, object] = {f"{venue.venue}_{name}": n for name, n in counts.items()}
    return Unit(prefixed if failure is None else prefixed | {"failure": failure})


async def _save(store: Store, page: Page) -> dict[str, int]:
    async with store.write() as tx:
        markets = await save_markets(tx, page.markets)
        quotes = await save_quotes(tx, page.quotes, markets.ids)
        await save_rejects(tx, page.rejects, store.clock())
    return {
        "markets": len(page.markets),
        "rejects": len(page.rejects),
        "dropped": sum(page.n_dropped.values()),
        "new": markets.n_new,
        "changed": markets.n_changed,
        "quotes": quotes.n_stored,
        "unchanged": quotes.n_unchanged,
    }


async def _detect(store: Store, detectors: Sequence[Detector], now: datetime) -> Unit:
    """Let the detectors look at what this cycle touched; keep what was not said lately."""
    quotes = await load_history(store.reader, now - LOOK_BACK, touched_since=now)
    markets = await load_markets(store.reader, quotes)
    board = Board([History(markets[key], history) for key, history in quotes.items()], now)
    said = await load_recent_scores(store.reader, now - QUIET)
    patterns = [_pattern(finding, now) for finding in news(findings(board, detectors), said)]

    async def save(tx: Tx) -> None:
        await save_patterns(tx, patterns)

    return Unit(len(patterns), save)


def _pattern(finding: Finding, now: datetime) -> Pattern:
    return Pattern(
        pattern_id=str(uuid_utils.uuid7()),
        market_key=finding.market_key,
        detector=finding.detector,
        score=finding.score,
        evidence=finding.evidence,
        detected_at=now,
    )
