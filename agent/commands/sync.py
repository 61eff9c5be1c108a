"""The commands about deliveries: `sync-now`, `audit`, `rotate-stream`, `recover`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import rich_click as click

from agent.commands.base import (
    EXIT_FAILED,
    EXIT_PARTIAL,
    asked,
    config_option,
    configure_log,
    fail,
    json_option,
    settings_from,
)

if TYPE_CHECKING:
    from agent.app import House
    from agent.settings import Settings

T = TypeVar("T")


@click.command("sync-now")
@click.option("--held", is_flag=True, help="Also let batches try again that were set aside.")
@config_option
@json_option
def sync_now(config: Path | None, *, held: bool, as_json: bool) -> None:
    """Send what waits, now. Leaves with 0 when nothing waits any more, 1 when something was set aside, 2 otherwise."""
    from agent.delivery import SentNow
    from agent.delivery import sync_now as send

    async def alone(house: "House") -> SentNow:
        if house.sender is None:
            return await send(house.store, None, held=held)
        running = asyncio.create_task(house.sender.run(), name="sender")
        try:
            return await send(house.store, house.sender, held=held)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    sent = _asked(settings_from(config), "sync_now", SentNow, alone, held=held)
    if as_json:
        print(msgspec.json.encode(sent).decode())
    else:
        print(f"{sent.sent:,} rows sent, {sent.pending:,} wait, {sent.held} batches set aside")
        if sent.reason:
            print(f"{sent.reason}" + (f"; {sent.advice}" if sent.advice else ""))
    done = EXIT_PARTIAL if sent.held else 0
    raise SystemExit(EXIT_FAILED if sent.reason or (sent.pending and not sent.held) else done)


@click.command()
@config_option
@json_option
def audit(config: Path | None, *, as_json: bool) -> None:
    """Hold our file and the cloud's ledger against each other. Leaves with 0 when both tell the same story, else 2."""
    from agent.delivery import Audited, render
    from agent.delivery import audit as look

    found = _asked(settings_from(config), "audit", Audited, lambda house: look(house.store, house.road))
    print(msgspec.json.encode(found).decode() if as_json else render(found))
    raise SystemExit(EXIT_FAILED if found.faults or found.gaps else 0)


@click.command("rotate-stream")
@click.option("--yes", is_flag=True, help="Without it nothing is done.")
@config_option
@json_option
def rotate_stream(config: Path | None, *, yes: bool, as_json: bool) -> None:
    """Begin a new stream of numbers; what waits moves along and nothing is lost. oddsd does it itself where it must."""
    if not yes:
        fail("a new stream is begun only with --yes", advice="oddsd audit tells whether there is a need", code=64)
    from agent.desk.rotate import AskRotate

    done = asked(config, AskRotate())
    if as_json:
        print(msgspec.json.encode(done).decode())
    else:
        print(f"stream {done.new_stream} in place of {done.old_stream}; {done.moved:,} waiting rows moved along")


@click.command()
@click.option("--from", "source", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A copy to use.")
@click.option("--force", is_flag=True, help="Begin anew although the file is whole.")
@config_option
@json_option
def recover(config: Path | None, source: Path | None, *, force: bool, as_json: bool) -> None:
    """Move a broken database aside and go on with a new one, or with a copy; what waited for the cloud is carried over.

    Nothing is deleted: the old file lies in data_dir/quarantine, with its -wal and -shm.
    """
    from agent.app import utc_now
    from agent.store.lock import data_dir_lock
    from agent.store.recover import recover as begin_anew

    settings = settings_from(config)
    configure_log(settings)
    with data_dir_lock(settings.data_dir):
        done = asyncio.run(begin_anew(settings.database_path, backup=source, clock=utc_now, force=force))
    if as_json:
        print(msgspec.json.encode(done).decode())
        return
    print(f"the database: {done.verdict}")
    if done.new_stream is None:
        print("it stays as it is; --force begins anew all the same")
        return
    if done.aside:
        print(f"it lies in {done.aside} now")
    print(f"{done.carried_rows:,} rows that waited were carried over into stream {done.new_stream}")
    if done.unreadable_batches:
        print(f"{done.unreadable_batches} batches could not be read; the old file has what is left of them")


def _asked(
    settings: "Settings", verb: str, kind: type[T], alone: "Callable[[House], Awaitable[T]]", **said: object
) -> T:
    """The daemon's answer; without one, the house's own, opened for the question.

    A house moves a broken file aside and makes a missing one. Whoever asks would then be told of an empty one, so the
    file is looked at first. Raises: StoreError.
    """
    from agent.app import open_house, utc_now
    from agent.errors import NotRunning, StoreError
    from agent.status.control import call
    from agent.store.db import Store, is_there
    from agent.store.lock import data_dir_lock

    async def answer() -> T:
        try:
            return msgspec.convert(await call(settings.control_socket, verb, None, **said), kind)
        except NotRunning:
            configure_log(settings)
            if not is_there(settings.database_path):
                told = f"nothing was collected yet: there is no database at {settings.database_path}"
                raise StoreError(told, advice="start the daemon first, or see that data_dir is the right one") from None
            with data_dir_lock(settings.data_dir):
                async with await Store.open(settings.database_path, clock=utc_now):
                    pass
                async with open_house(settings) as house:
                    return await alone(house)

    return asyncio.run(answer())
