"""A control group for each machine: two systemds in one would end each other's services.

Works on either layout, one tree (v2) or v1's with systemd's own beside it; the tests hold no other controllers.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

# Those of the trees that systemd keeps its services in.
_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"))


def _trees() -> Iterator[Path]:
    return (root for root in _ROOTS if (root / "cgroup.procs").exists())


def enter(name: str) -> None:
    """Make the group and move the calling process there; for a child before it becomes the machine."""
    for tree in _trees():
        (tree / name).mkdir(exist_ok=True)
        (tree / name / "cgroup.procs").write_text("0")


def remove(name: str) -> None:
    """The group and all below it; those with processes in them stay."""
    for tree in _trees():
        below = sorted((tree / name).rglob("*/"), key=lambda folder: len(folder.parts), reverse=True)
        for folder in (*below, tree / name):
            with contextlib.suppress(OSError):
                folder.rmdir()


def left(prefix: str) -> set[str]:
    """Names of groups that begin so."""
    return {folder.name for tree in _trees() for folder in tree.glob(f"{prefix}*")}


if __name__ == "__main__":
    import os
    import sys

    enter(sys.argv[1])
    os.execvp(sys.argv[2], sys.argv[2:])
