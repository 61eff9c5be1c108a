"""The questions of forecasters beyond the plain one: what is known (asked in parallel), a forecast on it, and one that
is told the price.

Law: the shapes are strict, the reasoning stands before the number, and only `render_informed` has an argument a price
could come in by. Texts a model wrote are fenced like a stranger's when they are shown to the next one.
"""

from collections.abc import Mapping
from datetime import datetime

from agent.core.blind import BlindMarket
from agent.llm.prompt import Prompt, date_lines, fenced_words, number_lines, quote_numbers, system_text
from agent.llm.safety import clean, fence
from agent.llm.schemas import ALIAS, MarketReply, ReplySchema, enum_of, object_of, text_of
from sync.records import Market, Quote

FINDING_CHARS = 1_200

# Each is asked by itself: one model, one aspect, no story that carries the others along.
RESEARCH_QUESTIONS: Mapping[str, str] = {
    "base_rate": "How often have things of this kind happened, over what span and in how many cases? Name the"
    " reference classes, the narrow one and the wide one.",
    "status_quo": "How did this stand when you last knew of it, who decides it by what procedure, and what would have"
    " to happen by the date given for a YES? Say from when your knowledge is.",
    "rules": "How do the resolution rules decide edge cases: deadlines, sources, partial events, cancellation? What"
    " would make a plausible YES count as NO, or the other way round?",
}


class ResearchReply(MarketReply, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model knows of one aspect; no number to copy."""

    findings: str
    gaps: str


RESEARCH = ReplySchema(
    name="research",
    json_schema=object_of(
        {
            "market": enum_of([ALIAS]),
            "findings": text_of("What you know that bears on it, in at most six sentences; facts before judgement."),
            "gaps": text_of("What you do not know and would have to, in one or two sentences."),
        }
    ),
    reply=ResearchReply,
    aliases=(ALIAS,),
    max_completion_tokens=1_200,
    temperature=0.3,
    effort="low",
)


def render_research(market: BlindMarket, aspect: str, *, now: datetime, marker: str) -> Prompt:
    """Ask about one aspect of a question."""
    system = system_text("research-v1")
    parts = [
        f"Question {ALIAS}. The aspect: {RESEARCH_QUESTIONS[aspect]}",
        fence(marker, fenced_words(market)),
        date_lines(market.close_time, market.expected_time, now),
    ]
    return Prompt(system.text, "\n\n".join(parts), system.version, marker)


def render_researched(market: BlindMarket, findings: Mapping[str, str], *, now: datetime, marker: str) -> Prompt:
    """Ask for a probability, with what was found beside the question; both inside the fence."""
    system = system_text("researched-v1")
    noted = {f"notes on {aspect}": clean(text, FINDING_CHARS) for aspect, text in findings.items()}
    parts = [
        f"Question {ALIAS}.",
        fence(marker, {**fenced_words(market), **noted}),
        date_lines(market.close_time, market.expected_time, now),
    ]
    return Prompt(system.text, "\n\n".join(parts), system.version, marker)


def render_informed(market: Market, quote: Quote, *, now: datetime, marker: str) -> Prompt:
    """Ask for a probability with the market's numbers in plain sight."""
    system = system_text("informed-v1")
    parts = [
        f"Question {ALIAS} on {market.venue.value}.",
        "What the market shows:\n" + number_lines(quote_numbers(quote)),
        fence(marker, fenced_words(market)),
        date_lines(market.close_time, market.expected_time, now),
    ]
    return Prompt(system.text, "\n\n".join(parts), system.version, marker)
