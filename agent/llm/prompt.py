"""Prompts: the versioned system texts, and the messages built around one market.

Law: the system text is the same for every call of its kind (a cached prefix is half price), third-party words stand
only inside the fence, today's date comes last. A version is the file's name plus a hash of its content, so a changed
prompt can never pass for the old one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources

from agent.core.blind import BlindMarket
from agent.core.market import spread
from agent.llm.safety import TEXT_CHARS, TITLE_CHARS, clean, fence
from agent.llm.schemas import ALIAS
from sync.records import Market, Pattern, Quote


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request's words."""

    system: str
    user: str
    version: str
    marker: str  # must never come back in the answer


@dataclass(frozen=True, slots=True)
class SystemText:
    """One file of agent/llm/prompts."""

    text: str
    version: str


@cache
def system_text(name: str) -> SystemText:
    """The system text of a prompt file, e.g. "analysis-v1"."""
    text = (resources.files("agent.llm") / "prompts" / f"{name}.md").read_text(encoding="utf-8")
    return SystemText(text, f"{name}@{hashlib.sha256(text.encode()).hexdigest()[:8]}")


def render_analysis(
    market: Market, quote: Quote | None, pattern: Pattern, *, forecast: float | None, now: datetime, marker: str
) -> Prompt:
    """Ask what a pattern means, with our numbers in plain sight."""
    system = system_text("analysis-v1")
    measured = {k: v for k, v in pattern.evidence.items() if isinstance(v, int | float)}
    quoted = {k: clean(v, TITLE_CHARS) for k, v in pattern.evidence.items() if isinstance(v, str)}
    parts = [
        f"Market {ALIAS} on {market.venue.value}.",
        "Our numbers:\n" + _lines({**quote_numbers(quote), "our own price-blind forecast of YES": forecast}),
        f"Pattern: {pattern.detector}, score {pattern.score}\n" + _lines(measured),
        fence(marker, {**_words(market), "evidence": quoted or None}),
        _dates(market.close_time, market.expected_time, now),
    ]
    return Prompt(system.text, "\n\n".join(parts), system.version, marker)


def render_forecast(market: BlindMarket, *, now: datetime, marker: str) -> Prompt:
    """Ask for a probability; the type of `market` has no place for a price."""
    system = system_text("forecast-v1")
    parts = [
        f"Question {ALIAS}.",
        fence(marker, _words(market)),
        _dates(market.close_time, market.expected_time, now),
    ]
    return Prompt(system.text, "\n\n".join(parts), system.version, marker)


def quote_numbers(quote: Quote | None) -> dict[str, float | None]:
    """The numbers of a quote by the names we show them under."""
    if quote is None:
        return {}
    return {
        "bid": quote.bid,
        "ask": quote.ask,
        "mid": quote.mid,
        "spread": spread(quote.bid, quote.ask),
        "last trade": quote.last_price,
        "volume in 24 h": quote.volume_24h,
        "open interest": quote.open_interest,
        "liquidity in USD": quote.liquidity_usd,
    }


def _lines(numbers: Mapping[str, float | None]) -> str:
    shown = [f"- {name}: {value:.10g}" for name, value in numbers.items() if value is not None]
    return "\n".join(shown) if shown else "- none"


def _words(market: Market | BlindMarket) -> dict[str, object]:
    return {
        "title": clean(market.title, TITLE_CHARS),
        "event": _cleaned(market.event_title),
        "proposition": _cleaned(market.proposition),
        "outcomes": [clean(label, TITLE_CHARS) for label in market.outcome_labels[:10]] or None,
        "category": _cleaned(market.category),
        "rules": None if market.rules_text is None else clean(market.rules_text, TEXT_CHARS),
    }


def _cleaned(text: str | None) -> str | None:
    return None if text is None else clean(text, TITLE_CHARS)


def _dates(close_time: datetime | None, expected_time: datetime | None, now: datetime) -> str:
    known = [f"{word}: {moment:%Y-%m-%d %H:%M} UTC" for word, moment in
             (("Trading closes", close_time), ("Decision expected", expected_time)) if moment is not None]  # fmt: skip
    return "\n".join([*known, f"Today is {now:%Y-%m-%d}, {now:%H:%M} UTC."])
