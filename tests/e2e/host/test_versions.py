"""Versions come and go, the data stays: upgrade, rollback, an upgrade that fails, a broker of one's own, uninstall."""

import json

import pytest

from tests.e2e.host.releases import add_release

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the loop the servers of the house live in

NEXT, BROKEN = "0.8.0", "0.9.0"


async def _report(house) -> dict[str, object]:
    _, said, _ = await house.machine.run("oddsd", "status", "--json")
    return dict(json.loads(said)["report"])


async def _backlog(house) -> int:
    """Rows that wait, with the road to the cloud closed."""
    house.cloud_door.close()
    for _ in range(3):
        assert (await house.tick())["state"] == "ok"
    return int((await house.figures())["pending_rows"])


async def test_an_upgrade_and_a_rollback_keep_stream_and_backlog(house):
    """Both directions, with rows that have not been sent: same lineage, same rows, nothing twice."""
    add_release(house.control.wheelhouse, NEXT)
    backlog = await _backlog(house)
    first = await _report(house)

    up = await house.control.play(**house.variables | {"oddsd_edge_version": NEXT})
    second, held = await _report(house), (await house.figures())["pending_rows"]
    down = await house.control.play(playbook="rollback.yml", **house.variables)
    third, still_held = await _report(house), (await house.figures())["pending_rows"]
    house.cloud_door.open = True
    await house.until_drained()
    verdict = await house.verdict()

    assert (up.code, down.code) == (0, 0), up.end + down.end
    assert [report["version"] for report in (first, second, third)] == [first["version"], NEXT, first["version"]]
    assert first["stream_id"] == second["stream_id"] == third["stream_id"]
    assert backlog == held == still_held > 0
    assert verdict.lost == verdict.doubled == verdict.foreign == verdict.quarantined == 0, verdict


async def test_an_upgrade_that_does_not_come_up_is_undone(house):
    """The version that ran runs again by itself, as it was configured, and the run fails with the service's own words."""
    add_release(
        house.control.wheelhouse, BROKEN,
        spoil=("agent/daemon.py", '\nraise SystemExit("a release nobody tried")\n'),
    )  # fmt: skip
    before = await _report(house)
    file = house.machine.tree / "etc/oddsd/oddsd.toml"
    configured = file.read_text()
    wanted = house.variables["oddsd_edge_config"] | {"log_level": "debug"}

    played = await house.control.play(**house.variables | {"oddsd_edge_version": BROKEN, "oddsd_edge_config": wanted})
    await house.machine.until(ActiveState="active")
    after = await _report(house)

    assert played.code != 0
    assert "did not come up" in played.said
    assert "a release nobody tried" in played.said
    assert (after["version"], after["stream_id"]) == (before["version"], before["stream_id"])
    assert file.read_text() == configured
    assert (await house.tick())["state"] == "ok"


async def test_a_wrong_configuration_never_replaces_the_right_one(house):
    """The version that will read it says no before the file is there."""
    file = house.machine.tree / "etc/oddsd/oddsd.toml"
    good = file.read_text()
    wrong = house.variables["oddsd_edge_config"] | {"mqtt_prot": 1}

    played = await house.control.play("--tags", "configure", **house.variables | {"oddsd_edge_config": wrong})

    assert played.code != 0
    assert "mqtt_prot: no such setting" in played.said
    assert file.read_text() == good


