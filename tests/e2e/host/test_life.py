"""A service's bad days on a real init system: reloads, missing secrets, hangs, kills, power cuts, a dead line."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.errors import OddsdError
from tests.e2e.host.releases import own_version

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the loop the servers of the house live in

SLOTS_OF_A_DAY = 96
# Two ways to hang, by signal: all at once, and one loop alone (whose minute of patience is a second here).
HANG = """
import gc, signal, time

def everything(*_):
    time.sleep(3600)

def job_clock(*_):
    from agent.jobs.clock import JobClock
    JobClock._pause_s = lambda self: 3600.0
    for pulse in gc.get_objects():
        if type(pulse).__name__ == "Pulse" and pulse.name == "job-clock":
            pulse._deadline_s = 1.0

signal.signal(signal.SIGUSR1, everything)
signal.signal(signal.SIGUSR2, job_clock)
"""


async def _reload(house) -> None:
    await house.machine.run("systemctl", "reload", "oddsd")


async def _until_ready_again(house, since: int) -> None:
    """Wait until the daemon has said READY once more."""
    async with asyncio.timeout(180):
        while (await house.machine.journal()).count('"action":"ready"') <= since:
            await asyncio.sleep(0.2)


async def _n_ready(house) -> int:
    return (await house.machine.journal()).count('"action":"ready"')


@asynccontextmanager
async def _drop_in(house, text: str) -> AsyncIterator[None]:
    """Directives for the length of a test."""
    file = house.machine.tree / "etc/systemd/system/oddsd.service.d/test.conf"
    file.write_text(f"[Service]\n{text}")
    await house.machine.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        file.unlink()
        await house.machine.run("systemctl", "daemon-reload")
        await house.machine.run("systemctl", "restart", "oddsd")


async def test_a_good_reload_takes_the_whole_configuration_without_a_new_process(house):
    """What an operator changes counts at once; systemd sees a reload, not a restart."""
    file = house.machine.tree / "etc/oddsd/oddsd.toml"
    good = file.read_text()
    before = await house.machine.show("MainPID", "NRestarts")
    n_ready = await _n_ready(house)

    file.write_text(good.replace('log_level = "info"', 'log_level = "debug"'))
    await _reload(house)
    await _until_ready_again(house, n_ready)
    after = await house.machine.show("MainPID", "NRestarts", "ActiveState")

    assert after == before | {"ActiveState": "active"}
    assert (await house.tick())["state"] == "ok"
    file.write_text(good)
    await _reload(house)
    await _until_ready_again(house, n_ready + 1)


async def test_a_bad_reload_leaves_the_running_configuration_and_says_so(house):
    """A typo must not end what runs; the status line tells it until the next good reload."""
    file = house.machine.tree / "etc/oddsd/oddsd.toml"
    good = file.read_text()
    before = await house.machine.show("MainPID")
    try:
        file.write_text(f"mqtt_prot = 1\n{good}")
        await _reload(house)
        refused = await house.machine.until_status("reload refused: mqtt_prot: no such setting")
        still_works = await house.tick()
    finally:
        file.write_text(good)
        await _reload(house)
    healed = await house.machine.until_status("reload refused", present=False)

    assert refused["MainPID"] == healed["MainPID"] == before["MainPID"]
    assert still_works["state"] == "ok"


async def test_a_storm_of_reloads_ends_in_one_running_service(house):
    """A broken deployment loop must not wear the daemon out."""
    before = await house.machine.show("MainPID", "NRestarts")
    for _ in range(40):
        await house.machine.run("systemctl", "kill", "--kill-whom=main", "--signal=HUP", "oddsd")

    state = await house.machine.until_status("ok")
    assert (await house.tick())["state"] == "ok"
    assert {name: state[name] for name in before} == before


async def test_a_missing_credential_ends_with_78_and_its_name_and_no_restart(house):
    """A person must act: trying again every five seconds would only hide it."""
    credential = house.machine.tree / "etc/oddsd/credentials/database_url"
    aside = credential.rename(house.machine.tree / "etc/oddsd/aside")
    try:
        await house.machine.run("systemctl", "restart", "oddsd", check=False)
        state = await house.machine.until(ActiveState="failed", SubState="failed")
        state |= await house.machine.show("ExecMainStatus", "NRestarts")
        said = await house.machine.journal("oddsd", "--lines=6")
    finally:
        aside.rename(credential)
        await house.machine.run("systemctl", "reset-failed", "oddsd")
        await house.machine.run("systemctl", "start", "oddsd")

    assert (state["ExecMainStatus"], state["NRestarts"]) == ("78", "0")
    assert "credential database_url" in said


@pytest.mark.parametrize(
    ("signal", "shown"),
    [("USR1", 'hang.py", line 5 in everything'), ("USR2", '"loops":["job-clock"]')],
    ids=["everything", "one loop"],
)
async def test_a_hung_loop_is_killed_with_its_stacks_in_the_journal_and_started_again(house, signal, shown):
    """The watchdog is fed by loops that keep their own deadlines, not by a timer: what hangs is seen, shown, cured."""
    (packages,) = (house.machine.tree / "opt/oddsd" / own_version()).glob("lib/python3*/site-packages")
    trap, start = packages / "hang.py", packages / "hang.pth"
    trap.write_text(HANG)
    start.write_text("import hang\n")
    try:
        async with _drop_in(house, "WatchdogSec=5\nRestartSec=1\n"):
            await house.machine.run("systemctl", "restart", "oddsd")
            await asyncio.sleep(6)  # fed for longer than one watchdog's patience
            healthy = await house.machine.show("NRestarts", "ActiveState")
            await house.machine.run("systemctl", "kill", "--kill-whom=main", f"--signal={signal}", "oddsd")
            await house.machine.until(NRestarts="1", ActiveState="active")
            said = await house.machine.journal()
    finally:
        start.unlink()
        trap.unlink()

    assert healthy == {"NRestarts": "0", "ActiveState": "active"}
    assert "Watchdog timeout" in said
    assert "Fatal Python error: Aborted" in said
    assert shown in said  # where it hung, or which loop


async def test_the_work_goes_on_without_a_journal(house):
    """What cannot be logged is lost; what was seen at the exchanges is not."""
    sockets = ("systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald-audit.socket")
    before = await house.machine.show("MainPID", "NRestarts")
    await house.machine.run("systemctl", "stop", *sockets, "systemd-journald.service")
    try:
        result = await house.tick()
        await house.until_drained()
        after = await house.machine.show("MainPID", "NRestarts")
        journal = await house.machine.show("ActiveState", unit="systemd-journald")
    finally:
        await house.machine.run("systemctl", "start", *sockets[:2], "systemd-journald.service")

    assert journal == {"ActiveState": "inactive"}
    assert result["state"] == "ok", result
    assert after == before


async def test_kill_9_in_mid_sync_loses_and_doubles_nothing(house):
    """systemd starts it again by itself, and the next batch goes on where the last one stood."""
    n_before = int((await house.machine.show("NRestarts"))["NRestarts"])
    for number in range(3):
        work = asyncio.ensure_future(house.tick())
        await asyncio.sleep(0.05 * number)
        await house.machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "oddsd")
        with contextlib.suppress(OddsdError, ConnectionError, asyncio.IncompleteReadError):
            await work
        await house.machine.until(NRestarts=str(n_before + number + 1), ActiveState="active")

    assert (await house.tick())["state"] == "ok"
    await house.until_drained()
    verdict = await house.verdict()
    assert verdict.lost == verdict.doubled == verdict.foreign == verdict.quarantined == 0, verdict


async def test_a_power_cut_of_the_whole_machine_loses_nothing_and_it_comes_up_by_itself(house):
    """The ordinary death of a box at home: no signal, no goodbye, and nobody there afterwards."""
    work = asyncio.ensure_future(house.tick())
    await asyncio.sleep(0.1)
    await house.machine.cut_power()
    with contextlib.suppress(OddsdError, ConnectionError, asyncio.IncompleteReadError):
        await work

    await house.machine.boot()
    await house.machine.until(ActiveState="active")
    assert (await house.tick())["state"] == "ok"
    await house.until_drained()
    verdict = await house.verdict()
    assert verdict.lost == verdict.doubled == verdict.foreign == verdict.quarantined == 0, verdict


async def test_a_day_without_the_cloud_drains_when_it_is_back(house):
    """A day's slots are collected while the road to the cloud is closed; none of them is lost or sent twice."""
    house.cloud_door.close()
    for _ in range(SLOTS_OF_A_DAY):
        assert (await house.tick())["state"] == "ok"
    backlog = (await house.figures())["pending_rows"]
    began = time.monotonic()
    house.cloud_door.open = True
    await house.until_drained()
    took = time.monotonic() - began
    print(f"{backlog} rows of {SLOTS_OF_A_DAY} slots drained {took:.1f} s after the cloud was back")

    assert backlog > SLOTS_OF_A_DAY
    verdict = await house.verdict()
    assert verdict.lost == verdict.doubled == verdict.foreign == verdict.quarantined == 0, verdict


