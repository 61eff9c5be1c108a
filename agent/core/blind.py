"""What a price-blind forecaster may know of a market. Pure.

Law: no price, bid, ask, volume or anything computed from them has a place in these types, so none can reach a
prompt. Only words the venue published about the question itself pass, less sentences that quote the market's own
price, odds, volume or recent move. What is left out depends on the words alone, never on the price: else the gap would
tell. Called by the prediction jobs, which alone see both sides, and by whoever hands one model's words to another.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from sync.records import Market

LEFT_OUT = "[a sentence about this market's own price was left out]"

# A point between digits, or before them, is no end. Linear: a stranger's text of any length is read once.
_SENTENCE = re.compile(r"(?:[^.!?\n]|\.(?=\d))+[.!?]*|[.!?]+|\n")

_N = r"[-+~$]*\d*\.?\d"  # the beginning of a number, in any of its spellings
_MAYBE = r"(?:[^.!?\n]|\.(?=\d)){0,80}?"  # bounded: nobody's text may make this slow
_SIDE = r"(?-i:\bYES|\bYes|\bNO|\bNo)\b"
_CROWD = r"\b(?:polymarket|kalshi|traders?|bettors?|the crowd|(?:this|the|prediction|betting) markets?)\b"
_IS = r"(?:is |are |was |were |has |have |currently |now )*"
_END = r"(?=\s*(?:$|[,;/|)\].!?]|\b(?:yes|no)\b))"

_STANDS = r"\s*(?:is|was|at|of|stands at|:|=)?\s*"
_MOVED = r"(?:up|down|rose|risen|fell|fallen|moved|jumped|dropped|climbed|slid|gained|lost)"

# Narrow on purpose: "Will bitcoin trade above $100,000" is the question, "shares trade at 63 cents" is the answer.
_TELLS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bimplied (?:probability|odds|chance)\b",
        rf"\bodds (?:are|is|of|at|stand|stood|have|now|were)\b{_MAYBE}{_N}",
        rf"\bodds\s*[:=(]?\s*{_N}",
        r"\d\s?(?:to|:|/|-)\s?\d+\)?\s+(?:odds|favou?rites?|underdogs?|long ?shots?)\b",
        rf"\d\s?(?:%|percent)\s+(?:odds|implied|on {_CROWD})",
        rf"{_CROWD} {_IS}(?:it |this )?(?:trad|pric|giv|say|put|at\b)\w*{_MAYBE}{_N}",
        rf"{_CROWD} (?:see|expect|estimate|reckon)s?\b{_MAYBE}(?:\d\s?(?:%|percent)|\b0?\.\d)",
        rf"{_CROWD}{_MAYBE}\b(?:chance|probability|likelihood|likely)\b{_MAYBE}{_N}",
        rf"{_CROWD}{_MAYBE}\d\s?(?:%|percent){_MAYBE}\b(?:chance|probability|likelihood|likely)\b",
        rf"\b(?:shares?|contracts?|yes|no) {_IS}(?:trad|pric|sell|sold|cost|quot)\w*{_MAYBE}{_N}",
        rf"\b(?:last (?:traded|price|trade)(?: price)?|best (?:bid|ask))\b{_STANDS}{_N}",
        rf"\b(?:bid ?[/-] ?ask|mid[- ]?(?:price|point)|order book)\b{_STANDS}{_N}",
        r"\d\s?(?:¢|cents?\b)",
        rf"{_SIDE}\s*(?:@|at|:|=|-|\()?\s*[$~]?0?\.\d",
        rf"{_SIDE}\s*(?:@|at|is|:|=|-|\()?\s*~?\d{{1,2}}(?:\.\d+)?\s?(?:%|percent|c\b)\s*\)?{_END}",
        rf"\d\s?(?:%|percent)\s*{_SIDE}{_END}",
        rf"(?:{_SIDE}(?: shares?| contracts?)?|\bodds|\b(?:this|the) market) {_IS}{_MOVED}\b{_MAYBE}{_N}",
        rf"(?:^|{_CROWD}(?:'s)?|\btotal|\b24 ?h(?:ours?)?)\s*(?:volume|liquidity|open interest)\b{_STANDS}{_N}",
    )
)
# Nothing but a number with a unit, or a fraction, behind the question: a price. Alone it is the question.
_BARE = re.compile(r"[\s(\[|~\u2013\u2014-]*(?:0?\.\d+|[-+$]?\d+(?:\.\d+)?\s?(?:%|percent|c))[\s)\].]*", re.IGNORECASE)
_TRAILING = re.compile(r"\s*[(\[|]+\s*~?\$?(?:\d{0,3}\.\d+|\d{1,3}(?:\.\d+)?\s?(?:%|¢|c|cents?))\s*[)\]]*\s*$")


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


def blind(market: Market) -> BlindMarket | None:
    """The question as a forecaster may read it; None where its title speaks of nothing but its own price."""
    title = _headline(market.title)
    if not title.replace(LEFT_OUT, "").strip():
        return None
    return BlindMarket(
        market_key=market.market_key,
        title=title,
        event_title=_maybe(market.event_title),
        proposition=_maybe(market.proposition),
        outcome_labels=tuple(_headline(label) for label in market.outcome_labels),
        category=_maybe(market.category),
        rules_text=None if market.rules_text is None else without_own_price(market.rules_text),
        close_time=market.close_time,
        expected_time=market.expected_time,
    )


def without_own_price(text: str) -> str:
    """The text less each sentence that quotes what this market trades at, or how it moved."""
    passed = list[str]()
    for sentence in _SENTENCE.findall(text):
        seen = _as_seen(sentence)
        tells = any(tell.search(seen) for tell in _TELLS) or (any(passed) and _BARE.fullmatch(seen) is not None)
        blank = sentence[: len(sentence) - len(sentence.lstrip())]
        passed.append(f"{blank}{LEFT_OUT}" if tells else sentence)
    return "".join(passed).strip()


def _as_seen(sentence: str) -> str:
    """What a person reads: full-width digits are digits, zero-width signs are nothing."""
    plain = unicodedata.normalize("NFKC", sentence)
    return "".join(sign for sign in plain if unicodedata.category(sign) != "Cf")


def _headline(text: str) -> str:
    """A title or label: also less a price in brackets behind it."""
    return without_own_price(_TRAILING.sub("", unicodedata.normalize("NFKC", text)) or text)


def _maybe(text: str | None) -> str | None:
    return None if text is None else _headline(text)
