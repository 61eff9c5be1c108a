"""Turns recorded payloads into what the exchange server serves: events with nested markets, frame by frame.

Law: no record is altered; they are unwrapped as agent/recordings.py does it. The folder lies outside the project and nothing is copied from it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.recordings import Json, events_in

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
