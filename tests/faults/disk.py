"""A disk that loses power: what was synced is there, what was not may be there, or not, or in part.

Law: adversarial within what a disk may do. Each unsynced write survives or vanishes by itself (so later ones without
earlier ones), or in pieces of a sector; a new, renamed or removed name is safe only when its file or its folder was
synced. Replays operations recorded from a real run (recorder.py).
"""

import copy
import random
from enum import StrEnum
from pathlib import Path

from tests.faults.recorder import Does, Operation

SECTOR = 512  # what a disk writes whole


class Loses(StrEnum):
    """How the unsynced writes fare."""

    ALL = "all"
    LATE = "late"  # the first ones made it, the last of them torn
    SOME = "some"  # each for itself: reordered
    SECTORS = "sectors"  # each sector for itself: torn


class _Inode:
    """One file: what is safe, and what happened to it since."""

    def __init__(self) -> None:
        self.safe = bytearray()
        self.since: list[Operation] = []

    def sync(self) -> None:
        for one in self.since:
            _change(self.safe, one)
        self.since.clear()

    def after(self, dice: random.Random, loses: Loses) -> bytes:
        image = bytearray(self.safe)
        for one in _survivors(self.since, dice, loses):
            _change(image, one)
        return bytes(image)


class Disk:
    """Follows a recorded run; can be looked at as a power cut at this instant would leave it."""

    def __init__(self) -> None:
        self._names: dict[str, _Inode] = {}
        self._safe_names: dict[str, _Inode] = {}
        self._renames: list[Operation] = []  # changes of names no sync has made safe

    def apply(self, one: Operation) -> None:
        """One operation of the run happens."""
        match one.does:
            case Does.CREATE:
                self._names[one.name] = _Inode()
                self._renames.append(one)
            case Does.WRITE | Does.TRUNCATE:
                self._names[one.name].since.append(one)
            case Does.SYNC:
                self._names[one.name].sync()
                self._safe_names[one.name] = self._names[one.name]
            case Does.SYNC_FOLDER:
                self._safe_names = dict(self._names)
                self._renames.clear()
            case Does.UNLINK:
                self._names.pop(one.name, None)
                self._renames.append(one)
            case Does.RENAME:
                self._names[one.target] = self._names.pop(one.name)
                self._renames.append(one)
            case Does.DIARY:
                pass

    def cut(self, folder: Path, dice: random.Random) -> Loses:
        """Write what a power cut at this instant leaves into a folder; returns how it treated the unsynced."""
        loses = dice.choice(list(Loses))
        names = copy.copy(self._safe_names)
        for one in self._renames[: dice.randint(0, len(self._renames))]:
            if one.does is Does.CREATE and one.name in self._names:
                names.setdefault(one.name, self._names[one.name])
            elif one.does is Does.UNLINK and one.name not in self._names:
                names.pop(one.name, None)
            elif one.does is Does.RENAME and one.target in self._names:
                names.pop(one.name, None)
                names[one.target] = self._names[one.target]
        for name, inode in names.items():
            (folder / name).write_bytes(inode.after(dice, loses))
        return loses


def _change(image: bytearray, one: Operation) -> None:
    if one.does is Does.TRUNCATE:
        del image[one.at :]
        image.extend(b"\0" * (one.at - len(image)))
        return
    image.extend(b"\0" * (one.at - len(image)))
    image[one.at : one.at + len(one.data)] = one.data


def _survivors(since: list[Operation], dice: random.Random, loses: Loses) -> list[Operation]:
    match loses:
        case Loses.ALL:
            return []
        case Loses.LATE:
            n = dice.randint(0, len(since))
            return [*since[:n], *(_torn(since[n], dice) if n < len(since) else [])]
        case Loses.SOME:
            return [one for one in since if dice.random() < 0.5]
        case Loses.SECTORS:
            return [piece for one in since for piece in _torn(one, dice)]


def _torn(one: Operation, dice: random.Random) -> list[Operation]:
    """The sectors of a write that made it; a truncation happens or does not."""
    if one.does is not Does.WRITE:
        return [one] if dice.random() < 0.5 else []
    pieces = list[Operation]()
    start = one.at
    while start < one.at + len(one.data):
        end = min((start // SECTOR + 1) * SECTOR, one.at + len(one.data))
        if dice.random() < 0.5:
            pieces.append(Operation(one.does, one.name, at=start, data=one.data[start - one.at : end - one.at]))
        start = end
    return pieces