async def test_a_dead_line_is_not_a_hang(house):
    """Without any network the service stays active, is fed, answers and starts anew: no order on network-online."""
    async with _drop_in(house, "WatchdogSec=6\n"):
        house.wire.cut()
        try:
            await house.machine.run("systemctl", "restart", "oddsd")
            await asyncio.sleep(8)  # longer than the watchdog's patience
            state = await house.machine.show("ActiveState", "NRestarts")
            code, said, _ = await house.machine.run("oddsd", "status", "--json", check=False)
        finally:
            house.wire.mend()

    assert state == {"ActiveState": "active", "NRestarts": "0"}
    assert code == 0
    assert json.loads(said)["running"] is True
    await house.until_drained()


async def test_sigterm_in_mid_work_stops_well_within_the_limit(house):
    """A reboot must not wait for a model or an exchange."""
    work = asyncio.ensure_future(house.tick())
    await asyncio.sleep(0.05)
    began = time.monotonic()
    await house.machine.run("systemctl", "stop", "oddsd")
    took = time.monotonic() - began
    with contextlib.suppress(OddsdError, ConnectionError, asyncio.IncompleteReadError):
        await work
    state = await house.machine.show("Result", "ExecMainStatus")
    await house.machine.run("systemctl", "start", "oddsd")

    assert took < 20
    assert state == {"Result": "success", "ExecMainStatus": "0"}
