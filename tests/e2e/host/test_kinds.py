"""Hosts that differ: older ways of secrets, an index or a Python of their own, a GPU, and the cloud's unit at home."""

import contextlib
import json
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.host.house import SECRET
from tests.e2e.host.index import package_index
from tests.e2e.host.network import WORLD_ADDRESS
from tests.e2e.host.releases import add_release, cloud_wheels
from tests.e2e.host.tree import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the loop the servers of the house live in

OTHER = "0.7.0"
INDEX_PORT = 8003
SECRETS = ("--tags", "credentials,configure")
INSTALL = ("--tags", "install")
HEALTH = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000/health').status)"


async def _held(house) -> dict[str, str]:
    """What lies in the folder of the secrets, with its mode."""
    _, shown, _ = await house.machine.run("find", "/etc/oddsd/credentials", "-type", "f", "-printf", "%f %m %u\n")
    return dict(line.split(" ", 1) for line in sorted(shown.splitlines()))


@pytest.mark.parametrize(
    ("kind", "files"), [("plain", ("database_url", "groq_api_key")), ("environment", ("environment",))]
)
async def test_older_systemds_hand_secrets_over_in_their_own_way(house, kind, files):
    """249 knows plain credentials only, 245 none: the daemon gets its secrets all the same, and nothing is left behind."""
    encrypted, asked = await _held(house), house.groq.n_listed
    played = await house.control.play(*SECRETS, **house.variables | {"oddsd_edge_credentials_kind": kind})
    result = await house.machine.ask("run_now", job="models")
    held, n_asked = await _held(house), house.groq.n_listed
    back = await house.control.play(*SECRETS, **house.variables)
    folder = house.machine.tree / "etc/oddsd/credentials"

    assert (played.code, back.code) == (0, 0), played.end + back.end
    assert result["state"] == "ok", result
    assert n_asked > asked
    assert held == dict.fromkeys(files, "400 root")
    assert await _held(house) == encrypted == dict.fromkeys(("database_url", "groq_api_key"), "400 root")
    assert not any(SECRET.encode() in file.read_bytes() for file in folder.iterdir())


async def test_a_secret_encrypted_on_another_machine_is_243_and_the_doctor_knows_it(house):
    """After a change of board it fails before our code runs; nobody would guess from the number what to do."""
    secret = house.machine.tree / "etc/oddsd/credentials/groq_api_key"
    good = secret.read_bytes()
    secret.write_bytes(good[:40] + bytes(reversed(good[40:80])) + good[80:])
    try:
        await house.machine.run("systemctl", "restart", "oddsd", check=False)
        await house.machine.until(ExecMainStatus="243")
        _, told, _ = await house.machine.run("oddsd", "doctor", "--offline", "--json", check=False)
    finally:
        secret.write_bytes(good)
    await house.machine.until(ActiveState="active")  # by itself: it is tried again until somebody has mended it

    findings = {finding["id"]: finding for finding in json.loads(told)["findings"]}
    assert findings["D25"]["verdict"] == "failed"
    assert "243" in findings["D25"]["text"]
    assert "playbook" in findings["D25"]["fix"]


async def test_the_gpu_drop_in_opens_devices_and_stays_below_the_gate(house):
    """What it takes back is devices and compiling, nothing else; without the wish it is gone again."""
    played = await house.control.play("--tags", "configure", **house.variables | {"oddsd_edge_gpu": True})
    state = await house.machine.show("ActiveState", "PrivateDevices", "MemoryDenyWriteExecute", "ProtectSystem")
    _, said, _ = await house.machine.run("systemd-analyze", "security", "--no-pager", "--threshold=15", "oddsd.service")
    print(said.strip().splitlines()[-1])
    back = await house.control.play("--tags", "configure", **house.variables)
    closed = await house.machine.show("ActiveState", "PrivateDevices", "MemoryDenyWriteExecute")

    assert (played.code, back.code) == (0, 0), played.end + back.end
    assert state == {
        "ActiveState": "active", "PrivateDevices": "no", "MemoryDenyWriteExecute": "no", "ProtectSystem": "strict",
    }  # fmt: skip
    assert closed == {"ActiveState": "active", "PrivateDevices": "yes", "MemoryDenyWriteExecute": "yes"}


@asynccontextmanager
async def _another_version(house) -> AsyncIterator[Path]:
    """The folder of a version that is installed and never run; gone afterwards."""
    if not list(house.control.wheelhouse.glob(f"oddsd-{OTHER}-*")):
        add_release(house.control.wheelhouse, OTHER)
    folder = house.machine.tree / "opt/oddsd" / OTHER
    before = await house.machine.show("MainPID")
    try:
        yield folder
        assert await house.machine.show("MainPID") == before  # what runs was not touched
    finally:
        await house.machine.run("rm", "-rf", f"/opt/oddsd/{OTHER}", "/opt/oddsd/python", "/etc/pip.conf")


