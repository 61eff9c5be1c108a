"""Pairs of markets over both venues: the last verdict on each, and what a comparison of their rules came to."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from agent.core.instants import to_ms
from agent.core.matching.rules import RulesVerdict
from agent.store.tx import Reader, Tx
from sync.records import Match

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Match).decode
_decode_verdict = msgspec.json.Decoder(RulesVerdict).decode


async def save_matches(tx: Tx, matches: Sequence[Match]) -> int:
    """Store verdicts, each in place of the pair's last, and let them travel. Returns: how many.

    One on a market the store does not hold (any more) is left out: an operator's list may name anything.
    """
    stored = list[Match]()
    for match in matches:
        changed = await tx.execute(
            "INSERT INTO matches (kalshi_id, polymarket_id, relation, yes_maps_to, judged_at, body)"
            " SELECT k.id, p.id, ?, ?, ?, ? FROM markets k, markets p WHERE k.market_key = ? AND p.market_key = ?"
            " ON CONFLICT (kalshi_id, polymarket_id) DO UPDATE SET relation = excluded.relation,"
            " yes_maps_to = excluded.yes_maps_to, judged_at = excluded.judged_at, body = excluded.body",
            (
                match.relation,
                match.yes_maps_to,
                to_ms(match.judged_at),
                _encode(match),
                match.kalshi_key,
                match.polymarket_key,
            ),
        )
        stored += [match] if changed else []
    tx.emit(*stored)
    return len(stored)


async def load_matches(reader: Reader, relations: Iterable[str] | None = None) -> list[Match]:
    """The last verdict of every pair whose markets are both open, of some relations only or of all."""
    wanted = None if relations is None else json.dumps(list(relations))
    rows = await reader.fetch(
        "SELECT m.body FROM matches m JOIN markets k ON k.id = m.kalshi_id JOIN markets p ON p.id = m.polymarket_id"
        " WHERE k.status = 'open' AND p.status = 'open'"
        " AND (?1 IS NULL OR m.relation IN (SELECT value FROM json_each(?1)))",
        (wanted,),
    )
    return [_decode(row["body"]) for row in rows]


async def save_rules_verdict(tx: Tx, rules_hash: str, verdict: RulesVerdict, at: datetime) -> None:
    """Keep what was paid for."""
    await tx.execute(
        "INSERT INTO rule_verdicts (rules_hash, prompt_version, judged_at, body) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (rules_hash, verdict.prompt_version, to_ms(at), _encode(verdict)),
    )


async def load_rules_verdicts(reader: Reader, hashes: Iterable[str], prompt_version: str) -> Mapping[str, RulesVerdict]:
    """What is known of these texts, by hash."""
    rows = await reader.fetch(
        "SELECT rules_hash, body FROM rule_verdicts WHERE prompt_version = ?"
        " AND rules_hash IN (SELECT value FROM json_each(?))",
        (prompt_version, json.dumps(list(hashes))),
    )
    return {row["rules_hash"]: _decode_verdict(row["body"]) for row in rows}


async def load_changed(reader: Reader, since: datetime | None, after: int, limit: int) -> tuple[list[bytes], int]:
    """Encoded markets whose listing changed since a moment, or all that are open.

    Those nobody ever quoted are left out, and of all open ones those a complete walk no longer found.

    Args:
        after: the row id the page before ended with; 0 begins.
    Returns: a page and the row id it ends with.
    """
    if since is None:
        rows = await reader.fetch(
            "SELECT m.id, m.body FROM markets m LEFT JOIN sights s ON s.market_id = m.id"
            " WHERE m.id > ? AND m.status = 'open' AND m.withheld = 0"
            " AND (m.unlisted_at IS NULL OR m.unlisted_at < s.seen_at) ORDER BY m.id LIMIT ?",
            (after, limit),
        )
    else:
        rows = await reader.fetch(  # +id: by the index on changed_at, not by walking all rows
            "SELECT id, body FROM markets WHERE +id > ? AND changed_at >= ? AND withheld = 0 ORDER BY +id LIMIT ?",
            (after, to_ms(since), limit),
        )
    return [row["body"] for row in rows], rows[-1]["id"] if rows else after


async def load_unlisted(reader: Reader, since: datetime) -> list[str]:
    """Keys of markets a complete walk has not found any more since a moment."""
    rows = await reader.fetch("SELECT market_key FROM markets WHERE unlisted_at >= ?", (to_ms(since),))
    return [row["market_key"] for row in rows]
