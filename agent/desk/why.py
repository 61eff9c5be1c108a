"""Why a market was or was not sent, analysed, predicted.

Law: what is told is the last stored decision, with its time, never a new one: an operator asks about what happened.
"""

from datetime import datetime
from typing import Any, ClassVar

import msgspec

from agent.core.selection import Question
from agent.desk.base import Ask, Desk
from agent.errors import UnknownMarket
from agent.store.decisions import MATCHES_SHOWN, Decided, find_markets, load_decisions
from agent.store.tx import Reader
from sync.records import Market

_NEVER = {
    Question.SEND: "its records travel: nothing withholds it",
    Question.ANALYSE: "no detector has found anything worth a look in it lately",
    Question.PREDICT: "it has not come into the window of a daily run",
}
_VERDICTS = {Question.SEND: "sent", Question.ANALYSE: "worth analysing", Question.PREDICT: "worth predicting"}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The last answer to one question; `chosen` and `decided_at` are None where it was never asked."""

    question: Question
    reason: str
    chosen: bool | None = None
    gate: str | None = None
    decided_at: datetime | None = None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """All answers about one market."""

    market_key: str
    title: str
    answers: tuple[Answer, ...]


class AskWhy(Ask[list[Why]], frozen=True, kw_only=True):
    """By market key, the venue's own id, or a part of titles."""

    verb: ClassVar[str] = "why"
    answer_type: ClassVar[Any] = list[Why]
    market: str

    async def answer(self, desk: Desk) -> list[Why]:
        """Raises: UnknownMarket."""
        return await load_why(desk.store.reader, self.market)


async def load_why(reader: Reader, words: str) -> list[Why]:
    """The answers about every market these words mean. Raises: UnknownMarket where there is none."""
    markets = await find_markets(reader, words)
    if not markets:
        advice = "give its key, its ticker or words of its title"
        raise UnknownMarket(f"no market we hold is {words!r:.80}", advice=advice)
    return [await _why(reader, market) for market in markets]


def render(found: list[Why]) -> str:
    """In words, a block for each market."""
    blocks = ["\n".join([f"{one.market_key}  {one.title}", *map(_line, one.answers)]) for one in found]
    if len(found) == MATCHES_SHOWN:
        blocks.append(f"(the first {MATCHES_SHOWN}; more words find fewer)")
    return "\n\n".join(blocks)


def _line(answer: Answer) -> str:
    if answer.chosen is None or answer.decided_at is None:
        return f"  {answer.question:<8} {answer.reason}"
    when = f"{answer.decided_at:%Y-%m-%d %H:%M} UTC"
    if answer.chosen:
        return f"  {answer.question:<8} {_VERDICTS[answer.question]}: {answer.reason} (since {when})"
    return (
        f"  {answer.question:<8} not {_VERDICTS[answer.question]}: {answer.reason} (since {when}, gate {answer.gate})"
    )


async def _why(reader: Reader, market: Market) -> Why:
    decided = await load_decisions(reader, market.market_key)
    return Why(
        market_key=market.market_key,
        title=market.title,
        answers=tuple(_answer(question, decided.get(question)) for question in Question),
    )


def _answer(question: Question, decided: Decided | None) -> Answer:
    if decided is None:
        return Answer(question=question, reason=_NEVER[question])
    decision = decided.decision
    return Answer(
        question=question,
        reason=decision.reason,
        chosen=decision.chosen,
        gate=decision.gate,
        decided_at=decided.decided_at,
    )