async def test_a_broker_on_the_host_speaks_tls_only_and_knows_who_may_what(house):
    """Optional Mosquitto: the daemon writes through TLS, a reader reads, strangers and plain text are refused."""
    config = {key: value for key, value in house.variables["oddsd_edge_config"].items() if not key.startswith("mqtt_")}
    local = house.variables | {
        "oddsd_edge_config": config,
        "oddsd_edge_mosquitto": True,
        "oddsd_edge_mosquitto_password": "daemon-password",
        "oddsd_edge_mosquitto_readers": {"home": "reader-password"},
    }
    parts = ("--tags", "mosquitto,credentials,configure")
    played = await house.control.play(*parts, **local)
    again = await house.control.play(*parts, **local)
    subscribe = ("mosquitto_sub", "-h", "localhost", "-p", "8883", "-t", "oddsd/#", "-C", "1", "-W", "20")
    tls = ("--cafile", "/etc/mosquitto/oddsd/ca.crt")
    await house.machine.run("apt-get", "install", "--yes", "mosquitto-clients")
    reader = await house.machine.run(*subscribe, *tls, "-u", "home", "-P", "reader-password", check=False)
    secrets = [
        f"--property=LoadCredentialEncrypted={name}:/etc/oddsd/credentials/{name}"
        for name in ("database_url", "mqtt_password")
    ]
    as_told = ("systemd-run", "--pipe", "--quiet", "--property=User=oddsd", *secrets, "oddsd", "doctor", "--json")
    _, doctor, _ = await house.machine.run(*as_told, check=False)
    stranger = await house.machine.run(*subscribe, *tls, check=False)
    in_the_open = await house.machine.run(*subscribe, "-u", "home", "-P", "reader-password", check=False)
    back = await house.control.play("--tags", "credentials,configure", **house.variables)

    assert (played.code, again.code, again.changed) == (0, 0, 0), played.end + again.end
    found = {one["id"]: (one["verdict"], one["text"]) for one in json.loads(doctor)["findings"]}
    assert [found[id_][0] for id_ in ("D17", "D22", "D23")] == ["good"] * 3, found
    assert reader[0] == 0, reader
    assert reader[1].strip()
    assert stranger[0] != 0
    assert in_the_open[0] != 0
    assert back.code == 0, back.end


async def test_a_copied_host_goes_on_under_a_stream_of_its_own(house):
    """Two hosts with one stream would overwrite each other's numbers; the copy is told so once and keeps its data."""
    backlog = await _backlog(house)
    before = await _report(house)
    played = await house.control.play("--tags", "service", **house.variables | {"oddsd_edge_new_identity": True})
    after, held = await _report(house), (await house.figures())["pending_rows"]
    house.cloud_door.open = True
    await house.until_drained()
    verdict = await house.verdict()

    assert played.code == 0, played.end
    assert after["stream_id"] != before["stream_id"]
    assert held == backlog > 0
    assert verdict.lost == verdict.doubled == verdict.foreign == verdict.quarantined == 0, verdict


async def test_the_nightly_copy_is_whole_and_can_be_put_back(house):
    """A backup nobody has restored is a hope: the copy goes back, and sync continues under a new lineage."""
    await house.until_drained()
    await house.machine.run("systemctl", "start", "oddsd-backup.service")
    timer = await house.machine.show("ActiveState", unit="oddsd-backup.timer")
    copies = sorted((house.machine.tree / "var/lib/oddsd/backups").glob("oddsd-*.db"))
    await house.tick()
    await house.until_drained()
    before = json.loads((await house.machine.run("oddsd", "status", "--json"))[1])["report"]["stream_id"]

    await house.machine.run("systemctl", "stop", "oddsd")
    await house.machine.run(
        "sh", "-c",
        "cd /var/lib/oddsd && mkdir -p aside && mv oddsd.db* aside/"
        " && install -o oddsd -g oddsd -m 0640 backups/$(ls -t backups | head -1) oddsd.db",
    )  # fmt: skip
    await house.machine.run("systemctl", "start", "oddsd")
    result = await house.tick()
    await house.until_drained()
    report = json.loads((await house.machine.run("oddsd", "status", "--json"))[1])["report"]

    assert timer["ActiveState"] == "active"
    assert len(copies) >= 1
    assert result["state"] == "ok"
    assert report["stream_id"] != before
    assert report["figures"]["pending_rows"] == 0


async def test_uninstall_keeps_the_data_and_a_purge_wants_it_sent_first(house):
    """Removing a program never removes a record by accident."""
    backlog = await _backlog(house)
    purge = house.variables | {"oddsd_edge_state": "absent", "oddsd_edge_purge_state": True}

    refused = await house.control.play(**purge)
    kept = await house.control.play(**house.variables | {"oddsd_edge_state": "absent"})
    rows = house.database.stat().st_size
    unit, _, _ = await house.machine.run("systemctl", "cat", "oddsd", check=False)
    back = await house.control.play(**house.variables)
    held = (await house.figures())["pending_rows"]
    house.cloud_door.open = True
    await house.until_drained()
    gone = await house.control.play(**purge)

    assert refused.code != 0
    assert "rows wait to be sent" in refused.said
    assert (kept.code, back.code, gone.code) == (0, 0, 0), kept.end + back.end + gone.end
    assert rows > 0
    assert unit != 0
    assert held == backlog > 0
    assert not (house.machine.tree / "var/lib/oddsd").exists()
    assert not (house.machine.tree / "etc/oddsd").exists()
    assert not (house.machine.tree / "opt/oddsd").exists()
