"""How a market ended, weighed from what several sources say about it. Pure.

Law: a pinned price is no evidence; a source counts as final only where it says that the answer can no longer turn
round. Finals that contradict each other are a dispute. A source that is behind (still trading, proposed, disputed)
blocks a single final and is outvoted by two that agree. What nobody says stays None. Called by jobs/resolve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from agent.core.market import resolution_from_value
from sync.records import Market, MarketStatus, Resolution

SAME_VALUE: Final = 0.01
"""Payouts this near say the same: a refund is written as 0.5 by one source and as 0.4999 by another."""

_OUTVOTE: Final = 2  # so many finals in agreement outvote a source that lags


class Standing(StrEnum):
    """What one source says about the state of a market's answer."""

    TRADING = "trading"
    PENDING = "pending"  # trading is over; an answer is awaited or proposed and can still turn round
    DISPUTED = "disputed"
    FINAL = "final"
    SILENT = "silent"  # closed, or not known there, and nothing said about the answer


@dataclass(frozen=True, slots=True)
class Evidence:
    """One source's word. `value` is what a YES contract pays there; FINAL without one is a refund of unknown height."""

    source: str
    standing: Standing
    value: float | None = None

    def __str__(self) -> str:
        """As a reason reads."""
        paid = "" if self.value is None else f" pays {self.value:g}"
        return f"{self.source} {self.standing}{paid}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence amounts to; None while nobody has decided. `reason` is kept beside it."""

    resolution: Resolution | None
    value: float | None
    reason: str


def evidence_of(market: Market, source: str) -> Evidence:
    """What a market record, as its venue's listing or look-up gave it, says about its own answer."""
    if market.resolution is Resolution.DISPUTED:
        return Evidence(source, Standing.DISPUTED)
    if market.resolution is Resolution.UNKNOWN:
        return Evidence(source, Standing.SILENT)
    if market.status is MarketStatus.RESOLVED:
        return Evidence(source, Standing.FINAL, market.resolution_value)
    if market.status is not MarketStatus.CLOSED:
        return Evidence(source, Standing.TRADING)
    return Evidence(source, Standing.PENDING)


def decide(evidence: Sequence[Evidence]) -> Verdict:
    """Weigh what the sources say. The order of the evidence does not matter, save for the wording of the reason."""
    said = "; ".join(map(str, evidence)) or "no source knows this market"
    values = [one.value for one in evidence if one.standing is Standing.FINAL and one.value is not None]
    behind = {one.standing for one in evidence} & {Standing.TRADING, Standing.PENDING, Standing.DISPUTED}
    if values and max(values) - min(values) > SAME_VALUE:
        return Verdict(Resolution.DISPUTED, None, f"the sources contradict each other: {said}")
    if values and (not behind or len(values) >= _OUTVOTE):
        return Verdict(resolution_from_value(values[0]), values[0], said)
    if Standing.DISPUTED in behind:
        return Verdict(Resolution.DISPUTED, None, said)
    if behind or not evidence:
        return Verdict(None, None, f"not decided: {said}")
    if any(one.standing is Standing.FINAL for one in evidence):
        return Verdict(Resolution.VOID, None, said)
    return Verdict(Resolution.UNKNOWN, None, f"closed without an answer: {said}")


def settled(found: Market, verdict: Verdict) -> Market:
    """The market as the verdict leaves it: resolved only where there is an answer, else closed at most."""
    answered = verdict.resolution in (Resolution.YES, Resolution.NO, Resolution.VOID)
    status = MarketStatus.RESOLVED if answered else found.status
    if not answered and (found.status is MarketStatus.RESOLVED or verdict.resolution is Resolution.UNKNOWN):
        status = MarketStatus.CLOSED
    return msgspec.structs.replace(
        found, status=status, resolution=verdict.resolution, resolution_value=verdict.value if answered else None
    )


def upheld(markets: Sequence[Market], overruled: Mapping[str, Verdict]) -> list[Market]:
    """A listing's markets under the verdicts that contradict it: what is disputed does not come back as settled."""
    return [
        settled(market, overruled[market.market_key])
        if market.market_key in overruled and market.status is MarketStatus.RESOLVED
        else market
        for market in markets
    ]


_OF_THE_MOMENT: Final = frozenset({"resolution", "resolution_value", "closed_time"})


def completed(found: Market, held: Market | None) -> Market:
    """Fill what a look-up without its event leaves out from the record we hold, so that nothing known is lost.

    What speaks of the moment (an answer, an end) is never taken over.
    """
    if held is None:
        return found
    missing = {
        name: old
        for name in Market.__struct_fields__
        if name not in _OF_THE_MOMENT
        and getattr(found, name) in (None, ())
        and (old := getattr(held, name)) not in (None, ())
    }
    return msgspec.structs.replace(found, **missing) if missing else found
