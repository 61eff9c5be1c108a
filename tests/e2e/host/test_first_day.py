"""From a bare Debian to a running edge, with one command, on a real init system."""

import asyncio
import json

import aiomqtt
import pytest

from tests.e2e.host.house import SECRET
from tests.e2e.host.playbook import ROOT, VENV

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the loop the servers of the house live in


async def test_check_mode_on_a_bare_host_passes_and_touches_nothing(rehearsal):
    """An operator rehearses before he lets anything change, and is told what the host lacks."""
    assert rehearsal.played.code == 0, rehearsal.played.end
    assert rehearsal.played.changed > 0
    assert rehearsal.left == ""
    assert "No time service runs" in rehearsal.played.said


async def test_one_run_makes_a_service_that_said_it_is_ready(house):
    """Type=notify: active means that the daemon itself said so, with its status line."""
    await house.machine.until_status("ok · ")  # the broker's greeting may take a moment
    state = await house.machine.show("ActiveState", "SubState", "Type", "NotifyAccess", "StatusText", "WatchdogUSec")
    enabled = await house.machine.run("systemctl", "is-enabled", "oddsd")
    print(state["StatusText"])

    assert (state["ActiveState"], state["SubState"], state["Type"]) == ("active", "running", "notify")
    assert state["StatusText"].startswith("ok")
    assert state["WatchdogUSec"] == "1min 30s"
    assert enabled[1].strip() == "enabled"


@pytest.mark.parametrize("unit", ["oddsd.service", "oddsd-backup.service"])
async def test_a_running_unit_is_as_closed_as_promised(house, unit):
    """Exposure 1.5 or less, as the machine's own systemd counts it, drop-ins included."""
    _, said, _ = await house.machine.run("systemd-analyze", "security", "--no-pager", "--threshold=15", unit)
    print(said.strip().splitlines()[-1])

    assert "Overall exposure level" in said


async def test_the_machines_systemd_has_nothing_to_say_about_the_units(house):
    """A directive it does not know is only a warning at start: hardening that is not there."""
    units = ("oddsd.service", "oddsd-backup.service", "oddsd-backup.timer")
    code, _, warnings = await house.machine.run("systemd-analyze", "verify", "--man=no", *units, check=False)

    assert (code, [line for line in warnings.splitlines() if "oddsd" in line]) == (0, [])


async def test_a_second_run_and_a_check_change_nothing(house):
    """What is right is left alone."""
    again = await house.control.play(**house.variables)
    check = await house.control.play("--check", "--diff", **house.variables)

    assert (again.code, again.changed) == (0, 0), again.end
    assert (check.code, check.changed) == (0, 0), check.end


async def test_a_collected_tick_arrives_in_postgres_and_at_the_broker(house):
    """The whole road from the exchanges' servers to the cloud's, through a hardened unit."""
    async with aiomqtt.Client(house.broker.host, house.broker.port) as listener:
        await listener.subscribe("oddsd/home-1/#")
        result = await house.tick()
        heard = set()
        async for message in listener.messages:
            heard.add(str(message.topic).rsplit("/", 1)[-1])
            if {"availability", "health"} <= heard:
                break

    assert result["state"] == "ok", result
    await house.until_drained()
    verdict = await house.verdict()
    assert verdict.lost == verdict.doubled == verdict.foreign == 0, verdict
    assert verdict.rows_in_cloud > 300, verdict


async def test_the_model_service_is_reached_with_the_secret_that_systemd_handed_over(house):
    """A daemon without its key would say that analysis is off and ask nobody."""
    result = await house.machine.ask("run_now", job="models")

    assert result["state"] == "ok", result
    assert house.groq.n_listed > 0


async def test_secrets_stand_nowhere_in_the_open(house):
    """Only root and the daemon get to see them."""
    _, found, _ = await house.machine.run(
        "grep", "--recursive", "--files-with-matches", SECRET, "/etc", "/opt", "/run", "/var/log",
        check=False,
    )  # fmt: skip
    modes = await house.machine.run("stat", "--format=%a %U", "/etc/oddsd/credentials")
    nobody = await house.machine.run("setpriv", "--reuid=nobody", "--clear-groups", "ls", "/var/lib/oddsd", check=False)

    assert [path for path in found.split() if not path.startswith("/run/credentials/")] == []
    assert modes[1].strip() == "700 root"
    assert nobody[0] != 0


async def test_an_operator_of_the_group_may_ask_without_being_root(house):
    """`oddsd status` is for people, not for root."""
    await house.machine.run("useradd", "--create-home", "--groups", "oddsd", "ann")
    code, said, err = await house.machine.run(
        "runuser", "--user", "ann", "--", "oddsd", "status", "--json", check=False
    )

    assert code == 0, err
    assert json.loads(said)["running"] is True


async def test_the_example_inventory_holds_two_hosts_and_the_jetson_has_its_own_variables(house):
    """Who copies it starts from something that is right."""
    process = await asyncio.create_subprocess_exec(
        str(VENV / "bin" / "ansible-inventory"), "--inventory", "inventory/example.yml", "--list",
        stdout=asyncio.subprocess.PIPE, cwd=ROOT / "ansible",
    )  # fmt: skip
    out, _ = await process.communicate()
    hosts = json.loads(out)["_meta"]["hostvars"]

    assert set(hosts) == {"home-1", "jetson-1"}
    assert hosts["jetson-1"]["oddsd_edge_python_source"] == "uv"
    assert "oddsd_edge_python_source" not in hosts["home-1"]
    assert hosts["jetson-1"]["oddsd_edge_credentials"] == hosts["home-1"]["oddsd_edge_credentials"]


async def test_a_wrong_variable_stops_before_anything_changes(house):
    """argument_specs speak first."""
    played = await house.control.play(**house.variables | {"oddsd_edge_state": "running"})

    assert played.code != 0
    assert played.changed == 0
    assert "value of oddsd_edge_state must be one of" in played.said
