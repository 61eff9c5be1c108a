"""What pays for certain now, as the last run found it: gross, fees, net, size, steps.

Law: told is what was stored, with its age; nothing is priced anew for an operator, who would act on it as if it stood.
"""

from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec

from agent.desk.base import Ask, Desk
from agent.store.arbitrage import load_active, load_ended
from sync.records import Arbitrage

ENDED_SHOWN = 5
ENDED_SINCE = timedelta(hours=24)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What is there, and what there was."""

    asked_at: datetime
    active: tuple[Arbitrage, ...]
    ended: tuple[Arbitrage, ...]  # of the last day, the newest


class AskArbitrage(Ask[Found], frozen=True, kw_only=True):
    """Everything there is, or what is worth at least so much."""

    verb: ClassVar[str] = "arbitrage"
    answer_type: ClassVar[Any] = Found
    min_net_edge: float = 0.0

    async def answer(self, desk: Desk) -> Found:
        """Never fails: where nothing was found, nothing is told."""
        active = [one for one in await load_active(desk.store.reader) if one.net_edge >= self.min_net_edge]
        ended = await load_ended(desk.store.reader, desk.now - ENDED_SINCE, ENDED_SHOWN)
        return Found(asked_at=desk.now, active=tuple(active), ended=tuple(ended))


def render(found: Found) -> str:
    """In words, a block for each package."""
    blocks = [_block(one, found.asked_at) for one in found.active] or ["nothing pays for certain, as of the last run"]
    if found.ended:
        lines = [f"  {one.computed_at:%m-%d %H:%M} UTC  {_name(one)}: {one.ended_reason}" for one in found.ended]
        blocks.append("\n".join(["ended in the last day:", *lines]))
    return "\n\n".join(blocks)


def _block(one: Arbitrage, now: datetime) -> str:
    yearly = "" if one.annualised is None else f", {100 * one.annualised:.0f} % a year"
    age_min = (now - one.computed_at) / timedelta(minutes=1)
    lines = [
        f"{_name(one)}  net {100 * one.net_edge:.2f} %{yearly}, {one.confidence} % sure, {age_min:.0f} min ago",
        f"  gross {one.gross_usd:.2f} - fees {one.fees_usd:.2f} = net {one.net_usd:.2f} USD, {_size(one)}",
    ]
    lines += [
        f"  {leg.side:<3} {leg.price.normalize():f} (limit {leg.worst_price.normalize():f}, fee {leg.fee_usd:.2f},"
        f" book {leg.book_age_s:.0f} s)  {leg.market_key}  {leg.title}"
        for leg in one.legs
    ]
    for heading, words in (("why", one.reasons), ("step", one.steps), ("risk", one.risks), ("but", one.assumptions)):
        lines += [f"  {heading:<5} {sentence}" for sentence in words]
    return "\n".join(lines)


def _size(one: Arbitrage) -> str:
    depth = "" if all(leg.depth_known for leg in one.legs) else " (assumed, the depth is not known)"
    return f"{one.cost_usd:.2f} for {one.size.normalize():f} of each{depth}"


def _name(one: Arbitrage) -> str:
    return one.arbitrage_kind.value.replace("_", " ").lower()
