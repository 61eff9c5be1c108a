"""Takes away what killed runs left behind: machines, mounts, wires and trees of test processes that are no more.

Law: everything a run makes on the host carries the number of its process in its name; what belongs to a living one is
left alone. Called before and after each run; `python -m tests.e2e.host.sweep` by hand.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.host import cgroups
from tests.e2e.host.tree import MACHINES

PREFIX = "oddsd-e2e-"
MARK = "OF_MACHINE_TEST"  # stands in the environment of every process a run starts
_NAMES = re.compile(rf"{PREFIX}(\d+)\b")
_NETWORKS = Path("/run/netns")


def marked() -> str:
    """What everything of this run is called; from now on also in the environment of what is started."""
    os.environ[MARK] = name = f"{PREFIX}{os.getpid()}"
    return name


def sweep() -> list[str]:
    """Remove what dead runs left. Returns: a line for each thing."""
    return [*_processes(), *_mounts(), *_networks(), *_groups(), *_trees()]


def _is_left_over(text: str) -> bool:
    found = _NAMES.search(text)
    return found is not None and not _is_running(int(found[1]))


def _is_running(pid: int) -> bool:
    """Whether that process lives and is still a Python: numbers are given again."""
    try:
        return b"python" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _processes() -> Iterator[str]:
    """Containers with everything in them, servers and tools whose test is gone."""
    mark = f"{MARK}={PREFIX}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            marks = [word for word in (folder / "environ").read_bytes().split(b"\0") if word.startswith(mark)]
            if marks and _is_left_over(marks[0].decode()):
                name, pid = (folder / "comm").read_text().strip(), int(folder.name)
                # A container's first process is its starter's child, and does not always die with it.
                inside = (folder / f"task/{pid}/children").read_text().split() if name == "systemd-nspawn" else []
                for victim in (*map(int, inside), pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(victim, signal.SIGKILL)
                yield f"process {pid} {name}"


def _mounts() -> Iterator[str]:
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        place = line.split()[1]
        if Path(place).is_relative_to(MACHINES) and _is_left_over(place):
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
            yield f"mount {place}"


def _networks() -> Iterator[str]:
    for path in sorted(_NETWORKS.glob(f"{PREFIX}*")):
        if _is_left_over(path.name):
            subprocess.run(["ip", "netns", "delete", path.name], check=False, capture_output=True)
            yield f"network {path.name}"


def _groups() -> Iterator[str]:
    for name in sorted(cgroups.left(PREFIX)):
        if _is_left_over(name):
            cgroups.remove(name)
            yield f"control group {name}"


def _trees() -> Iterator[str]:
    for path in sorted(MACHINES.glob(f"{PREFIX}*")):
        if _is_left_over(path.name):
            shutil.rmtree(path, ignore_errors=True)
            yield f"tree {path.name}"


if __name__ == "__main__":
    for left in sweep():
        print(f"swept away: {left}")
