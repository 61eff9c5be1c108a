"""Prompts: the versioned system texts, and the messages built around one market, or around a day of our findings.

Law: the system text is the same for every call of its kind (a cached prefix is half price), third-party words stand
only inside the fence, today's date comes last. A version is the file's name plus a hash of its content, so a changed
prompt can never pass for the old one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources

from agent.core.blind import BlindMarket
from agent.core.digest import Finding
from agent.core.market import spread
from agent.llm.safety import TEXT_CHARS, TITLE_CHARS, clean, fence
from agent.llm.schemas import ALIAS
from sync.records import Market, Pattern, Quote

DIGEST_TITLE_CHARS = 120  # two dozen titles stand side by side


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
    market: Market,
    quote: Quote | None,
    pattern: Pattern,
    *,
    forecast: float | None,
    now: datetime,
    marker: str,
    edges: Mapping[str, float | None] | None = None,
) -> Prompt:
    """Ask what a pattern means, with our numbers in plain sight.

    Args:
        edges: by side, what a contract of it should earn by our forecast.
    """
    system = system_text("analysis-v1")
    measured = {k: v for k, v in pattern.evidence.items() if isinstance(v, int | float)}
    quoted = {k: clean(v, TITLE_CHARS) for k, v in pattern.evidence.items() if isinstance(v, str)}
    ours = {"our own price-blind forecast of YES": forecast} | {
        f"edge of {side} by our forecast, after its ask and fee": one for side, one in (edges or {}).items()
    }
    parts = [
        f"Market {ALIAS} on {market.venue.value}.",
        "Our numbers:\n" + number_lines({**quote_numbers(quote), **ours}),
        f"Pattern: {pattern.detector}, score {pattern.score}\n" + number_lines(measured),
        fence(marker, {**fenced_words(market), "evidence": quoted or None}),
        date_lines(market.close_time, market.expected_time, now),
    ]
    return Prompt(system.text, "\n\n".join(parts), system.version, marker)


def render_forecast(market: BlindMarket, *, now: datetime, marker: str) -> Prompt:
    """Ask for a probability; the type of `market` has no place for a price."""
    system = system_text("forecast-v1")
    parts = [
        f"Question {ALIAS}.",
        fence(marker, fenced_words(market)),
        date_lines(market.close_time, market.expected_time, now),
    ]
    return Prompt(system.text, "\n\n".join(parts), system.version, marker)


def render_digest(findings: Sequence[Finding], *, now: datetime, marker: str) -> Prompt:
    """Ask for a day's order: our numbers in plain sight; titles, and sentences made from them, inside the fence."""
    system = system_text("digest-v1")
    words = {f.alias: _finding_words(f) for f in findings}
    parts = [
        "Our findings:\n" + "\n".join(_finding_numbers(f) for f in findings),
        fence(marker, words),
        date_lines(None, None, now),
    ]
    return Prompt(system.text, "\n\n".join(parts), system.version, marker)


def render_rules(a: Market, b: Market, *, now: datetime, marker: str) -> Prompt:
    """Ask how two rules texts relate. No price, no book, no other market: words alone."""
    system = system_text("rules-v1")
    parts = [
        "Markets A and B.",
        fence(marker, {name: _present(fenced_words(market)) for name, market in (("A", a), ("B", b))}),
        date_lines(None, None, now),
    ]
    return Prompt(system.text, "\n\n".join(parts), system.version, marker)


def _present(words: Mapping[str, object]) -> dict[str, object]:
    return {name: text for name, text in words.items() if text is not None}


def _finding_numbers(finding: Finding) -> str:
    insight, pattern, quote = finding.insight, finding.pattern, finding.quote
    shown = _pairs(
        {
            "bid": None if quote is None else quote.bid,
            "ask": None if quote is None else quote.ask,
            "volume in 24 h": None if quote is None else quote.volume_24h,
            "our price-blind forecast of YES": finding.forecast,
        }
    )
    if pattern is not None:
        measured = {k: v for k, v in pattern.evidence.items() if isinstance(v, int | float)}
        shown.append(
            f"pattern {pattern.detector} score {pattern.score} ({', '.join(_pairs(measured)) or 'no numbers'})"
        )
    if insight is not None:
        bounded = ", bounded by our rules" if insight.clamps else ""
        shown.append(
            f"our verdict {insight.recommendation.value} {insight.suggested_position.value},"
            f" {insight.confidence} % sure{bounded}"
        )
    return f"- {finding.alias} on {finding.market.venue.value}: {'; '.join(shown) or 'no numbers'}"


def _finding_words(finding: Finding) -> dict[str, object]:
    summary = None if finding.insight is None else clean(finding.insight.one_liner, TITLE_CHARS)
    words = {"title": clean(finding.title, DIGEST_TITLE_CHARS), "summary": summary}
    return {name: text for name, text in words.items() if text is not None}


def _pairs(numbers: Mapping[str, float | None]) -> list[str]:
    return [f"{name} {value:.10g}" for name, value in numbers.items() if value is not None]


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


def number_lines(numbers: Mapping[str, float | None]) -> str:
    """Our numbers, one a line; what is missing is left out."""
    shown = [f"- {name}: {value:.10g}" for name, value in numbers.items() if value is not None]
    return "\n".join(shown) if shown else "- none"


def fenced_words(market: Market | BlindMarket) -> dict[str, object]:
    """What third parties published about a question, cleaned and cut, for the inside of a fence."""
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


def date_lines(close_time: datetime | None, expected_time: datetime | None, now: datetime) -> str:
    """The stated ends and, last, today: everything before it can be cached."""
    known = [f"{word}: {moment:%Y-%m-%d %H:%M} UTC" for word, moment in
             (("Trading closes", close_time), ("Decision expected", expected_time)) if moment is not None]  # fmt: skip
    return "\n".join([*known, f"Today is {now:%Y-%m-%d}, {now:%H:%M} UTC."])
