"""The last decision per market and question, written when it changes; what is withheld from the cloud, and why."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from agent.core.instants import from_ms, to_ms
from agent.core.selection import Decision, Question
from agent.store.tx import Reader, Tx
from sync.records import Market

MATCHES_SHOWN = 20  # of a search by words; more and the words should be more

_decode = msgspec.json.Decoder(Market).decode


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A stored decision."""

    decision: Decision
    decided_at: datetime


async def save_decisions(tx: Tx, decisions: Mapping[str, Decision], *, now: datetime) -> None:
    """Write down each decision, by market key, that differs from the last one in its answer or its gate."""
    await tx.execute_many(
        "INSERT INTO decisions (market_id, question, chosen, gate, reason, decided_at)"
        f" SELECT id, ?, ?, ?, ?, ? FROM markets WHERE market_key = ? {_ON_CHANGE}",
        [(*_answer(decision), to_ms(now), key) for key, decision in decisions.items()],
    )


async def save_withheld(tx: Tx, decisions: Mapping[int, Decision], *, released: Sequence[int], now: datetime) -> None:
    """Write down what is withheld from now on, and forget it for what travels now; by row id."""
    if decisions:
        await tx.execute_many(
            "INSERT INTO decisions (market_id, question, chosen, gate, reason, decided_at)"
            f" VALUES (?, ?, ?, ?, ?, ?) {_ON_CHANGE}",
            [(market_id, *_answer(decision), to_ms(now)) for market_id, decision in decisions.items()],
        )
    if released:
        await tx.execute_many(
            "DELETE FROM decisions WHERE market_id = ? AND question = ?",
            [(market_id, Question.SEND) for market_id in released],
        )


_ON_CHANGE = (
    "ON CONFLICT (market_id, question) DO UPDATE SET chosen = excluded.chosen, gate = excluded.gate,"
    " reason = excluded.reason, decided_at = excluded.decided_at"
    " WHERE chosen <> excluded.chosen OR gate <> excluded.gate"
)


def _answer(decision: Decision) -> tuple[str, bool, str, str]:
    return decision.question, decision.chosen, decision.gate, decision.reason


async def load_decisions(reader: Reader, market_key: str) -> dict[Question, Decided]:
    """The last decisions about a market; a question never asked is absent."""
    rows = await reader.fetch(
        "SELECT d.* FROM decisions d JOIN markets m ON m.id = d.market_id WHERE m.market_key = ?", (market_key,)
    )
    return {
        Question(row["question"]): Decided(
            decision=Decision(Question(row["question"]), bool(row["chosen"]), row["gate"], row["reason"]),
            decided_at=from_ms(row["decided_at"]),
        )
        for row in rows
    }


async def find_markets(reader: Reader, words: str) -> list[Market]:
    """Markets meant by a market key, a venue's own id or a part of the title; where one is exact, that one alone."""
    exact = await reader.fetch(
        "SELECT body FROM markets WHERE market_key IN (?, 'kalshi:' || ?, 'polymarket:' || ?, 'kalshi:' || upper(?))",
        (words,) * 4,
    )
    rows = exact or await reader.fetch(
        "SELECT body FROM markets JOIN sights ON market_id = id"
        " WHERE instr(lower(json_extract(CAST(body AS TEXT), '$.title')), lower(?)) > 0"
        " ORDER BY status <> 'open', seen_at DESC, id LIMIT ?",
        (words, MATCHES_SHOWN),
    )
    return [_decode(row["body"]) for row in rows]
