"""Puts the gates of core/selection before what costs money or time, and keeps each answer that changed.

Called by jobs/analyse and jobs/predict before they spend anything.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from agent.core.selection import Decision, Question, Thresholds, decide
from agent.store.db import Store
from agent.store.decisions import save_decisions
from agent.store.quotes import load_latest_quotes
from sync.records import Market

LIMIT_GATE = "limit"


async def select(
    store: Store,
    question: Question,
    markets: Sequence[Market],
    thresholds: Thresholds,
    now: datetime,
    *,
    limit: int | None = None,
) -> list[Market]:
    """The markets that pass every gate, in the order given and at most `limit`; what stopped the others is stored."""
    quotes = await load_latest_quotes(store.reader, [market.market_key for market in markets])
    decisions = {
        market.market_key: decide(question, market, quotes.get(market.market_key), thresholds, now)
        for market in markets
    }
    passed = [market for market in markets if decisions[market.market_key].chosen]
    if limit is not None:
        decisions |= _beyond(passed, question, limit)
        passed = passed[:limit]
    async with store.write() as tx:
        await save_decisions(tx, decisions, now=now)
    return passed


def _beyond(passed: Sequence[Market], question: Question, limit: int) -> Mapping[str, Decision]:
    return {
        market.market_key: Decision(
            question, chosen=False, gate=LIMIT_GATE, reason=f"it came as number {place}, and a run takes {limit}"
        )
        for place, market in enumerate(passed[limit:], limit + 1)
    }
