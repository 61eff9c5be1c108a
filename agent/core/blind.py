"""What a price-blind forecaster may know of a market. Pure.

Law: no price, bid, ask, volume or anything computed from them has a place in these types, so none can reach a
prompt. Only words the venue published about the question itself pass, less sentences that quote the market's own
price. Called by the prediction job, which alone sees both sides.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from sync.records import Market

LEFT_OUT = "[a sentence about this market's own price was left out]"

# Narrow on purpose: "Will bitcoin trade above $100,000" is the question, "shares trade at 63 cents" is the answer.
_SPEAKS_OF_OWN_PRICE = re.compile(
    r"[^.!?\n]*(?:"
    r"\bimplied (?:probability|odds|chance)\b"
    r"|\b(?:the |current |market )?odds (?:are|is|of|at|stand|stood|have)\b[^.!?\n]*\d"
    r"|\b(?:this|the) market (?:is |currently |now )*(?:trad|pric|giv|say|put)\w*[^.!?\n]*\d"
    r"|\b(?:shares?|contracts?|yes|no) (?:is |are |currently |now )*(?:trad|pric|sell|cost)\w*[^.!?\n]*\d"
    r"|\d\s?(?:¢|cents?\b)"
    r")(?:\.\d|[^.!?\n])*[.!?]?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindMarket:
    """A question without its market."""

    market_key: str
    title: str
    event_title: str | None
    proposition: str | None
    outcome_labels: tuple[str, ...]
    category: str | None
    rules_text: str | None
    close_time: datetime | None
    expected_time: datetime | None


def blind(market: Market) -> BlindMarket:
    """The question as a forecaster may read it."""
    return BlindMarket(
        market_key=market.market_key,
        title=without_own_price(market.title),
        event_title=_maybe(market.event_title),
        proposition=_maybe(market.proposition),
        outcome_labels=market.outcome_labels,
        category=market.category,
        rules_text=_maybe(market.rules_text),
        close_time=market.close_time,
        expected_time=market.expected_time,
    )


def without_own_price(text: str) -> str:
    """The text less each sentence that quotes what this market trades at."""
    return _SPEAKS_OF_OWN_PRICE.sub(f" {LEFT_OUT}", text).strip()


def _maybe(text: str | None) -> str | None:
    return None if text is None else without_own_price(text)
