"""Refresh-events and catalogue: looks that go beyond the open listing of collect.

Law: both are thin over the same clients and store pages as collect does. refresh-events (every 2 hours) reads the
events somebody waits for (an open forecast, a fresh pattern, the watch list) by their ids, ended legs included.
catalogue (daily) walks everything once more, adds what ended since the day before, reads the fee terms, and marks what
a complete walk no longer shows.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from agent.errors import VenueError
from agent.jobs.collect import walk
from agent.jobs.context import Job, RunContext, Unit
from agent.jobs.lookups import save_found
from agent.store.db import Store
from agent.store.history import save_fees
from agent.store.resolutions import load_watched_events, mark_unlisted
from agent.venues.base import VenueClient, VenueDetails
from agent.venues.lookup import chunks
from sync.records import Venue

EVENTS_PER_RUN = 400  # of a venue: ten requests
EVENTS_CHUNK = 40
WATCHED_FOR = timedelta(hours=24)  # after a pattern was found in an event
OVERLAP = timedelta(hours=30)  # "since yesterday", and some hours for a run that came late

log = structlog.get_logger("refresh")


def refresh_events_job(
    store: Store, details: Mapping[Venue, VenueDetails], watch: Collection[str] = frozenset()
) -> Job:
    """Wire the job.

    Args:
        watch: the watch list of the settings: market keys, the venues' own ids, event ids.
    """

    async def refresh_events(ctx: RunContext, slot: datetime) -> None:
        watched = list[tuple[Venue, list[str]]]()
        for venue in details:
            events = await load_watched_events(store.reader, venue, ctx.now - WATCHED_FOR, EVENTS_PER_RUN, watch)
            watched += [(venue, chunk) for chunk in chunks(events, EVENTS_CHUNK)]
        outcomes = await ctx.map(
            watched,
            key=lambda item: f"events:{slot.isoformat()}:{item[0]}:{item[1][0]}",
            fn=lambda item: _refresh(store, details[item[0]], item[1]),
        )
        for outcome in outcomes:
            ctx.count(**(outcome.value or {}))

    return refresh_events


async def _refresh(store: Store, details: VenueDetails, event_ids: Sequence[str]) -> Unit:
    page = await details.fetch_events(event_ids)
    n_missing = len(set(event_ids) - {market.event_id for market in page.markets})
    saved = await save_found(store, details.venue, page)
    return Unit({name: saved[name] for name in ("markets", "new", "changed", "rejects")} | {"missing": n_missing})


def catalogue_job(store: Store, venues: Sequence[VenueClient], details: Mapping[Venue, VenueDetails]) -> Job:
    """Wire the job."""

    async def catalogue(ctx: RunContext, slot: datetime) -> None:
        if await store.reader.fetch_value("SELECT 1 FROM markets LIMIT 1") is None:
            return  # the first start: collect is reading everything this very moment
        outcomes = await ctx.map(
            venues,
            key=lambda venue: f"catalogue:{venue.venue}:{slot.isoformat()}",
            fn=lambda venue: _catalogue(store, venue, details[venue.venue], ctx.now),
        )
        for outcome in outcomes:
            counts = outcome.value or {}
            for name in ("failure", "drift", "closed_failure"):
                if reason := counts.pop(name, None):
                    ctx.partial(reason)
            ctx.count(**counts)

    return catalogue


async def _catalogue(store: Store, venue: VenueClient, details: VenueDetails, now: datetime) -> Unit:
    """Everything one venue lists. Only a walk that came to its end can say what is missing from it."""
    began_at = store.clock()
    counts: dict[str, object] = dict((await walk(store, venue)).value)
    name = venue.venue.value
    try:
        n_ended = 0
        async for page in details.closed_since(now - OVERLAP):
            n_ended += (await save_found(store, venue.venue, page))["markets"]
        fees = await details.fetch_fees()
    except VenueError as exc:
        log.warning("catalogue incomplete", action="catalogue_incomplete", venue=name, reason=str(exc))
        return Unit(counts | {"closed_failure": f"{name}: {exc}"})
    async with store.write() as tx:
        counts[f"{name}_fee_changes"] = await save_fees(tx, venue.venue, fees)
        if "failure" not in counts:
            counts[f"{name}_disappeared"] = await mark_unlisted(tx, venue.venue, began_at, store.clock())
    return Unit(counts | {f"{name}_ended": n_ended})
