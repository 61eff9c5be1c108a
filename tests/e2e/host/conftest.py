"""One provisioned machine for each process of a run; each test leaves it running as it found it.

Files are dealt out whole (pytest-xdist's loadfile, the longest first), so two processes have a machine each and work
side by side; what uninstalls stands at the end of the last file.
"""

import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.host.house import House, open_house
from tests.e2e.host.playbook import Played, ansible_missing
from tests.e2e.host.sweep import sweep

NEEDED = ("systemd-nspawn", "mmdebstrap", "ip", "nsenter", "ssh", "ssh-keygen", "mosquitto")
# What each machine is made of; a kernel that withholds one of them (a container without rights) cannot boot it.
SPACES = ("unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "mount", "-t", "tmpfs", "none", "/mnt")


def _obstacle() -> str | None:
    """Why this machine cannot show it, in words."""
    if os.geteuid() != 0:
        return "needs root: it boots a machine of its own"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (.ci/setup e2e)"
    tried = subprocess.run(SPACES, check=False, capture_output=True, text=True)
    if tried.returncode:
        return f"root may not make namespaces here: {tried.stderr.strip()}"
    return ansible_missing()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Ten minutes with a machine are for who asks for them (-m host), and skipped with a reason where they cannot be."""
    here = Path(__file__).parent
    mine = [item for item in items if here in item.path.parents]
    if "host" not in config.option.markexpr:
        items[:] = [item for item in items if item not in mine]
        config.hook.pytest_deselected(items=mine)
        return
    reason = _obstacle() if mine else None
    if mine and reason is None and "PYTEST_XDIST_WORKER" not in os.environ:
        for left in sweep():
            print(f"left behind by a run that was killed, swept away: {left}")
    for item in mine:
        item.add_marker(pytest.mark.host)
        item.add_marker(pytest.mark.timeout(1500))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the operator saw in check mode, and what it left on the machine."""

    played: Played
    left: str


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bare(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A bare machine, booted."""
    began = time.monotonic()
    async with open_house(tmp_path_factory.mktemp("host")) as opened:
        print(f"a bare machine after {time.monotonic() - began:.0f} s")
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rehearsal(bare: House) -> Rehearsal:
    """The playbook in check mode, while the machine is still bare."""
    played = await bare.control.play("--check", "--diff", **bare.variables)
    _, left, _ = await bare.machine.run("find", "/opt/oddsd", "/etc/oddsd", "/var/lib/oddsd", check=False)
    return Rehearsal(played, left)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house(bare: House) -> House:
    """The machine as a running edge."""
    run = await bare.control.play(**bare.variables)
    assert run.code == 0, run.end
    return bare
