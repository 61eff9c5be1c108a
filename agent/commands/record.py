"""The commands `oddsd record head|verify|export`: the record, for whoever does not take our word."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import rich_click as click

from agent.commands.base import EXIT_IO, asked, config_option, fail, json_option

EXIT_BROKEN = 1
HASH_CHARS = 64


@click.group()
def record() -> None:
    """The append-only record of predictions: each is hashed with the one before it when it is made."""


class _Head(click.ParamType[tuple[int, str]]):
    """A published head, as "SEQ:HASH"."""

    name = "SEQ:HASH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, str]:
        seq, _, record_hash = str(value).partition(":")
        if not seq.isdigit() or len(record_hash) != HASH_CHARS:
            self.fail(f"{value!r} is not a number, a colon and {HASH_CHARS} hex digits", param, ctx)
        return int(seq), record_hash.lower()


@record.command()
@config_option
@json_option
def head(config: Path | None, as_json: bool) -> None:
    """Show where the record ends; whoever notes it can prove later that nothing before it was changed."""
    from agent.desk.record import AskHead

    found = asked(config, AskHead())
    if as_json:
        print(msgspec.json.encode(found).decode())
    elif found.seq == 0:
        print("the record is empty")
    else:
        print(f"{found.seq}:{found.record_hash}  {found.predicted_at:%Y-%m-%d %H:%M} UTC  chain {found.chain or '-'}")


@record.command()
@click.option("--from", "first", type=click.IntRange(1), default=1, show_default=True, help="The first record read.")
@click.option("--head", "published", type=_Head(), help="A head seen elsewhere, which the record must pass through.")
@click.option(
    "--file", "file", type=click.Path(path_type=Path, exists=True), help="An exported file instead of the store."
)
@config_option
@json_option
def verify(
    first: int, published: tuple[int, str] | None, file: Path | None, config: Path | None, as_json: bool
) -> None:
    """Read the record again and hold every hash against its content; exit 1 where it does not hold."""
    from agent.desk.record import AskVerify

    if file is not None:
        found = _verified_file(file, first, published)
    else:
        seq, record_hash = published or (None, None)
        found = asked(config, AskVerify(from_seq=first, published_seq=seq, published_hash=record_hash))
    if as_json:
        print(msgspec.json.encode(found).decode())
    elif found.fault_at is not None:
        print(f"the record does not hold at {found.fault_at}: {found.reason}")
    else:
        print(f"{found.n} records hold, {found.first} to {found.last}; head {found.last}:{found.record_hash}")
    raise SystemExit(0 if found.fault_at is None else EXIT_BROKEN)


@record.command()
@click.option("--from", "first", type=click.IntRange(1), default=1, show_default=True, help="The first record.")
@click.option("--output", type=click.Path(path_type=Path), help="A file; else standard output.")
@config_option
def export(first: int, output: Path | None, config: Path | None) -> None:
    """Write the record as JSON lines, each with its place and hashes; `verify --file` reads them anywhere."""
    if output is None:
        _write(sys.stdout.buffer, first, config)
        return
    try:
        with output.open("wb") as stream:
            _write(stream, first, config)
    except OSError as exc:
        fail(f"{output}: {exc.strerror}", advice="name a file in a folder you may write to", code=EXIT_IO)


def _write(stream: BinaryIO, first: int, config: Path | None) -> None:
    from agent.desk.record import AskExport

    while records := asked(config, AskExport(from_seq=first)):
        stream.writelines(msgspec.json.encode(one) + b"\n" for one in records)
        first = records[-1].chain_seq + 1
    stream.flush()


def _verified_file(file: Path, first: int, published: tuple[int, str] | None) -> Any:
    """The same verdict over a file: no daemon, no store, nothing of ours but the rule."""
    from agent.core.record import GENESIS, Head, head_after
    from agent.core.record import verify as fault_in
    from agent.desk.record import Verified

    records = [one for one in _lines(file) if one.chain_seq >= first - 1]
    start = head_after(records.pop(0)) if first > 1 and records and records[0].chain_seq == first - 1 else GENESIS
    fault = fault_in(records, after=start, published=None if published is None else Head(*published))
    end = head_after(records[-1]) if records else start
    return Verified(
        first=first,
        last=end.seq,
        n=len(records),
        record_hash=end.record_hash,
        fault_at=None if fault is None else fault.seq,
        reason=None if fault is None else fault.reason,
    )


def _lines(file: Path) -> Iterator[Any]:
    from sync.records import Prediction

    decode = msgspec.json.Decoder(Prediction).decode
    with file.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            try:
                yield decode(line)
            except msgspec.DecodeError as exc:
                fail(f"{file}, line {number}: not a prediction: {exc}", advice=None, code=65)
