"""Matching 10,000 listings of one venue with 10,000 of the other, then a tick; beside a plain join of the same blocks.

`python -m tests.bench.bench_matching` prints one JSON object. The listings are made: districts, nominees, prices in
ladders, games, goals, deadlines; half of each venue has its twin on the other. The baseline shares no code with the
matcher: words cut at blanks, joined through the words that few listings have, taken where half of them agree.
"""

import asyncio
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from agent.core.matching.candidates import Matcher
from agent.core.matching.words import STATES
from sync.records import Market, Venue
from tests.factories import NOON, make_market

LISTINGS = 10_000
TICK_LISTINGS = 500  # changed or new in a quarter hour; most ticks have far fewer
GOAL_S, GOAL_BYTES, GOAL_TICK_S = 20.0, 500_000_000, 1.0
_BLOCK = 200  # a word in more listings than this joins nothing, as in the matcher
_GIVEN = ("Ada", "Boris", "Carla", "Deniz", "Emil", "Fatma", "Gustav", "Hanna", "Ivo", "Jana")
_FAMILY = tuple(f"{start}{end}" for start in ("Al", "Ber", "Cor", "Dar", "Fel", "Gor", "Hol", "Kam", "Lund", "Mor")
                for end in ("berg", "dottir", "escu", "ini", "mann", "ova", "quist", "sen", "stein", "well"))  # fmt: skip
_TWIN = {
    "nominee": ("Will {name} be the Republican nominee for {district}?",) * 2,
    "house": ("Will Democratic win the House race for {district}?", "Will the Democratic Party win the {district} House seat?"),
    "price": ("Bitcoin above ${n:,} on {day}?", "Will the price of Bitcoin be above ${n:,} on {day}?"),
    "goals": ("{name}: {few}+ goals", "{name}: {few}+ goals"),
    "leave": ("Will {name} leave the cabinet before {day}?", "{name} out of the cabinet by {day}?"),
}  # fmt: skip


async def measure() -> dict[str, Any]:
    """Processor time and memory of the first match and of a tick."""
    kalshi, polymarket = _listings(Venue.KALSHI), _listings(Venue.POLYMARKET)
    both = [*kalshi, *polymarket]
    matcher, resident_before = Matcher(), _resident_bytes()
    first_s = _seconds(lambda: matcher.update(both))
    list_s = _seconds(matcher.candidates)
    grown_bytes = _resident_bytes() - resident_before
    candidates = matcher.candidates()
    moved = [msgspec.structs.replace(market, title=f"{market.title} (again)") for market in kalshi[:TICK_LISTINGS]]
    tick_s = _seconds(lambda: (matcher.update([*moved, *both[TICK_LISTINGS:]]), matcher.candidates()))
    plain_s = _seconds(lambda: _plain_join(kalshi, polymarket))
    return {
        "listings_per_venue": LISTINGS,
        "candidates": len(candidates),
        "mutual_best": sum(candidate.mutual_best for candidate in candidates),
        "first_match_s": round(first_s + list_s, 2),
        "goal_first_match_s": GOAL_S,
        "resident_growth_bytes": grown_bytes,
        "goal_bytes": GOAL_BYTES,
        "tick_listings_changed": TICK_LISTINGS,
        "tick_s": round(tick_s, 3),
        "goal_tick_s": GOAL_TICK_S,
        "plain_join_s": round(plain_s, 2),
        "ratio": round((first_s + list_s) / plain_s, 2),
        "goal_met": first_s + list_s < GOAL_S and grown_bytes < GOAL_BYTES and tick_s < GOAL_TICK_S,
    }


def _listings(venue: Venue) -> list[Market]:
    """The same questions in each venue's words; every other one is asked by this venue alone."""
    form = 0 if venue is Venue.KALSHI else 1
    questions = ((kind, number) for number in range(LISTINGS) for kind in _TWIN)
    return [
        _listing(venue, kind, number if number % 2 else 2 * number + 100_000 * (form + 1), _TWIN[kind][form])
        for kind, number in islice(questions, LISTINGS)
    ]


def _listing(venue: Venue, kind: str, number: int, text: str) -> Market:
    close = NOON + timedelta(days=number % 300)
    codes = [code.upper() for code in STATES.values()]
    title = text.format(
        name=f"{_GIVEN[number % 10]} {_FAMILY[number // 10 % 100]}{'' if number < 1000 else f' {_FAMILY[number % 97]}'}",
        district=f"{codes[number % 50]}-{number // 50 % 53 + 1:02}",
        n=20_000 + 250 * (number % 400),
        few=number % 3 + 1,
        day=f"{close:%B} {close.day}",
    )
    return make_market(
        market_key=f"{venue}:{kind}-{number}",
        title=title,
        proposition=None,
        event_title=None,
        outcome_labels=("Yes", "No"),
        close_time=close,
    )


def _plain_join(left: list[Market], right: list[Market]) -> int:
    blocks = defaultdict[str, list[int]](list)
    words = [frozenset(market.title.lower().split()) for market in right]
    for place, bag in enumerate(words):
        for word in bag:
            blocks[word].append(place)
    found = 0
    for market in left:
        bag = frozenset(market.title.lower().split())
        near = {place for word in bag if len(blocks[word]) <= _BLOCK for place in blocks[word]}
        found += sum(len(bag & words[place]) / len(bag | words[place]) >= 0.5 for place in near)
    return found


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure())))
