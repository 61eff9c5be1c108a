"""One provisioned machine for all tests of this folder; each test leaves it running as it found it."""

import os
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.host.house import House, open_house
from tests.e2e.host.playbook import Played, ansible_missing

NEEDED = ("systemd-nspawn", "mmdebstrap", "ip", "nsenter", "ssh", "ssh-keygen", "mosquitto")


def _obstacle() -> str | None:
    """Why this machine cannot show it, in words."""
    if os.geteuid() != 0:
        return "needs root: it boots a machine of its own"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (.ci/setup e2e)"
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
    for item in mine:
        item.add_marker(pytest.mark.host)
        item.add_marker(pytest.mark.timeout(900))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True, slots=True)
class FirstDay:
    """What the operator saw while the bare machine became an edge."""

    rehearsal: Played
    left_by_rehearsal: str
    run: Played
    seconds: float


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bare(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A bare machine, booted."""
    async with open_house(tmp_path_factory.mktemp("host")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def first_day(bare: House) -> FirstDay:
    """A rehearsal in check mode, then the run."""
    rehearsal = await bare.control.play("--check", "--diff", **bare.variables)
    _, left, _ = await bare.machine.run("find", "/opt/oddsd", "/etc/oddsd", "/var/lib/oddsd", check=False)
    began = time.monotonic()
    run = await bare.control.play(**bare.variables)
    assert run.code == 0, run.end
    return FirstDay(rehearsal, left, run, time.monotonic() - began)


@pytest.fixture(scope="session")
def house(bare: House, first_day: FirstDay) -> House:
    """The machine as a running edge."""
    del first_day
    return bare
