"""What a file holds when its process is gone, asked through the product: opened, weighed against the diary, continued."""

from pathlib import Path
from typing import Any

import msgspec

from agent.core.instants import Clock
from agent.errors import StoreError
from agent.store.db import Store
from sync.batch import Batch
from tests.faults.promises import Settlement, key_of, landed_in_memory, produce, settle
from tests.faults.worker import DATABASE


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What the product found in a file, and what the promises say about it."""

    settlement: Settlement
    integrity: str
    reused: int  # numbers given again although something had been sealed under them
    changed: int  # sealed batches that say something else now
    gap: int  # numbers given and in no batch
    data_lost: int  # promised rows absent in the tables the daemon works on

    @property
    def sound(self) -> bool:
        """Nothing was lost, changed or given twice."""
        return (
            self.settlement.clean
            and self.integrity == "ok"
            and not (self.reused or self.changed or self.gap or self.data_lost)
        )


async def look(folder: Path, diary: list[dict[str, Any]], clock: Clock, *, pruned: bool = False) -> Found:
    """Open the file with the product and weigh it; then store one more tick, for a file that cannot go on is lost too.

    Args:
        pruned: batches with an odd first number may be gone: the worker acknowledged them, so retention was free to.
    """
    promised = {line["promised"]: line for line in diary if "promised" in line}
    attempted = {line["attempted"] for line in diary if "attempted" in line}
    async with await Store.open(folder / DATABASE, clock=clock) as store:
        integrity = await store.reader.fetch_value("PRAGMA integrity_check(1)")
        batches = {(one.stream_id, one.lo): one for one in await all_batches(store)}
        gone = {
            number
            for number, line in promised.items()
            if pruned and line["lo"] % 2 and (line["stream"], line["lo"]) not in batches
        }
        landed = landed_in_memory(row for one in batches.values() for row in msgspec.json.decode(one.text()))
        next_seq = await store.reader.fetch_value("SELECT next_seq FROM streams WHERE closed_at IS NULL")
        told = sum(hi - lo + 1 for lo, hi in ((one.lo, one.hi) for one in batches.values()))
        known = {row[0] for row in await store.reader.fetch("SELECT market_key FROM markets")}
        n_quotes = await store.reader.fetch_value("SELECT count(*) FROM quotes")
        found = Found(
            settlement=settle(set(promised) - gone, attempted, landed),
            integrity=integrity,
            reused=sum(line["hi"] >= next_seq for line in promised.values()),
            changed=sum(
                (one := batches.get((line["stream"], line["lo"]))) is not None
                and (one.digest.hex().upper(), one.hi) != (line["digest"], line["hi"])
                for line in promised.values()
            ),
            gap=0 if pruned else next_seq - 1 - told,
            data_lost=sum(key_of(number) not in known for number in promised) + max(0, 2 * len(promised) - n_quotes),
        )
        _, lo, _, _ = await produce(store, 1 + max(attempted, default=0))
        if lo != next_seq:
            raise StoreError(f"the next batch begins at {lo}, not at {next_seq}")
    return found


async def all_batches(store: Store) -> list[Batch]:
    """Every sealed batch in the file, sent or not."""
    rows = await store.reader.fetch("SELECT * FROM batches ORDER BY stream_id, lo")
    return [
        Batch(
            stream_id=row["stream_id"], lo=row["lo"], hi=row["hi"], digest=row["digest"], body=row["body"],
            n_bytes=row["n_bytes"], schema_v=row["schema_v"],
        )
        for row in rows
    ]  # fmt: skip
