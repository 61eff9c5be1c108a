"""Reads one page of events with nested markets, or of bare markets: the shape both venues speak.

Law: a page is decoded in one go; only where that fails is it taken apart, so that a record in an unexpected shape
costs itself and not its neighbours. What a field means is the business of the venue's own module. Pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

from agent.errors import VenueDataError
from agent.venues import fields
from agent.venues.base import Page, Reject
from agent.venues.document import EXCERPT_BYTES, UNREADABLE, decoded
from sync.records import Venue

EventFacts = TypeVar("EventFacts")


class _RawPage(msgspec.Struct):
    events: list[Raw] | UnsetType | None = UNSET
    markets: list[Raw] | UnsetType | None = UNSET
    next_cursor: str | None = None  # Polymarket: absent at the end
    cursor: str | None = None  # Kalshi: empty at the end


class _RawEvent(msgspec.Struct):
    markets: list[Raw] | None = None


_PAGE = msgspec.json.Decoder(_RawPage)
_EVENT = msgspec.json.Decoder(_RawEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSyntax(Generic[EventFacts]):
    """How one venue's records are read; all of them raise msgspec's errors or VenueDataError."""

    venue: Venue
    read_whole: Callable[[bytes, Page], None]  # the quick way: everything on the page, or an exception
    read_event: Callable[[bytes], EventFacts]  # what an event tells about its markets
    read_market: Callable[[bytes, EventFacts | None, Page], None]  # None: the market came without its event


def read_page(body: bytes, syntax: VenueSyntax[EventFacts]) -> Page:
    """Normalise one answer. Raises: VenueDataError if it is not a page of this venue at all."""
    page = Page()
    try:
        syntax.read_whole(body, page)
    except UnicodeDecodeError:
        return _read_apart(fields.mended(body), syntax)
    except UNREADABLE:
        return _read_apart(body, syntax)
    return page


def _read_apart(body: bytes, syntax: VenueSyntax[EventFacts]) -> Page:
    raw = _raw_page(body, syntax.venue)
    page = Page(next_cursor=raw.next_cursor or raw.cursor or None)
    for index, event in enumerate(raw.events or ()):
        path = f"$.events[{index}]"
        facts: EventFacts | None = None
        legs: list[Raw] = []
        try:
            legs = _EVENT.decode(event).markets or []
            facts = syntax.read_event(event)
        except UNREADABLE as exc:
            page.rejects.append(_reject(syntax.venue, path, event, exc))  # its markets are read without it
        _read_markets(legs, facts, f"{path}.markets", page, syntax)
    _read_markets(raw.markets or (), None, "$.markets", page, syntax)
    return page


def _read_markets(
    records: Sequence[Raw], facts: EventFacts | None, path: str, page: Page, syntax: VenueSyntax[EventFacts]
) -> None:
    for index, record in enumerate(records):
        page.n_records += 1
        try:
            syntax.read_market(record, facts, page)
        except UNREADABLE as exc:
            page.rejects.append(_reject(syntax.venue, f"{path}[{index}]", record, exc))


def _raw_page(body: bytes, venue: Venue) -> _RawPage:
    raw = decoded(_PAGE, body, f"{venue}: page")
    if raw.events is UNSET and raw.markets is UNSET:
        raise VenueDataError(f"{venue}: a page without events or markets: {body[:EXCERPT_BYTES]!r}")
    return raw


def _reject(venue: Venue, path: str, record: Raw, cause: Exception) -> Reject:
    return Reject(venue=venue, reason=str(cause), path=path, body=bytes(record))
