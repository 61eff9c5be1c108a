"""Keeps the incidents: folds each report into the store, and writes only when something begins, worsens or ends."""

from datetime import datetime

from agent.status.contract import Report
from agent.status.incidents import SETTLE, concerns, fold
from agent.store.db import Store
from agent.store.incidents import Incident, load_unsettled, save_incidents


class IncidentBook:
    """The incidents of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def note(self, report: Report, *, now: datetime) -> list[Incident]:
        """Take a report in; returns the incidents it changed. Raises: StoreError."""
        recent = await load_unsettled(self._store.reader, ended_since=now - SETTLE)
        changed = fold(recent, concerns(report), now)
        if changed:
            async with self._store.write() as tx:
                await save_incidents(tx, changed)
        return changed
