"""What a glance at the house wants from several families: best insight, standing edges, dead units, watched markets.

Law: cheap enough for every few seconds; what is not there is None and never an empty word.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from agent.core.instants import moment, to_ms
from agent.store.tx import Reader
from sync.records import Insight

WATCHED_SHOWN = 20  # each is an entity in somebody's house; an event of 200 legs is not meant
INSIGHT_CHARS = 255  # the longest state Home Assistant takes
_DAY = timedelta(days=1)

_decode_insight = msgspec.json.Decoder(Insight).decode


class WatchedMarket(msgspec.Struct, frozen=True, kw_only=True):
    """A market of the watch list with the price last seen."""

    market_key: str
    title: str
    mid: float | None
    seen_at: datetime | None


async def load_top_insight(reader: Reader, *, now: datetime) -> str | None:
    """The day's best insight that still stands, in one line; None where there is none."""
    row = await reader.fetch_one(
        "SELECT i.body, json_extract(CAST(m.body AS TEXT), '$.title') AS title"
        " FROM insights i JOIN markets m ON m.id = i.market_id WHERE i.created_at >= ? AND i.expires_at > ?"
        " ORDER BY json_extract(CAST(i.body AS TEXT), '$.actionable') DESC,"
        " json_extract(CAST(i.body AS TEXT), '$.confidence') DESC, i.created_at DESC LIMIT 1",
        (to_ms(now - _DAY), to_ms(now)),
    )
    if row is None:
        return None
    insight = _decode_insight(row["body"])
    text = f"{insight.recommendation.value} {insight.confidence} %: {insight.one_liner} ({row['title']})"
    return text if len(text) <= INSIGHT_CHARS else text[: INSIGHT_CHARS - 1] + "…"


async def load_watched(reader: Reader, watch: Sequence[str]) -> list[WatchedMarket]:
    """The open markets a watch list means, in the order of their keys: by key, venues' own id, event id."""
    rows = await reader.fetch(
        "WITH wanted AS (SELECT value AS word FROM json_each(:words)), found AS ("
        " SELECT m.id FROM wanted JOIN markets m ON m.market_key IN (word, 'kalshi:' || word, 'polymarket:' || word)"
        " UNION SELECT m.id FROM wanted JOIN markets m ON m.venue IN ('kalshi', 'polymarket') AND m.event_id = word)"
        " SELECT m.market_key, json_extract(CAST(m.body AS TEXT), '$.title') AS title, q.mid, q.seen_at"
        " FROM found JOIN markets m USING (id) LEFT JOIN quotes_latest q ON q.market_id = m.id"
        " WHERE m.status = 'open' ORDER BY m.market_key LIMIT :limit",
        {"words": json.dumps(list(watch)), "limit": WATCHED_SHOWN},
    )
    return [
        WatchedMarket(
            market_key=row["market_key"],
            title=row["title"],
            mid=row["mid"],
            seen_at=moment(row["seen_at"]),
        )
        for row in rows
    ]


async def load_arbitrage(reader: Reader) -> int:
    """How many edges stand, as far as we saw last."""
    return int(await reader.fetch_value("SELECT count(*) FROM arbitrage WHERE status = 'ACTIVE'"))


async def load_dead_letters(reader: Reader) -> int:
    """Units of work that failed for good and wait for a person."""
    return int(await reader.fetch_value("SELECT count(*) FROM kept WHERE state = 'dead' AND dropped_at IS NULL"))
