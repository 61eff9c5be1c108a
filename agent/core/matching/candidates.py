"""Finds which listings of the two venues can ask the same thing: an index of rare tokens, never a cross product. Pure.

Law: at most CANDIDATES per market on either side; DIFFERENT is never kept; what is kept is ordered by itself (relation,
tokens in common, keys), never by when it came. Holds readings between ticks, so that a tick reads only what changed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from heapq import nsmallest
from math import log
from typing import Final

from agent.core.matching.judge import Judgement, judge
from agent.core.matching.reading import Reading, is_combo, read
from sync.records import Market, MarketStatus, Relation, Venue

CANDIDATES: Final = 5
_LOOKED_AT: Final = 16  # judged per market, the nearest by shared rare tokens
_POSTINGS: Final = 800  # listings touched per look-up: rare tokens first, so the common ones rarely get a turn
_RANK: Final = {
    Relation.EQUIVALENT: 0, Relation.A_IMPLIES_B: 1, Relation.B_IMPLIES_A: 1, Relation.OVERLAP: 2, Relation.UNCLEAR: 3,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Two listings that may ask the same; the judgement's A is the Kalshi one."""

    kalshi_key: str
    polymarket_key: str
    judgement: Judgement
    score: float  # share of tokens in common, 0..1
    mutual_best: bool  # each is the other's first candidate


class Index:
    """The readings of one venue, found by their tokens."""

    def __init__(self) -> None:
        self._readings: dict[str, Reading] = {}
        self._tokens: dict[str, frozenset[str]] = {}
        self._postings: dict[str, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._readings)

    def put(self, reading: Reading) -> None:
        """Know a reading, in place of an older one of the same market."""
        self.drop(reading.key)
        self._readings[reading.key] = reading
        found = self._tokens[reading.key] = features(reading)
        for token in found:
            self._postings[token].add(reading.key)

    def drop(self, key: str) -> None:
        """Forget a market; unknown ones are fine."""
        if self._readings.pop(key, None) is None:
            return
        for token in self._tokens.pop(key):
            postings = self._postings[token]
            postings.discard(key)
            if not postings:
                del self._postings[token]

    def nearest(self, reading: Reading) -> Iterator[tuple[Reading, float]]:
        """The readings that share the rarest tokens, and the share of all tokens they have in common."""
        wanted = features(reading)
        known = sorted((len(self._postings[token]), token) for token in wanted if token in self._postings)
        weights, room = dict[str, float](), _POSTINGS
        for n_postings, token in known:
            if room < n_postings and weights:
                break
            room -= n_postings
            weight = log(1 + len(self._readings) / n_postings)
            for key in self._postings[token]:
                weights[key] = weights.get(key, 0.0) + weight
        for _, key in nsmallest(_LOOKED_AT, ((-weight, key) for key, weight in weights.items())):
            theirs = self._tokens[key]
            yield self._readings[key], len(wanted & theirs) / len(wanted | theirs)


class Matcher:
    """The listings of both venues and the pairs among them, kept current tick by tick."""

    def __init__(self) -> None:
        self._indexes = {Venue.KALSHI: Index(), Venue.POLYMARKET: Index()}
        self._texts: dict[str, bytes] = {}
        self._pairs: dict[tuple[str, str], tuple[Judgement, float]] = {}
        self._partners: dict[str, set[str]] = defaultdict(set)

    def update(self, changed: Iterable[Market], gone: Iterable[str] = ()) -> int:
        """Take in new and changed listings and forget those that are gone or no longer open.

        Returns: how many listings had to be read: those whose text or ends are new.
        """
        for key in gone:
            self._forget(key)
        fresh = list[Reading]()
        for market in changed:
            if market.status is not MarketStatus.OPEN or is_combo(market):
                self._forget(market.market_key)
            elif self._texts.get(market.market_key) != (text := _text(market)):
                self._forget(market.market_key)
                self._texts[market.market_key] = text
                reading = read(market)
                self._indexes[market.venue].put(reading)
                fresh.append(reading)
        for reading in fresh:
            self._pair(reading)
        return len(fresh)

    def candidates(self) -> list[Candidate]:
        """Every pair worth a look, at most CANDIDATES per market, best first."""
        ordered = sorted(self._pairs, key=self._order)
        taken, first = defaultdict[str, int](int), dict[str, str]()
        kept = list[tuple[str, str]]()
        for pair in ordered:
            if any(taken[key] >= CANDIDATES for key in pair):
                continue
            kept.append(pair)
            for key, other in (pair, pair[::-1]):
                taken[key] += 1
                first.setdefault(key, other)
        return [
            Candidate(
                kalshi_key=pair[0],
                polymarket_key=pair[1],
                judgement=self._pairs[pair][0],
                score=self._pairs[pair][1],
                mutual_best=first[pair[0]] == pair[1] and first[pair[1]] == pair[0],
            )
            for pair in kept
        ]

    def _pair(self, reading: Reading) -> None:
        kalshi = reading.venue is Venue.KALSHI
        for other, score in self._indexes[Venue.POLYMARKET if kalshi else Venue.KALSHI].nearest(reading):
            pair = (reading.key, other.key) if kalshi else (other.key, reading.key)
            if pair in self._pairs:
                continue
            judgement = judge(reading, other) if kalshi else judge(other, reading)
            if judgement.relation is not Relation.DIFFERENT:
                self._pairs[pair] = judgement, score
                self._partners[pair[0]].add(pair[1])
                self._partners[pair[1]].add(pair[0])

    def _forget(self, key: str) -> None:
        if self._texts.pop(key, None) is None:
            return
        for index in self._indexes.values():
            index.drop(key)
        for other in self._partners.pop(key, ()):
            self._partners[other].discard(key)
            self._pairs.pop((key, other), None)
            self._pairs.pop((other, key), None)

    def _order(self, pair: tuple[str, str]) -> tuple[int, float, tuple[str, str]]:
        judgement, score = self._pairs[pair]
        return _RANK[judgement.relation], -score, pair


def features(reading: Reading) -> frozenset[str]:
    """The tokens a reading is found by: its words, and its typed parts as tokens of their own."""
    found = set(reading.words) | reading.districts
    if reading.fixture is not None:
        found |= reading.fixture.words
    found |= {f"#{number}" for number in reading.amounts.mentions}
    found |= {f"#{end}" for line in reading.amounts.ranges for end in (line.low, line.high) if end is not None}
    found |= {f"@{window.end:%m-%d}" for window in reading.moments.windows if window.end is not None}
    return frozenset(found)


def _text(market: Market) -> bytes:
    """Digest of all that a reading is made of: while it stands, so does the reading."""
    parts = (
        market.title, market.proposition, market.event_title, market.outcome_labels, market.close_time,
        market.expected_time, market.url, market.strike_type, market.floor_strike, market.cap_strike,
    )  # fmt: skip
    return blake2b(repr(parts).encode(), digest_size=16).digest()
