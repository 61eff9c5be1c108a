"""A process to be cut, killed and refused at every write: the product's store, some ticks, a diary of what was promised.

    python -m tests.faults.worker FOLDER --first 1 --ticks 5 [--schema N] [--chores] [--normal] [--hold]

Law: it writes a line into FOLDER/diary only after the commit has returned, in one write that a tracer of system calls
sees in its order. Exits as the daemon would: an error's own code, its sentence on standard error.
"""

import argparse
import asyncio
import os
import sqlite3
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.errors import OddsdError, StoreFull
from agent.store import db
from agent.store.ballast import NAME as BALLAST
from agent.store.ballast import ensure_ballast
from agent.store.db import Store
from agent.store.relief import Relief, relieve
from agent.store.retention import prune_batches
from agent.store.tx import mapped
from tests.faults.promises import as_line, produce

FULL_TRIES = 8  # how often a tick is tried again on a full disk before the worker gives up
RELIEF_AFTER = 3  # so often it is refused before somebody makes room
DIARY = "diary"
DATABASE = "oddsd.db"


def main(arguments: list[str]) -> int:
    """Run the scripted life; returns the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--ticks", type=int, default=5)
    parser.add_argument("--schema", type=int, help="begin with a file of this older schema")
    parser.add_argument("--chores", action="store_true", help="acknowledge, prune, checkpoint and shrink on the way")
    parser.add_argument("--normal", action="store_true", help="synchronous=NORMAL: what the harness must find out")
    parser.add_argument("--again", action="store_true", help="try a tick again while the disk is full")
    parser.add_argument(
        "--filler", type=Path, help="with --again: a file an operator deletes once the disk has been full"
    )
    parser.add_argument("--relief", action="store_true", help="keep a ballast, and make room as the daemon does")
    parser.add_argument("--diary", type=Path, help="where the diary is kept, if not beside the database")
    parser.add_argument("--hold", action="store_true", help="wait for a line on standard input before it closes")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_live(options))
    except OddsdError as exc:
        print(f"{type(exc).__name__}: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


async def _live(options: argparse.Namespace) -> None:
    database = options.folder / DATABASE
    if options.schema is not None and not database.exists():
        _make_old(database, options.schema)
    diary = os.open((options.diary or options.folder) / DIARY, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    async with await Store.open(database, clock=_now) as store:
        if options.normal:
            await store._writer.execute("PRAGMA synchronous = NORMAL")
        if options.relief:
            os.write(diary, as_line(ballast=ensure_ballast(options.folder)))
        os.write(diary, as_line(opened=True))
        for number in range(options.first, options.first + options.ticks):
            os.write(diary, as_line(attempted=number))
            await _tick(store, number, diary, options)
            if options.chores:
                try:
                    await _chores(store, number)
                except StoreFull:
                    if not options.relief:
                        raise
                    os.write(diary, as_line(relieved=await relieve(store)))
        if options.relief:
            options.filler.unlink(missing_ok=True)
            await Relief(store).tend()
            os.write(diary, as_line(ballast=(options.folder / BALLAST).exists()))
        if options.hold:
            await asyncio.to_thread(sys.stdin.readline)


async def _tick(store: Store, number: int, diary: int, options: argparse.Namespace) -> None:
    for refused in range(1, FULL_TRIES + 1):
        try:
            stream, lo, hi, digest = await produce(store, number)
        except StoreFull as exc:
            os.write(diary, as_line(full=number, said=str(exc)))
            if not options.again:
                raise
            if options.relief:
                os.write(diary, as_line(relieved=await relieve(store)))
            elif refused == RELIEF_AFTER and options.filler is not None:
                options.filler.unlink(missing_ok=True)
        else:
            os.write(diary, as_line(promised=number, stream=stream, lo=lo, hi=hi, digest=digest))
            return
    raise StoreFull(f"tick {number}: the disk stayed full")


async def _chores(store: Store, number: int) -> None:
    """Retention as the job does it, and the checkpoints a long life brings: each writes in its own way."""
    async with store.write() as tx:
        if number % 2:
            await tx.execute("UPDATE batches SET acked_at = sealed_at WHERE acked_at IS NULL AND lo % 2 = 1")
    if number % 3 == 0:
        async with store.write() as tx:
            await prune_batches(tx, _now() + timedelta(days=1))
        await _pragma(store, "PRAGMA incremental_vacuum(50)")
    if number % 4 == 0:
        await _pragma(store, "PRAGMA wal_checkpoint(TRUNCATE)")


async def _pragma(store: Store, sql: str) -> None:
    try:
        await store._writer.execute_fetchall(sql)
    except sqlite3.Error as exc:
        raise mapped(exc, sql) from exc


def _now() -> datetime:
    return datetime.now(UTC)


def _make_old(database: Path, schema: int) -> None:
    """A file as an older release left it."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.executescript("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")
    for number, sql in db._migrations():
        if number <= schema:
            connection.executescript(
                f"BEGIN;\n{sql}\nPRAGMA application_id = {db.APPLICATION_ID};\nPRAGMA user_version = {number};\nCOMMIT;"
            )
    connection.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
