"""Resolve: how did the markets end that their listing no longer tells about? Every 4 hours.

Law: nothing is resolved by a price; the look-up's word is weighed with the venue's other sources (core/resolution),
and what contradicts itself stays disputed, with the reason kept. A question nobody answers is asked again, ever more
seldom, and never timed out. Predictions complete when the benchmark meets the resolved market.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b

import msgspec
import structlog

from agent.core.resolution import Evidence, Standing, Verdict, completed, decide, evidence_of, settled
from agent.errors import VenueDataError, VenueRejected
from agent.jobs.context import Job, RunContext, Unit
from agent.jobs.lookups import save_found
from agent.store.db import Store
from agent.store.resolutions import Unsettled, load_unsettled, save_verdicts
from agent.venues.base import Page, VenueDetails
from agent.venues.lookup import chunks
from sync.records import Market, MarketStatus, Resolution, Venue

PER_RUN = 800  # markets of a venue looked up in one run: two minutes at the venues' limits
CHUNK = 40  # one unit: one request of ids, and up to two more for each that has ended
GONE_AFTER = timedelta(days=1)  # unlisted and unknown by id for so long is gone; a new id may answer 404 for a while

_AN_INSTANT = timedelta(milliseconds=1)  # newer than the version we hold, which may be of the last look itself

log = structlog.get_logger("resolve")


def resolve_job(store: Store, details: Mapping[Venue, VenueDetails]) -> Job:
    """Wire the job."""

    async def resolve(ctx: RunContext, slot: datetime) -> None:
        owed = [
            (venue, chunk)
            for venue in details
            for chunk in chunks(await load_unsettled(store.reader, venue, ctx.now, PER_RUN), CHUNK)
        ]
        outcomes = await ctx.map(
            owed,
            key=lambda item: f"resolve:{slot.isoformat()}:{_digest(item[1])}",
            fn=lambda item: _settle(store, details[item[0]], item[1], ctx.now),
        )
        for outcome in outcomes:
            ctx.count(**(outcome.value or {}))

    return resolve


def _digest(chunk: Sequence[Unsettled]) -> str:
    keys = "\n".join(sorted(one.market.market_key for one in chunk))
    return blake2b(keys.encode(), digest_size=8).hexdigest()


async def _settle(store: Store, details: VenueDetails, chunk: Sequence[Unsettled], now: datetime) -> Unit:
    """Look a chunk up, weigh what is said, store the markets and then the verdicts."""
    page = await details.fetch_markets([one.market.venue_market_id for one in chunk])
    found = {market.market_key: market for market in page.markets}
    verdicts: dict[str, Verdict] = {}
    page.markets = []
    for one in chunk:
        key = one.market.market_key
        known = completed(found[key], one.market) if key in found else None
        verdicts[key] = await _verdict(details, one, known, now)
        record = settled(known or one.market, verdicts[key])
        if known is not None:
            page.markets.append(record)
        elif record != one.market:  # nobody showed it to us, so it counts as seen when it last was, and not now
            page.markets.append(msgspec.structs.replace(record, fetched_at=one.seen_at + _AN_INSTANT))
    await save_found(store, details.venue, page)
    async with store.write() as tx:
        await save_verdicts(tx, verdicts, _overruled(found, verdicts), now)
    return Unit(_counts(page, chunk, verdicts))


async def _verdict(details: VenueDetails, one: Unsettled, known: Market | None, now: datetime) -> Verdict:
    """What the sources amount to for one market."""
    said = [] if known is None else [evidence_of(known, "listing")]
    if said and said[0].standing is Standing.TRADING:
        return decide(said)
    unreadable = ""
    try:
        said += await details.fetch_evidence(known or one.market)
    except (VenueDataError, VenueRejected) as exc:  # a host that is away is another matter: the unit is tried again
        unreadable = f"; another source could not be read: {exc}"
        log.warning("evidence unreadable", action="evidence_unreadable", market=one.market.market_key, reason=str(exc))
    if known is None:
        return _unlisted(one, said, now, unreadable)
    verdict = decide(said)
    return Verdict(verdict.resolution, verdict.value, verdict.reason + unreadable)


def _unlisted(one: Unsettled, said: Sequence[Evidence], now: datetime, unreadable: str) -> Verdict:
    """The verdict on a market its venue no longer finds by id."""
    verdict = decide(said)
    answered = verdict.resolution not in (None, Resolution.UNKNOWN)
    if answered or now - one.seen_at < GONE_AFTER:
        word = verdict.resolution if answered else None
        return Verdict(word, verdict.value, f"not found by its id; {verdict.reason}{unreadable}")
    days = (now - one.seen_at) // timedelta(days=1)
    reason = f"gone: last listed {days} d ago and not found by its id; {verdict.reason}{unreadable}"
    return Verdict(Resolution.UNKNOWN, None, reason)


def _overruled(found: Mapping[str, Market], verdicts: Mapping[str, Verdict]) -> list[str]:
    """Where the listing tells an answer and the verdict is another."""
    return [
        key
        for key, verdict in verdicts.items()
        if key in found
        and found[key].status is MarketStatus.RESOLVED
        and (found[key].resolution, found[key].resolution_value) != (verdict.resolution, verdict.value)
    ]


def _counts(page: Page, chunk: Sequence[Unsettled], verdicts: Mapping[str, Verdict]) -> dict[str, int]:
    words = Counter("waiting" if one.resolution is None else one.resolution.value for one in verdicts.values())
    return dict(words) | {"looked_up": len(chunk), "rejects": len(page.rejects)}
