"""A checked copy of the database, now. The daemon makes it while it runs; without one the file is copied itself.

Law: copies stand in `backups` under the data directory, the only place the daemon may write to; whoever asks brings
them elsewhere.
"""

import asyncio
from typing import Any, ClassVar

from agent.desk.base import Ask, Desk
from agent.errors import StoreError
from agent.store.backup import Copied, back_up
from agent.store.db import is_there


class AskBackup(Ask[Copied], frozen=True, kw_only=True):
    """Make one, and keep that many."""

    verb: ClassVar[str] = "backup"
    answer_type: ClassVar[Any] = Copied
    deadline_s: ClassVar[float | None] = None
    keep: int = 7

    async def answer(self, desk: Desk) -> Copied:
        """Raises: StoreError, StoreFull."""
        database = desk.settings.database_path
        if not is_there(database):
            raise StoreError(f"backup: there is no database at {database} yet", advice="start the daemon first")
        folder = desk.settings.data_dir / "backups"
        return await asyncio.to_thread(back_up, database, folder, now=desk.now, keep=max(1, self.keep))