async def test_a_host_with_an_index_of_its_own_installs_from_there_by_hash(house):
    """`registry`: packages from the host's own index, the project and what must be built from the control machine."""
    async with _another_version(house):
        with package_index(house.control.wheelhouse) as index:
            await house.wire.expose(INDEX_PORT, index.address)
            address = f"http://{WORLD_ADDRESS}:{INDEX_PORT}/simple"
            (house.machine.tree / "etc/pip.conf").write_text(
                f"[global]\nindex-url = {address}\ntrusted-host = {WORLD_ADDRESS}\n"
            )
            wanted = house.variables | {"oddsd_edge_version": OTHER, "oddsd_edge_source": "registry"}
            played = await house.control.play(*INSTALL, **wanted)
        code, told, _ = await house.machine.run(f"/opt/oddsd/{OTHER}/bin/oddsd", "--version", check=False)

    assert played.code == 0, played.end
    assert (code, OTHER in told) == (0, True)
    assert {"numpy", "msgspec", "httpx"} <= index.asked
    assert not {"oddsd", "sdnotify"} & index.served


async def test_a_host_without_a_new_python_gets_one_of_its_own(house):
    """uv comes along in the wheelhouse; where its builds are out of reach the run says so and leaves what runs alone.

    A build itself cannot be fetched here (they lie at GitHub): a folder as uv makes it stands in for one.
    """
    wanted = house.variables | {
        "oddsd_edge_version": OTHER, "oddsd_edge_python_source": "uv", "oddsd_edge_python_version": "3.11",
    }  # fmt: skip
    async with _another_version(house) as folder:
        out_of_reach = await house.control.play(*INSTALL, **wanted)
        _, uv, _ = await house.machine.run("/opt/oddsd/python/uv", "--version")
        build = house.machine.tree / "opt/oddsd/python/cpython-3.11.99-linux-x86_64-gnu/bin"
        build.mkdir(parents=True)
        (build / "python3").symlink_to("/usr/bin/python3")
        played = await house.control.play(*INSTALL, **wanted)
        made_by = (folder / "pyvenv.cfg").read_text()

    assert uv.startswith("uv ")
    assert out_of_reach.code != 0
    assert "Python 3.11" in out_of_reach.said
    assert "ailed to download" in out_of_reach.said
    assert played.code == 0, played.end
    assert "/opt/oddsd/python/cpython-3.11.99" in made_by


async def test_the_clouds_unit_migrates_serves_and_stops_on_a_machine_at_home(house):
    """Who hosts the cloud himself follows the unit's header, and the hardening lets it work."""
    machine, tree = house.machine, house.machine.tree
    cloud_wheels(house.control.wheelhouse, tree / "opt/cloud-wheels")
    dsn = urllib.parse.urlsplit(house.postgres.create_empty_database())
    (tree / "etc/oddsd-cloud").mkdir()
    (tree / "etc/oddsd-cloud/env").write_text(
        f"DATABASE_URL=postgresql://{dsn.username}@{WORLD_ADDRESS}:5432{dsn.path}\nJWT_SECRET={'long-enough-' * 4}\n"
    )
    (tree / "etc/systemd/system/oddsd-cloud.service").write_bytes((ROOT / "systemd/oddsd-cloud.service").read_bytes())
    await machine.run(
        "useradd", "--system", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "oddsd-cloud"
    )
    await machine.run("python3", "-m", "venv", "/opt/oddsd-cloud")
    await machine.run(
        "sh",
        "-c",
        "/opt/oddsd-cloud/bin/pip install --quiet --no-index --no-deps /opt/cloud-wheels/*.whl",
        within_s=300,
    )
    await machine.run("systemctl", "daemon-reload")
    try:
        started, _, why = await machine.run("systemctl", "start", "oddsd-cloud", check=False, within_s=300)
        said = await machine.journal("oddsd-cloud", "--lines=15")
        assert started == 0, why + said
        await machine.succeeds("python3", "-c", HEALTH)
        _, exposure, _ = await machine.run("systemd-analyze", "security", "--no-pager", "--threshold=15", "oddsd-cloud")
        print(exposure.strip().splitlines()[-1])
        await machine.run("systemctl", "stop", "oddsd-cloud")
        state = await machine.show("Result", "NRestarts", unit="oddsd-cloud")
    finally:
        await machine.run("systemctl", "stop", "oddsd-cloud", check=False)
        with contextlib.suppress(OSError):
            (tree / "etc/systemd/system/oddsd-cloud.service").unlink()
        await machine.run("rm", "-rf", "/opt/oddsd-cloud", "/opt/cloud-wheels", "/etc/oddsd-cloud")

    assert state == {"Result": "success", "NRestarts": "0"}
