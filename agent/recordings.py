"""Reads recorded venue payloads as listings, stores and inspects them: the whole of collect, without any server.

Law: no record is altered; what a recorder wrapped is unwrapped, what came as bare markets is put back under the event
it names. The files are taken in the order of their names, a quarter hour apart, so that a series becomes a history.
Called by `oddsd once collect --recordings`.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from agent.core.patterns.base import Detector
from agent.errors import ConfigError, VenueDataError
from agent.jobs.collect import detect, save_pages
from agent.store.db import Store
from agent.venues import kalshi, polymarket
from agent.venues.base import Page
from agent.venues.drift import Watch
from sync.records import Venue

Json = dict[str, Any]
PARSE: dict[Venue, Callable[[bytes, datetime], Page]] = {
    Venue.POLYMARKET: polymarket.parse_page,
    Venue.KALSHI: kalshi.parse_page,
}
TICK = timedelta(minutes=15)
NO_LISTING = "no listing"


class FileCounts(msgspec.Struct, kw_only=True):
    """What became of one file. `note` says why nothing did, `error` what could not be read."""

    venue: Venue
    file: str
    records: int = 0
    markets: int = 0
    quotes: int = 0
    rejects: int = 0
    dropped: int = 0
    stored: int = 0  # rows of quotes that were news
    patterns: int = 0
    standing: dict[str, int] = {}  # markets by status and by resolution
    note: str | None = None
    error: str | None = None


async def collect_recordings(store: Store, folder: Path, detectors: Sequence[Detector]) -> list[FileCounts]:
    """Every file below folder/polymarket and folder/kalshi. Raises: ConfigError where there is none, StoreError."""
    files = [(venue, path) for venue in Venue for path in sorted((folder / venue).glob("*.*"))]
    if not files:
        raise ConfigError([f"{folder}: no recordings there: the folders polymarket and kalshi hold them"])
    first = store.clock() - len(files) * TICK
    return [
        await _collect_file(store, detectors, venue, path, first + number * TICK)
        for number, (venue, path) in enumerate(files)
    ]


async def _collect_file(
    store: Store, detectors: Sequence[Detector], venue: Venue, path: Path, now: datetime
) -> FileCounts:
    counts = FileCounts(venue=venue, file=path.name)
    try:
        page = read_file(venue, path, now)
    except VenueDataError as exc:
        counts.error = str(exc)
        return counts
    if page is None:
        counts.note = NO_LISTING
        return counts
    saved = await save_pages(store, Watch(venue, None, set()), [page])
    found = await detect(store, detectors, now)
    if found.save is not None:
        async with store.write() as tx:
            await found.save(tx)
    counts.records, counts.markets, counts.quotes = page.n_records, len(page.markets), len(page.quotes)
    counts.rejects, counts.dropped = saved["rejects"], saved["dropped"]
    counts.stored, counts.patterns = saved["quotes"], found.value
    counts.standing = Counter(market.status.value for market in page.markets)
    counts.standing.update(Counter(market.resolution.value for market in page.markets if market.resolution))
    return counts


def read_file(venue: Venue, path: Path, now: datetime) -> Page | None:
    """A recorded file as a page of its venue; None where it holds no listing. Raises: VenueDataError."""
    if path.suffix != ".json":
        return None
    try:
        events = events_in(json.loads(path.read_bytes()))
    except (ValueError, RecursionError) as exc:  # not JSON, or nested without end
        raise VenueDataError(f"{path.name}: not JSON: {exc}") from exc
    return PARSE[venue](json.dumps({"events": events}).encode(), now) if events else None


def events_in(document: Any) -> list[Json]:
    """The events of a recorded document, whatever it was wrapped in; bare markets are put back under their event."""
    events: dict[str, Json] = {}
    bare: list[Json] = []
    for record in _records_in(document):
        if _is_market(record):
            bare.append(record)
        else:
            events[_event_id(record)] = {**record, "markets": list(record.get("markets") or ())}
    for market in bare:
        parent = _parent(market)
        nested = {name: value for name, value in market.items() if name != "events"}
        events.setdefault(_event_id(parent), {**parent, "markets": []})["markets"].append(nested)
    return list(events.values())


def _records_in(document: Any) -> Iterator[Json]:
    """Whatever is an event or a market, from lists and wrappers of any depth."""
    if isinstance(document, list):
        for value in document:
            yield from _records_in(value)
    elif isinstance(document, dict):
        if _is_market(document) or _is_event(document):
            yield document
        else:
            for value in document.values():
                yield from _records_in(value)


def _is_market(record: Json) -> bool:
    """A whole record of Gamma or of Kalshi's v2; what a recorder derived from one lacks most of these."""
    return {"question", "conditionId", "outcomes"} <= record.keys() or {
        "ticker", "event_ticker", "title", "status",
    } <= record.keys()  # fmt: skip


def _is_event(record: Json) -> bool:
    return "title" in record and ("event_ticker" in record or {"id", "slug"} <= record.keys())


def _event_id(event: Json) -> str:
    return str(event.get("event_ticker") or event["id"])


def _parent(market: Json) -> Json:
    """The event a bare market names: Gamma nests a shallow one, Kalshi gives its ticker."""
    if market.get("events"):
        parent: Json = market["events"][0]
        return parent
    if "ticker" in market:
        ticker = market["event_ticker"]
        return {"event_ticker": ticker, "series_ticker": ticker.split("-")[0], "title": market.get("title", ticker)}
    return {"id": f"event-of-{market['id']}", "title": market.get("question", "")}


_COLUMNS = ("records", "markets", "quotes", "rejects", "dropped", "open", "unopened", "closed", "resolved",
            "patterns")  # fmt: skip


def render(files: Sequence[FileCounts]) -> str:
    """A table for people: a line for each file, a sum for each venue."""
    width = max(len(one.file) for one in files)
    lines = [f"{'file':<{width}}" + "".join(f"{name:>10}" for name in _COLUMNS)]
    for venue in Venue:
        own = [one for one in files if one.venue == venue]
        lines += ["", f"{venue}, {len(own)} files", *(_line(one, width) for one in own)]
        sums = [sum(_number(one, name) for one in own) for name in _COLUMNS]
        lines.append(f"{'sum':<{width}}" + "".join(f"{n:>10,}" for n in sums))
    n_errors = sum(one.error is not None for one in files)
    return "\n".join([*lines, "", f"{len(files)} files, {n_errors} exceptions"])


def _line(one: FileCounts, width: int) -> str:
    if said := one.error or one.note:
        return f"{one.file:<{width}}  {said}"
    return f"{one.file:<{width}}" + "".join(f"{_number(one, name) or '·':>10}" for name in _COLUMNS)


def _number(one: FileCounts, name: str) -> int:
    number: int = getattr(one, name, None) or one.standing.get(name, 0)
    return number
