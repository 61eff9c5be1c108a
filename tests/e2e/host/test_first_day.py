"""From a bare Debian to a running edge, with one command, on a real init system."""

import json

import aiomqtt


async def test_check_mode_on_a_bare_host_passes_and_touches_nothing(first_day):
    """An operator rehearses before he lets anything change."""
    assert first_day.rehearsal.code == 0, first_day.rehearsal.end
    assert first_day.rehearsal.changed > 0
    assert first_day.left_by_rehearsal == ""


async def test_one_run_makes_a_service_that_said_it_is_ready(house, first_day):
    """Type=notify: active means that the daemon itself said so, with its status line."""
    state = await house.machine.show("ActiveState", "SubState", "Type", "NotifyAccess", "StatusText", "WatchdogUSec")
    enabled = await house.machine.run("systemctl", "is-enabled", "oddsd")
    print(f"provisioned in {first_day.seconds:.0f} s: {state['StatusText']}")

    assert (state["ActiveState"], state["SubState"], state["Type"]) == ("active", "running", "notify")
    assert state["StatusText"].startswith("ok")
    assert state["WatchdogUSec"] == "1min 30s"
    assert enabled[1].strip() == "enabled"


async def test_the_running_unit_is_as_closed_as_promised(house):
    """Exposure 1.5 or less, as the machine's own systemd counts it."""
    _, said, _ = await house.machine.run("systemd-analyze", "security", "--no-pager", "--threshold=15", "oddsd.service")
    print(said.strip().splitlines()[-1])

    assert "Overall exposure level" in said


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


async def test_secrets_stand_nowhere_in_the_open(house):
    """Only root and the daemon get to see them."""
    _, found, _ = await house.machine.run(
        "grep", "--recursive", "--files-with-matches", "gsk-a-secret-of-the-test", "/etc", "/opt", "/run", "/var/log",
        check=False,
    )  # fmt: skip
    modes = await house.machine.run("stat", "--format=%a %U", "/etc/oddsd/credentials")
    nobody = await house.machine.run(
        "setpriv", "--reuid=nobody", "--clear-groups", "ls", "/var/lib/oddsd", check=False
    )

    assert [path for path in found.split() if not path.startswith("/run/credentials/")] == []
    assert modes[1].strip() == "700 root"
    assert nobody[0] != 0


async def test_an_operator_of_the_group_may_ask_without_being_root(house):
    """`oddsd status` is for people, not for root."""
    await house.machine.run("useradd", "--create-home", "--groups", "oddsd", "ann")
    code, said, err = await house.machine.run("runuser", "--user", "ann", "--", "oddsd", "status", "--json", check=False)

    assert code == 0, err
    assert json.loads(said)["running"] is True


async def test_a_wrong_variable_stops_before_anything_changes(house):
    """argument_specs speak first."""
    played = await house.control.play(**house.variables | {"oddsd_edge_state": "running"})

    assert played.code != 0
    assert played.changed == 0
    assert "value of oddsd_edge_state must be one of" in played.said
