"""The market as it stood when it was forecast: no opinion, the state every later look is held against."""

from typing import Literal

from agent.core.market import spread
from agent.experiments.base import ExperimentResult, ExperimentSkip, SightedContext
from sync.records import Market


class BaselineSnapshot:
    """Findings only: the book, the trade, the volumes. Nothing of it enters the record as a forecast."""

    name = "baseline_snapshot"
    version = "1"
    requires: tuple[str, ...] = ()
    asks_model = False
    saw_price: Literal[True] = True

    async def run(self, market: Market, context: SightedContext) -> ExperimentResult | ExperimentSkip:
        """Note what is there; what is missing is absent."""
        quote = context.quote
        if quote is None:
            return ExperimentSkip("no quote of it is stored")
        noted = {
            "stored_at": quote.fetched_at.isoformat(),
            "status": market.status.value,
            "bid": quote.bid,
            "ask": quote.ask,
            "mid": quote.mid,
            "spread": spread(quote.bid, quote.ask),
            "last_price": quote.last_price,
            "volume_24h": quote.volume_24h,
            "open_interest": quote.open_interest,
            "liquidity_usd": quote.liquidity_usd,
        }
        return ExperimentResult(
            probability_yes=None, payload={name: value for name, value in noted.items() if value is not None}
        )
