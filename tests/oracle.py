"""The judge of sync: every record the edge sealed stands in the cloud exactly once, and nothing else does.

It trusts neither side's counters. It unpacks the sealed batches on disk, derives each record's natural key, and looks
for that key among the rows that landed. Used by the demo and by the tests that kill things.
"""

import sqlite3
import zlib
from collections import Counter
from datetime import datetime
from pathlib import Path

import asyncpg
import msgspec

from sync.records import (
    Arbitrage,
    BenchmarkPass,
    BenchmarkReport,
    Check,
    Digest,
    Insight,
    Mark,
    Market,
    Match,
    Pattern,
    Prediction,
    Quote,
    Record,
    Score,
    SessionStep,
    Signal,
    Travelling,
)

Key = tuple[str, str]  # kind, natural key as text

_IN_CLOUD = """
SELECT 'market' AS kind, m.market_key || '@' || (extract(epoch FROM r.fetched_at) * 1000000)::bigint AS key
  FROM market_revision r JOIN market m USING (market_id)
UNION ALL
SELECT 'quote', m.market_key || '@' || (extract(epoch FROM s.fetched_at) * 1000000)::bigint
  FROM price_all s JOIN market m USING (market_id)
UNION ALL SELECT 'pattern', pattern_id FROM pattern
UNION ALL SELECT 'insight', insight_id FROM insight
UNION ALL SELECT 'prediction', prediction_id FROM prediction
UNION ALL SELECT 'digest', digest_id FROM digest
UNION ALL SELECT 'mark', prediction_id || '@' || horizon FROM prediction_mark
UNION ALL SELECT 'score', prediction_id FROM prediction_score
UNION ALL SELECT 'benchmark_pass', pass_id FROM benchmark_pass
UNION ALL SELECT 'benchmark_report', report_id FROM benchmark_report
UNION ALL SELECT 'match', match_id FROM market_match
UNION ALL SELECT 'signal', signal_id FROM signal
UNION ALL SELECT 'session_step', step_id FROM session_step
UNION ALL
SELECT 'arbitrage', arbitrage_id || '@' || (extract(epoch FROM computed_at) * 1000000)::bigint FROM arbitrage_look
UNION ALL
SELECT 'check', prediction_id || '@' || (extract(epoch FROM checked_at) * 1000000)::bigint FROM prediction_check
"""

# A forecast asked for and paid twice would carry another id; what it is about gives it away.
_TWICE_FORECAST = """
SELECT coalesce(sum(n - 1), 0)::int FROM (
  SELECT count(*) AS n FROM prediction GROUP BY market_id, experiment, experiment_version, model, run_day
) same
"""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found; good when lost, doubled, foreign and quarantined are all 0."""

    rows_sealed: int
    rows_acked: int
    rows_in_cloud: int
    lost: int  # sealed on the edge, absent in the cloud
    doubled: int  # rows in the cloud beyond the one that belongs there
    foreign: int  # rows in the cloud that the edge never sealed
    quarantined: int


# What makes a record itself, however often it travels: the fields of its name; a moment counts in microseconds.
_NAMED_BY: dict[type[Record], tuple[str, ...]] = {
    Market: ("market_key", "fetched_at"),
    Quote: ("market_key", "fetched_at"),
    Pattern: ("pattern_id",),
    Insight: ("insight_id",),
    Prediction: ("prediction_id",),
    Check: ("prediction_id", "checked_at"),
    Mark: ("prediction_id", "horizon"),
    Score: ("prediction_id",),
    BenchmarkPass: ("pass_id",),
    BenchmarkReport: ("report_id",),
    Digest: ("digest_id",),
    Match: ("match_id",),
    Arbitrage: ("arbitrage_id", "computed_at"),
    Signal: ("signal_id",),
    SessionStep: ("step_id",),
}


def natural_key(record: Travelling) -> Key:
    """Kind and name of a record."""
    parts = [getattr(record, field) for field in _NAMED_BY[type(record)]]
    texts = [str(round(part.timestamp() * 1_000_000)) if isinstance(part, datetime) else str(part) for part in parts]
    return str(type(record).__struct_config__.tag), "@".join(texts)


def sealed_on_edge(database: Path) -> tuple[Counter[Key], int]:
    """(natural keys of every sealed record, rows acknowledged). The daemon must be down: nobody else opens its file."""
    connection = sqlite3.connect(database)
    try:
        keys, n_acked = Counter[Key](), 0
        for body, n_rows, acked_at in connection.execute("SELECT body, hi - lo + 1, acked_at FROM batches"):
            records = msgspec.json.decode(zlib.decompress(body), type=list[Travelling])
            keys.update(natural_key(record) for record in records)
            n_acked += n_rows if acked_at is not None else 0
        return keys, n_acked
    finally:
        connection.close()


async def judge(database: Path, cloud_dsn: str) -> Verdict:
    """Compare one edge's file with one cloud's database."""
    sealed, n_acked = sealed_on_edge(database)
    connection = await asyncpg.connect(cloud_dsn)
    try:
        landed = Counter((row["kind"], row["key"]) for row in await connection.fetch(_IN_CLOUD))
        twice = await connection.fetchval(_TWICE_FORECAST)
        quarantined = await connection.fetchval("SELECT count(*) FROM edge_quarantine")
    finally:
        await connection.close()
    return Verdict(
        rows_sealed=sealed.total(),
        rows_acked=n_acked,
        rows_in_cloud=landed.total(),
        lost=len(sealed.keys() - landed.keys()),
        doubled=landed.total() - len(landed) + twice,
        foreign=len(landed.keys() - sealed.keys()),
        quarantined=quarantined,
    )
