"""Prices on TimescaleDB: chunks, compression and the continuous aggregate are kept by the extension's own policies.

Law: what a policy does is not done again here; the worker looks whether the policies succeed, and says which do not.
Retention is ours on both backends, because what it takes is counted.
"""

from datetime import date

from cloudapi.db import Connection, from_row
from cloudapi.errors import StorageMismatch
from cloudapi.storage.base import Backend, Size

STEP_S = 600.0

FAILED_POLICIES = """
select proc_name from timescaledb_information.jobs as j join timescaledb_information.job_stats as s using (job_id)
where s.last_run_status = 'Failed' and proc_name = any ($1) order by 1
"""

SIZES = """
select 'rows' as part, hypertable_size('price_snapshot')::bigint as n_bytes, count(*)::integer as n_tables
from timescaledb_information.chunks where hypertable_name = 'price_snapshot'
"""


class TimescaleStorage:
    """For a server that offers the extension, chosen when the database is made."""

    backend = Backend.TIMESCALE

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    async def ensure_ahead(self) -> int:
        return 0  # chunks are made by the insert that needs one

    async def roll_up(self) -> int:
        await self._expect("policy_refresh_continuous_aggregate")
        return 0

    async def compact(self) -> dict[date, int]:
        await self._expect("policy_compression")
        return {}

    async def retain(self, keep_days: int) -> int:
        taken: int = await self._db.fetchval(
            "select price_drop((now() at time zone 'UTC')::date - $1::integer)", keep_days, timeout=STEP_S
        )
        return taken

    async def sizes(self) -> list[Size]:
        return [from_row(row, Size) for row in await self._db.fetch(SIZES)]

    async def _expect(self, policy: str) -> None:
        """Raises: StorageMismatch if the policy's last run failed; the server's log says why."""
        failed = await self._db.fetch(FAILED_POLICIES, [policy])
        if failed:
            raise StorageMismatch(f"TimescaleDB's {policy} failed at its last run: see its job_stats")
