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
from agent.store.forecasts import ForecastRow, load_last_forecasts
from agent.store.quotes import load_sight
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


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """What an experiment made of the market on the last day it was forecast, or why it did not."""

    experiment: str
    version: str
    model: str
    run_day: str
    state: str
    probability_yes: float | None = None
    reason: str | None = None


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """All answers about one market."""

    market_key: str
    title: str
    answers: tuple[Answer, ...]
    seen_at: datetime | None = None  # when the venue showed us its book last; None: never
    age_s: float | None = None  # of that, how long a cache of the venue's had held it when we looked
    forecasts: tuple[Spoken, ...] = ()


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
    blocks = [
        "\n".join(
            [f"{one.market_key}  {one.title}", _seen(one), *map(_line, one.answers), *map(_spoken_line, one.forecasts)]
        )
        for one in found
    ]
    if len(found) == MATCHES_SHOWN:
        blocks.append(f"(the first {MATCHES_SHOWN}; more words find fewer)")
    return "\n\n".join(blocks)


def _seen(one: Why) -> str:
    if one.seen_at is None:
        return "  seen     no quote of it is stored"
    cached = f", out of a cache that had held it for {one.age_s:.0f} s" if one.age_s else ""
    return f"  seen     book as of {one.seen_at:%Y-%m-%d %H:%M:%S} UTC{cached}"


def _line(answer: Answer) -> str:
    if answer.chosen is None or answer.decided_at is None:
        return f"  {answer.question:<8} {answer.reason}"
    when = f"{answer.decided_at:%Y-%m-%d %H:%M} UTC"
    if answer.chosen:
        return f"  {answer.question:<8} {_VERDICTS[answer.question]}: {answer.reason} (since {when})"
    return (
        f"  {answer.question:<8} not {_VERDICTS[answer.question]}: {answer.reason} (since {when}, gate {answer.gate})"
    )


def _spoken_line(spoken: Spoken) -> str:
    who = f"{spoken.experiment} {spoken.version} {spoken.model}".rstrip()
    if spoken.probability_yes is not None:
        return f"  {spoken.run_day} {who}: {spoken.probability_yes:.3f}"
    return f"  {spoken.run_day} {who}: {spoken.reason or 'findings only'}"


def _spoken(row: ForecastRow) -> Spoken:
    result = {} if row.body is None else msgspec.json.decode(row.body)["result"]
    return Spoken(
        experiment=row.key.experiment,
        version=row.key.version,
        model=row.key.model,
        run_day=row.key.run_day,
        state=row.state,
        probability_yes=result.get("probability_yes"),
        reason=row.reason,
    )


async def _why(reader: Reader, market: Market) -> Why:
    decided = await load_decisions(reader, market.market_key)
    sight = await load_sight(reader, market.market_key)
    return Why(
        market_key=market.market_key,
        title=market.title,
        answers=tuple(_answer(question, decided.get(question)) for question in Question),
        seen_at=None if sight is None else sight.seen_at,
        age_s=None if sight is None else sight.age_s,
        forecasts=tuple(_spoken(row) for row in await load_last_forecasts(reader, market.market_key)),
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
