"""Turns recorded payloads into what the exchange server serves: events with nested markets, frame by frame.

Law: no record is altered; what a recorder wrapped is unwrapped, what came as bare markets is put back under the
event it names. The folder lies outside the project and nothing is copied from it.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_GAMMA_FRAMES = (
    ("gamma_markets_series_20250507T0232Z", "gamma_events_series_20250611"),
    ("gamma_markets_series_20250507T0708Z", "gamma_events_series_20250611"),
    ("gamma_markets_series_20250507T1712Z", "gamma_events_series_20250624"),
    ("gamma_markets_series_20250507T2138Z", "gamma_events_series_20250624"),
)
_KALSHI_FRAMES = ("noon", "noon", "evening", "evening")  # of 16 March 2026
_KALSHI_ALWAYS = (
    "cockpit_events_sports_nested",
    "cockpit_events_nfl_preseason",
    "events_nested_2026_six",
    "events_nested_2026_two",
)


@dataclass(slots=True)
class Frame:
    """What both venues list at one tick."""

    gamma_events: list[Json]
    kalshi_events: list[Json]


def recorded_frames(folder: Path) -> list[Frame]:
    """Four ticks made of the recordings in `folder`."""
    always = [event for name in _KALSHI_ALWAYS for event in events_in(_load(folder / "kalshi" / f"{name}.json"))]
    frames = []
    for gamma_names, daytime in zip(_GAMMA_FRAMES, _KALSHI_FRAMES, strict=True):
        gamma = [event for name in gamma_names for event in events_in(_load(folder / "polymarket" / f"{name}.json"))]
        gamma += events_in(_load(folder / "polymarket" / "gamma_events_2026_two.json"))
        madness = events_in(_load(folder / "kalshi" / f"markets_marchmadness_20260316_{daytime}.json"))
        frames.append(Frame(_merged(gamma, "id", "id"), _merged([*always, *madness], "event_ticker", "ticker")))
    return frames


def events_in(document: Any) -> list[Json]:
    """The events of a recorded document, whatever it was wrapped in; bare markets are put back under their event."""
    events: dict[str, Json] = {}
    bare: list[Json] = []
    for record in _records_in(document):
        if "question" in record or ("ticker" in record and "event_ticker" in record):
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
        is_market = "question" in document or {"ticker", "event_ticker", "title"} <= document.keys()
        is_event = "title" in document and ("event_ticker" in document or "slug" in document)
        if is_market or is_event:
            yield document
        else:
            for value in document.values():
                yield from _records_in(value)


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


def _merged(events: Iterable[Json], event_key: str, market_key: str) -> list[Json]:
    """One event per id, one market per id; the first mention counts."""
    merged: dict[str, Json] = {}
    seen: set[str] = set()
    for event in events:
        fresh = [market for market in event["markets"] if market[market_key] not in seen]
        seen |= {market[market_key] for market in fresh}
        if event[event_key] in merged:
            merged[event[event_key]]["markets"] += fresh
        elif fresh:
            merged[event[event_key]] = {**event, "markets": fresh}
    return list(merged.values())


def _load(path: Path) -> Any:
    return json.loads(path.read_bytes())
