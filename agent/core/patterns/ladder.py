"""Rungs of one ladder priced the wrong way round: "over 9.5" dearer than "over 8.5", "by June" dearer than "by July".

What happens at the harder rung happens at the easier one too, so buying the easier at its ask and selling the harder
at its bid cannot lose. False-positive guard: judged at those two executable prices and never at mids; both books live
and uncrossed; both rungs of one event with texts that are the same but for the threshold (see core/thresholds);
exclusive events are no ladders, their numbers are bins.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from agent.core.patterns.base import Board, Evidence, Finding, History, event_key, finding, score_between
from agent.core.patterns.knobs import knob
from agent.core.thresholds import Rung, rungs

_Step = tuple[Rung, History]


@dataclass(frozen=True, slots=True)
class Ladder:
    """Detector `ladder`; reports on the dearer, harder rung."""

    name: ClassVar[str] = "ladder"
    min_gap: float = knob(0.02, "bid above ask by this much: the fees of two trades", low=0.001, high=1)
    full_score_gap: float = knob(0.15, "a bigger gap is no better news than this one", low=0.01)

    def find(self, board: Board) -> Iterator[Finding]:
        """The worst inversion of each ladder."""
        for steps in _ladders(board).values():
            evidence, harder = self._worst(steps)
            if evidence is not None and harder is not None:
                yield finding(self, harder, evidence)

    def score(self, evidence: Mapping[str, float | str]) -> int:
        """By the gap between the harder rung's bid and the easier one's ask."""
        return score_between(float(evidence["gap"]), 0.0, self.full_score_gap)

    def _worst(self, steps: Sequence[_Step]) -> tuple[Evidence | None, History | None]:
        """Walk from the easiest rung to the hardest, remembering the cheapest ask on the way."""
        ordered = sorted(steps, key=lambda step: -step[0].value if step[0].rising else step[0].value)
        worst, evidence, harder = self.min_gap, None, None
        cheapest: _Step | None = None
        for rung, history in ordered:
            bid, ask = history.latest.bid, history.latest.ask
            if bid is None or ask is None or bid >= ask:
                continue
            if cheapest is not None and (floor := cheapest[1].latest.ask) is not None:
                gap = round(bid - floor, 9)
                if gap >= worst and rung.value != cheapest[0].value:
                    worst, harder = gap, history
                    evidence = _evidence(cheapest, (rung, history), gap)
            if cheapest is None or ask < (cheapest[1].latest.ask or 1.0):
                cheapest = (rung, history)
        return evidence, harder


def _ladders(board: Board) -> dict[tuple[str, str], list[_Step]]:
    """Live rungs by event and ladder, where there are at least two."""
    found = defaultdict[tuple[str, str], list[_Step]](list)
    sizes = defaultdict[str, int](int)
    candidates = list[tuple[str, History]]()
    for history in board.live:
        if not history.market.mutually_exclusive and (key := event_key(history.market)) is not None:
            sizes[key] += 1
            candidates.append((key, history))
    for key, history in candidates:
        if sizes[key] > 1:  # a market alone is no ladder, and reading its words is the dear part
            for rung in rungs(history.market):
                found[key, rung.ladder].append((rung, history))
    return {name: steps for name, steps in found.items() if len(steps) > 1}


def _evidence(easier: _Step, harder: _Step, gap: float) -> Evidence:
    ask, bid = easier[1].latest.ask, harder[1].latest.bid
    return {
        "easier": easier[0].shown,
        "easier_market": easier[1].market.market_key,
        "easier_ask": 1.0 if ask is None else ask,
        "harder": harder[0].shown,
        "harder_bid": 0.0 if bid is None else bid,
        "gap": gap,
    }
