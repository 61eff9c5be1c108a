"""The same question at two venues, priced apart: the bid at one stands above the ask at the other.

False-positive guard: executable prices of two live books, never mids; both seen lately (see base.Guard); and no habit
of standing apart. A pair whose prices are usually apart, drift to and fro, or stand apart by more than any real gap is
two questions that only look alike (a strike off by a hair, another closing hour), as most "gaps" are.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from agent.core.patterns.base import Board, Evidence, Finding, History, Pair, finding, score_between
from agent.core.patterns.knobs import knob
from agent.core.robust import habit


@dataclass(frozen=True, slots=True)
class CrossVenueGap:
    """Detector `cross_venue_gap`; reports on the side that is cheap to buy."""

    name: ClassVar[str] = "cross_venue_gap"
    min_gap: float = knob(0.03, "three points: both venues' fees near one half together", low=0.001, high=1)
    max_gap: float = knob(0.25, "wider and it is not the same question", low=0.02, high=1)
    max_usual_gap: float = knob(0.03, "median difference of the mids: a pair that always differs is no pair", low=0.001)
    min_z: float = knob(4.0, "robust sigmas of that difference: two questions drift to and fro", low=1)
    min_rows: int = knob(4, "shared looks before the pair has a habit", low=1)
    full_score_gap: float = knob(0.15, "a bigger gap is rather a wrong pair than better news", low=0.01)

    def find(self, board: Board) -> Iterator[Finding]:
        """Pairs priced apart just now."""
        for pair in board.pairs:
            left, right = board.by_key.get(pair.left), board.by_key.get(pair.right)
            if left is None or right is None:
                continue
            evidence, cheap = self._judge(pair, left, right)
            if evidence is not None and cheap is not None:
                yield finding(self, cheap, evidence)

    def score(self, evidence: Mapping[str, float | str]) -> int:
        """By the gap."""
        return score_between(float(evidence["gap"]), 0.0, self.full_score_gap)

    def _judge(self, pair: Pair, left: History, right: History) -> tuple[Evidence | None, History | None]:
        ours, theirs = _book(left), _book(right, inverted=pair.inverted)
        if ours is None or theirs is None:
            return None, None
        buy_left, buy_right = theirs[0] - ours[1], ours[0] - theirs[1]
        gap = round(max(buy_left, buy_right), 9)
        if not self.min_gap <= gap <= self.max_gap:
            return None, None
        differences = _differences(left, right, inverted=pair.inverted)
        if len(differences) < self.min_rows:
            return None, None
        usual, sigma = habit(differences)
        if abs(usual) > self.max_usual_gap or gap < self.min_z * sigma:
            return None, None
        cheap, dear = (left, right) if buy_left >= buy_right else (right, left)
        return {
            "ask": ours[1] if cheap is left else theirs[1],
            "bid_at_other": theirs[0] if cheap is left else ours[0],
            "other_market": dear.market.market_key,
            "orientation": "inverted" if pair.inverted else "same",
            "gap": gap,
            "usual_gap": round(usual, 6),
            "usual_spread_of_gaps": round(sigma, 6),
        }, cheap


def _book(history: History, *, inverted: bool = False) -> tuple[float, float] | None:
    """Bid and ask in the words of the pair's left side; None where they make no sane book."""
    bid, ask = history.latest.bid, history.latest.ask
    if bid is None or ask is None or history.latest.mid is None:
        return None
    return (round(1 - ask, 9), round(1 - bid, 9)) if inverted else (bid, ask)


def _differences(left: History, right: History, *, inverted: bool) -> list[float]:
    """How far the mids were apart whenever the left one was stored, the newest look left out."""
    differences = list[float]()
    for mid, at in zip(left.mids[:-1], left.mid_times[:-1], strict=True):
        place = bisect_right(right.mid_times, at) - 1
        if place >= 0:
            other = right.mids[place]
            differences.append(mid - (1 - other if inverted else other))
    return differences
