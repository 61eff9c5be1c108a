"""Records what a process asks of its disk, call by call, below SQLite and below Python: strace, unchanged program.

Law: an operation stands in the order in which the kernel saw it; a sync counts from its return, a write from its call.
The diary's lines are operations among the others, so what had been promised at any instant is known to the call.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from agent.store import witness
from tests.fakes.nursery import ROOT
from tests.faults.worker import DATABASE, DIARY

_CALLS = "openat,close,write,pwrite64,fdatasync,fsync,ftruncate,unlink,unlinkat,rename,renameat,renameat2"
_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(\(| resumed>)(.*)", re.DOTALL)
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_LONGEST = 1 << 20  # no write of SQLite's is longer than a page
WITHIN_S = 60
# The files whose system calls can be hit: the store's own.
HIT = tuple(f"{DATABASE}{suffix}" for suffix in ("", "-wal", witness.SUFFIX, f"{witness.SUFFIX}.part"))


class Does(StrEnum):
    """What an operation does to the disk."""

    CREATE = "create"
    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    SYNC_FOLDER = "sync_folder"
    UNLINK = "unlink"
    RENAME = "rename"
    DIARY = "diary"  # a line of the worker's: no disk involved


class Operation(msgspec.Struct, frozen=True):
    """One thing that happened to a file of the folder."""

    does: Does
    name: str
    at: int = 0  # offset, or the length a file is cut to
    data: bytes = b""
    target: str = ""

    @property
    def line(self) -> dict[str, Any]:
        """What the diary says here."""
        return dict(json.loads(self.data))


async def run_worker(
    folder: Path, *arguments: object, trace: Path | None = None, inject: str = "", env: dict[str, str] | None = None
) -> tuple[int, str]:
    """Run the worker to its end, traced or refused below; returns (exit code, or minus the signal, and its errors)."""
    command = [sys.executable, "-m", "tests.faults.worker", str(folder), *map(str, arguments)]
    if inject:
        command = [
            "strace",
            "-f",
            "-qq",
            "-o",
            os.devnull,
            "-e",
            f"trace={inject.partition(':')[0]}",
            "-e",
            f"inject={inject}",
            *(part for name in HIT for part in ("-P", str(folder / name))),
            *command,
        ]
    elif trace is not None:
        command = [
            "strace",
            "-f",
            "-qq",
            "-xx",
            "-s",
            str(_LONGEST),
            "-e",
            f"trace={_CALLS}",
            "-o",
            str(trace),
            *command,
        ]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=os.environ | (env or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, errors.decode(errors="replace")


async def record(folder: Path, trace: Path, *arguments: object) -> list[Operation]:
    """What the worker did to its folder, in order."""
    code, errors = await run_worker(folder, *arguments, trace=trace)
    assert code == 0, errors
    return list(read(trace.read_text(), folder))


def read(text: str, folder: Path) -> Iterator[Operation]:
    """Operations on files of the folder out of a trace."""
    handles: dict[str, str] = {}  # the worker never forks, so one table of handles is the process's
    begun: dict[str, str] = {}
    known = set[str]()
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        thread, call, mark, rest = match.groups()
        if mark == "(" and rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
            if call in {"write", "pwrite64"}:
                yield from _operations(call, begun[thread] + " = 0", folder, handles, known)
            continue
        if mark != "(":
            rest = begun.pop(thread, "") + rest
            if call in {"write", "pwrite64"}:
                continue  # counted when it was called
        yield from _operations(call, rest, folder, handles, known)


def _operations(call: str, rest: str, folder: Path, handles: dict[str, str], known: set[str]) -> Iterator[Operation]:
    arguments, _, result = rest.rpartition(" = ")
    if result.startswith("-1"):
        return
    handle = arguments.partition(",")[0].strip(" )")
    strings = [bytes.fromhex(text.replace("\\x", "")) for text in _STRING.findall(arguments)]
    if call == "openat":
        path = Path(os.fsdecode(strings[0]))
        if path == folder:
            handles[result] = "."
        elif path.parent == folder:
            handles[result] = path.name
            if path.name not in known and "O_CREAT" in arguments:
                known.add(path.name)
                yield Operation(Does.CREATE, path.name)
    elif call == "close":
        handles.pop(handle, None)
    elif call in {"unlink", "unlinkat", "rename", "renameat", "renameat2"}:
        paths = [Path(os.fsdecode(one)) for one in strings]
        if paths[0].parent == folder:
            known.discard(paths[0].name)
            rename = len(paths) > 1
            yield Operation(
                Does.RENAME if rename else Does.UNLINK, paths[0].name, target=paths[1].name if rename else ""
            )
    elif (name := handles.get(handle)) is not None:
        yield from _on_handle(call, name, arguments, strings)


def _on_handle(call: str, name: str, arguments: str, strings: list[bytes]) -> Iterator[Operation]:
    numbers = arguments.strip(" )").rsplit(", ", 2)
    if name == DIARY:
        if call == "write":
            yield Operation(Does.DIARY, name, data=strings[0])
    elif call == "pwrite64":
        yield Operation(Does.WRITE, name, at=int(numbers[-1]), data=strings[0])
    elif call == "ftruncate":
        yield Operation(Does.TRUNCATE, name, at=int(numbers[-1]))
    elif call in {"fsync", "fdatasync"}:
        yield Operation(Does.SYNC_FOLDER if name == "." else Does.SYNC, name)
    elif call == "write":
        raise ValueError(f"{name} is appended to: this disk knows only writes at an offset")


def read_diary(folder: Path) -> list[dict[str, Any]]:
    """The lines a worker left behind."""
    path = folder / DIARY
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
