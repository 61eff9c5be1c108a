"""What the edge has delivered, counted from the data itself and from the ledger: the two must agree."""

import msgspec

from cloudapi.db import Connection, Pool, from_row

COUNT_LANDED = """
select
    (select count(*) from market_revision) as markets,
    (select count(*) from price_snapshot) as quotes,
    (select count(*) from pattern) as patterns,
    (select count(*) from insight) as insights,
    (select count(*) from prediction) as predictions,
    (select count(*) from prediction_check) as checks,
    (select count(*) from digest) as digests,
    (select count(*) from market_match) as matches,
    (select count(*) from arbitrage_look) as arbitrage_looks,
    (select count(*) from signal) as signals,
    (select count(*) from prediction_mark) as marks,
    (select count(*) from prediction_score) as scores,
    (select count(*) from benchmark_pass) as benchmark_passes,
    (select count(*) from benchmark_report) as benchmark_reports,
    (select count(*) from edge_quarantine) as quarantined,
    (select coalesce(sum(hi - lo + 1), 0)::bigint from edge_batch) as acked,
    (select coalesce(sum(inserted), 0)::bigint from edge_batch) as acked_inserted,
    (select coalesce(sum(known), 0)::bigint from edge_batch) as acked_known,
    (select coalesce(sum(upper(r) - lower(r)), 0)::bigint from edge_stream, unnest(acked) as r) as in_ranges,
    (select count(*) from price_snapshot_default) as unpartitioned
"""


class Landed(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in the cloud per kind, beside what the ledger says was applied."""

    markets: int  # versions of markets, not markets
    quotes: int
    patterns: int
    insights: int
    predictions: int
    checks: int
    digests: int
    matches: int
    arbitrage_looks: int
    signals: int
    marks: int
    scores: int
    benchmark_passes: int
    benchmark_reports: int
    quarantined: int
    acked: int
    acked_inserted: int
    acked_known: int
    in_ranges: int
    unpartitioned: int  # quotes in the default partition: must be 0

    @property
    def rows(self) -> int:
        """Everything that is here, set aside rows included: equals `acked` when nothing was sent twice."""
        return self.inserted + self.quarantined

    @property
    def inserted(self) -> int:
        found = self.patterns + self.insights + self.predictions + self.checks + self.digests
        benchmarked = self.marks + self.scores + self.benchmark_passes + self.benchmark_reports
        return self.markets + self.quotes + found + self.matches + self.arbitrage_looks + self.signals + benchmarked

    @property
    def adds_up(self) -> bool:
        """The conservation law: data, ledger and ranges tell the same story."""
        ledger = self.acked_inserted + self.acked_known + self.quarantined
        return self.acked == self.in_ranges == ledger and self.inserted == self.acked_inserted


async def count_landed(source: "Pool | Connection") -> Landed:
    """Count everything; for audits and the demo, not for requests (it reads whole tables)."""
    row = await source.fetchrow(COUNT_LANDED, timeout=60)
    if row is None:
        raise RuntimeError("a count without a row")
    return from_row(row, Landed)
