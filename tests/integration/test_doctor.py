"""`oddsd doctor`, `queue` and `show-config` as an operator uses them: with and without a daemon, on good and bad houses."""

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from agent.doctor import broker, cloud, journal, place, unit
from agent.doctor.findings import Verdict, exit_code, failed, good, render, skipped, unknown, warning
from agent.settings import load_settings
from agent.settings_origins import load_effective
from agent.store.ballast import BALLAST_BYTES, NAME, ensure_ballast
from tests.demo.processes import BIN, clean_environment
from tests.e2e.edge import Edge
from tests.environment import PLAIN_NAMES
from tests.fakes.mosquitto import Mosquitto, needs_mosquitto
from tests.fakes.process import free_port

ROOT = Path(__file__).resolve().parents[2]
QUIET = "".join(
    f"[jobs.{job}]\nenabled = false\n" for job in ("collect", "analyse", "benchmark", "predict", "pairs", "arbitrage")
)


async def oddsd(*arguments: object, **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        BIN / "oddsd", *map(str, arguments), env=clean_environment() | environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


DOCUMENTED = set(re.findall(r"^\| (D\d\d) \|", (ROOT / "docs" / "operate.md").read_text(), re.MULTILINE))


def settings_of(folder, **values):
    file = folder / "oddsd.toml"
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    return load_settings(file)


def by_id(findings) -> dict[str, Verdict]:
    return {one.id: one.verdict for one in findings}


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([good("D01", "a", "x"), skipped("D02", "b", "x")], 0),
        ([good("D01", "a", "x"), warning("D02", "b", "x", "y")], 1),
        ([warning("D01", "a", "x", "y"), failed("D02", "b", "x", "y")], 2),
        ([warning("D01", "a", "x", "y"), unknown("D02", "b", "x", "y")], 3),
        ([unknown("D01", "a", "x", "y"), failed("D02", "b", "x", "y")], 2),
    ],
)
def test_the_exit_code_is_the_worst_finding(findings, code):
    """Scripts act on it; a failure is worse than not knowing."""
    assert exit_code(findings) == code
    assert all(one.id in render(findings) for one in findings)


async def test_a_house_without_a_daemon_is_examined(tmp_path):
    """The file answers for itself while nobody holds it; ids are unique and in order; JSON says the same."""
    async with Edge(tmp_path, tables=QUIET) as edge:
        child = await edge.start()
        await child.stop()
        code, text = await oddsd("doctor", "--deep", "--config", edge.config)
        _, told = await oddsd("doctor", "--json", "--offline", "--config", edge.config)

    lines = re.findall(r"^(D\d\d)  (\S+)", text, re.MULTILINE)
    assert [id_ for id_, _ in lines] == sorted({id_ for id_, _ in lines})
    verdicts = dict(lines)
    assert set(verdicts) == DOCUMENTED
    assert verdicts["D12"] == "--"
    assert verdicts["D07"] == verdicts["D08"] == verdicts["D09"] == "ok"
    assert verdicts["D11"] == "WARN"
    assert code == 1
    assert json.loads(told)["schema_version"] == 1


async def test_a_running_house_is_examined_through_its_daemon(tmp_path):
    """Nobody else may open the file."""
    async with Edge(tmp_path, tables=QUIET) as edge:
        child = await edge.start()
        _, told = await oddsd("doctor", "--json", "--offline", "--config", edge.config)
        await child.stop()

    found = {one["id"]: one["verdict"] for one in json.loads(told)["findings"]}
    assert found["D07"] == found["D09"] == "good"
    assert found["D11"] in {"good", "warning"}


async def test_the_ways_out_are_gone_by_the_daemon_with_its_own_secrets(tmp_path):
    """A shell has none of them: it would say that no cloud is configured. None of them is told either."""
    async with Edge(tmp_path, tables=QUIET) as edge:
        child = await edge.start(ODDSD_DATABASE_URL="postgresql://edge:hunter2@127.0.0.1:1/hunter2")
        _, told = await oddsd("doctor", "--json", "--config", edge.config)
        await child.stop()
        _, alone = await oddsd("doctor", "--json", "--config", edge.config)

    found = {one["id"]: one for one in json.loads(told)["findings"]}
    assert (found["D14"]["verdict"], found["D15"]["verdict"]) == ("good", "failed")
    assert "hunter2" not in told
    assert {one["text"] for one in json.loads(alone)["findings"] if one["id"] == "D14"} == {"no cloud is configured"}


async def test_a_hole_in_the_outbox_is_found(tmp_path, store, clock):
    """Conservation is counted, not believed."""
    from agent.desk.base import Desk
    from agent.desk.doctor import AskStoreHealth
    from tests.factories import make_market

    desk = Desk(store, settings_of(tmp_path), clock.now)
    async with store.write() as tx:
        tx.emit(make_market())
    assert by_id(await AskStoreHealth().answer(desk))["D09"] is Verdict.GOOD
    async with store.write() as tx:
        await tx.execute("UPDATE streams SET next_seq = next_seq + 5")

    assert by_id(await AskStoreHealth().answer(desk))["D09"] is Verdict.FAILED


async def test_what_the_cloud_lost_and_streams_begun_anew_are_told(tmp_path, store, clock):
    """Both pass without a word on the screen; a rotation asked for by hand, or of long ago, is no news."""
    from agent.core.instants import to_ms
    from agent.desk.base import Desk
    from agent.desk.doctor import AskStoreHealth
    from agent.desk.rotate import AskRotate

    desk = Desk(store, settings_of(tmp_path), clock.now)
    await AskRotate().answer(desk)
    before = by_id(await AskStoreHealth().answer(desk))
    async with store.write() as tx:
        await tx.execute("INSERT INTO gaps (stream_id, lo, hi, found_at) VALUES ('s', 3, 7, ?)", (to_ms(clock.now),))
    await AskRotate(reason="another copy of this buffer has spoken since").answer(desk)
    found = {one.id: one for one in await AskStoreHealth().answer(desk)}
    later = by_id(await AskStoreHealth().answer(Desk(store, desk.settings, clock.now + timedelta(days=8))))

    assert (before["D31"], before["D32"]) == (Verdict.GOOD, Verdict.GOOD)
    assert found["D31"].verdict is found["D32"].verdict is Verdict.WARNING
    assert "1 gap, 5 rows" in found["D31"].text
    assert "another copy" in found["D32"].text
    assert (later["D31"], later["D32"]) == (Verdict.WARNING, Verdict.GOOD)


async def test_our_side_of_the_stream_is_told_for_comparison(tmp_path, store, clock):
    """Given and receipted; a database that is not there has no side to tell."""
    from agent.desk.base import Desk
    from agent.desk.doctor import AskStreamHere
    from tests.factories import make_market

    settings = settings_of(tmp_path, data_dir=str(tmp_path))
    for number in range(3):
        async with store.write() as tx:
            tx.emit(make_market(market_key=f"kalshi:M{number}"))
    async with store.write() as tx:
        await tx.execute("UPDATE batches SET acked_at = 1 WHERE lo <= 2")
    told = await AskStreamHere().answer(Desk(store, settings, clock.now))

    assert told is not None
    assert (told.last_seq, told.acked_seq) == (3, 2)
    elsewhere = settings_of(tmp_path, data_dir=str(tmp_path / "other"))
    assert await AskStreamHere().answer(Desk(store, elsewhere, clock.now)) is None


def test_the_ballast_must_hold_its_room(tmp_path):
    """A sparse file of the right length gives nothing back when the disk is full."""
    settings = settings_of(tmp_path, data_dir=str(tmp_path))
    assert place.ballast(settings).verdict is Verdict.SKIPPED
    settings.database_path.touch()
    assert place.ballast(settings).verdict is Verdict.WARNING
    with (tmp_path / NAME).open("wb") as file:
        file.truncate(BALLAST_BYTES)
    assert place.ballast(settings).verdict is Verdict.WARNING
    (tmp_path / NAME).unlink()
    if ensure_ballast(tmp_path):
        assert place.ballast(settings).verdict is Verdict.GOOD


@pytest.mark.parametrize(
    ("version", "kind", "controllers", "verdict", "word"),
    [
        ("systemd 252 (252.39-1)", "notify", {"cpu", "memory"}, Verdict.GOOD, "252"),
        ("systemd 247 (247.3-7)", "notify", {"memory"}, Verdict.WARNING, "PrivateIPC (since 248)"),
        ("systemd 252", "notify", {"cpu"}, Verdict.WARNING, "no memory controller"),
        ("systemd 252", "notify", None, Verdict.GOOD, "252"),
        ("systemd 252", "simple", {"memory"}, Verdict.WARNING, "not used: readiness"),
        ("", "notify", {"memory"}, Verdict.UNKNOWN, "version"),
    ],
)
def test_what_the_unit_asks_for_is_held_against_the_system(version, kind, controllers, verdict, word):
    """An old systemd ignores what it does not know, and a board without the memory controller every limit."""
    had = None if controllers is None else frozenset(controllers)
    found = unit.features(version, {"Type": kind, "MemoryMax": "524288000"}, had)
    assert (found.id, found.verdict) == ("D26", verdict)
    assert word in found.text


def test_a_secret_that_systemd_cannot_read_is_told_with_what_to_do():
    """The number comes from before our program begins: nothing of ours could explain it in the log."""
    locked = unit.restarts({"ExecMainStatus": "243", "NRestarts": "9", "WatchdogUSec": "1min 30s"})
    open_ = unit.restarts({"ExecMainStatus": "0", "NRestarts": "0", "WatchdogUSec": "1min 30s"})

    assert (locked.id, locked.verdict, open_.verdict) == ("D25", Verdict.FAILED, Verdict.GOOD)
    assert "243" in locked.text
    assert "playbook" in (locked.fix or "")


def test_every_directive_held_against_the_system_is_in_the_unit():
    """A check of what the unit no longer asks for would warn about nothing."""
    text = (ROOT / "systemd" / "oddsd.service").read_text()
    assert all(re.search(rf"^{word}=", text, re.MULTILINE) for word in [*unit._SINCE, "MemoryMax"])


def test_the_days_log_tells_of_clock_jumps_and_of_its_own_size():
    """Words that are no JSON are passed over; a log nobody can read is no quiet day."""
    quiet = ["Started oddsd.service.", '{"action": "run_ended", "job": "clock_jumped"}']
    jumped = [*quiet, '{"action": "clock_jumped", "jumped_s": 3600.0}', '{"action": "clock_jumped", "jumped_s": -12.0}']

    assert by_id(journal.read(quiet)) == {"D29": Verdict.GOOD, "D30": Verdict.GOOD}
    rate, jumps = journal.read(jumped)
    assert "4 lines" in rate.text
    assert jumps.verdict is Verdict.WARNING
    assert "2 in the last day, the last by -12 s" in jumps.text
    assert by_id(journal.read(quiet * 30_000))["D29"] is Verdict.WARNING
    for one in journal.read([]):
        assert one.verdict is Verdict.UNKNOWN
        assert one.text.startswith("not recorded")


def test_the_jump_that_is_looked_for_is_the_one_that_is_logged():
    """The log's word and the doctor's are one."""
    assert 'action="clock_jumped", jumped_s=' in (ROOT / "agent" / "jobs" / "clock.py").read_text()


def test_secrets_in_a_file_everybody_reads_are_a_failure(tmp_path):
    """The commonest leak of all; closed to others it is still a warning."""
    settings = settings_of(tmp_path, groq_api_key="gsk-something-long")
    file = tmp_path / "oddsd.toml"
    file.chmod(0o644)
    assert place.credentials(settings, file).verdict is Verdict.FAILED
    file.chmod(0o640)
    assert place.credentials(settings, file).verdict is Verdict.WARNING
    file.write_text("")
    assert place.credentials(settings, file).verdict is Verdict.GOOD


def test_a_missing_directory_is_named_and_mended(tmp_path):
    """--fix does this much and no more."""
    settings = settings_of(tmp_path, data_dir=str(tmp_path / "data"))
    assert place.data_dir(settings).verdict is Verdict.FAILED

    assert place.mend(settings) == [f"made {tmp_path / 'data'}"]
    assert place.data_dir(settings).verdict in {Verdict.GOOD, Verdict.FAILED}  # failed where /tmp is a tmpfs
    assert place.mend(settings) == []


def test_memory_is_no_place_for_a_record(tmp_path):
    """A database on tmpfs is gone with the next boot."""
    assert place._file_system(place.Path("/proc")) == "proc"
    settings = settings_of(tmp_path, data_dir="/dev/shm")
    if place._file_system(settings.data_dir) == "tmpfs":
        assert place.data_dir(settings).verdict is Verdict.FAILED


async def test_the_first_thing_wrong_on_the_way_is_named(tmp_path):
    """Nobody is told about rights at a port that does not answer."""
    port = free_port()
    settings = settings_of(tmp_path, database_url=f"postgresql://x:y@127.0.0.1:{port}/z")

    async def look() -> None:
        return None

    found = by_id(await cloud.checks(settings, look))
    assert {found[id_] for id_ in ("D12", "D18", "D19", "D20")} == {Verdict.SKIPPED}
    assert (found["D14"], found["D15"], found["D16"], found["D17"]) == (
        Verdict.GOOD, Verdict.FAILED, Verdict.SKIPPED, Verdict.SKIPPED,
    )  # fmt: skip


@needs_mosquitto
async def test_the_broker_is_asked_for_a_round_trip(tmp_path):
    """Signing in is not enough: rights may keep what is said."""
    async with Mosquitto() as server:
        settings = settings_of(tmp_path, mqtt_host=server.host, mqtt_port=server.port)
        assert by_id(await broker.checks(settings)) == {"D22": Verdict.GOOD, "D23": Verdict.UNKNOWN}
    async with Mosquitto(users={"a": "b"}) as server:
        settings = settings_of(tmp_path, mqtt_host=server.host, mqtt_port=server.port, mqtt_username="a")
        (first, second) = await broker.checks(settings)
    assert first.verdict is Verdict.FAILED
    assert second.verdict is Verdict.SKIPPED


async def test_the_queue_tells_what_waits_and_why(tmp_path):
    """Without a cloud everything waits; a batch tells what is in it; an unknown number is a sentence."""
    async with Edge(tmp_path, tables=QUIET) as edge:
        child = await edge.start()
        await child.stop()
        code, text = await oddsd("queue", "--config", edge.config)
        missing, said = await oddsd("queue", "999999", "--config", edge.config)

    assert code == 0
    assert text.startswith("stream ")
    assert missing == 64
    assert "no batch of stream" in said


async def test_a_queue_without_a_database_tells_of_no_stream(tmp_path):
    """The empty database that answers for a missing one has a stream; it ends with the answer."""
    async with Edge(tmp_path, tables=QUIET) as edge:
        code, text = await oddsd("queue", "--config", edge.config)
        status, told = await oddsd("queue", "--json", "--config", edge.config)
        missing, said = await oddsd("queue", "7", "--config", edge.config)
        made = edge.database.exists()

    assert (code, status, missing, made) == (0, 0, 64, False)
    assert text == "nothing was collected yet: no database, nothing waits for the cloud\n"
    assert json.loads(told)["stream_id"] is None
    assert "nothing was collected yet" in said


async def test_a_batch_shows_what_is_in_it(store, clock, tmp_path):
    """By kind, without its texts; one that was set aside comes first, with the reason."""
    from agent.desk.base import Desk
    from agent.desk.queue import AskQueue, render
    from tests.factories import make_market

    desk = Desk(store, settings_of(tmp_path), clock.now)
    for number in range(2):
        async with store.write() as tx:
            tx.emit(make_market(market_key=f"kalshi:M{number}"))
    async with store.write() as tx:
        await tx.execute("UPDATE batches SET held_reason = '22003: out of range' WHERE lo = 2")

    found = await AskQueue().answer(desk)
    assert [batch.lo for batch in found.batches] == [2, 1]
    assert "why: 22003" in render(found)
    (one,) = (await AskQueue(show=1).answer(desk)).batches
    assert one.kinds == {"market": 1}
    assert "market 1" in render(await AskQueue(show=1).answer(desk))


def test_each_setting_tells_where_it_comes_from(tmp_path, monkeypatch):
    """Environment before credential before file before default, as the daemon reads them; secrets are masked."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "mqtt_password").write_text("canary-broker")
    file = tmp_path / "oddsd.toml"
    file.write_text('mqtt_host = "broker"\nmqtt_port = 1884\ngroq_base_url = "http://u:canary-url@host/v1"\n')
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv("ODDSD_MQTT_PORT", "1885")
    monkeypatch.setenv("GROQ_API_KEY", "canary-groq")
    assert "GROQ_API_KEY" in PLAIN_NAMES

    found = {one.name: one for one in load_effective(file, known_jobs=())}
    assert (found["mqtt_port"].origin, found["mqtt_port"].value) == ("environment", 1885)
    assert (found["mqtt_host"].origin, found["mqtt_host"].value) == ("file", "broker")
    assert (found["mqtt_password"].origin, found["mqtt_password"].value) == ("credential", "***")
    assert (found["groq_api_key"].origin, found["groq_api_key"].value) == ("environment", "***")
    assert (found["mqtt_prefix"].origin, found["mqtt_prefix"].value) == ("default", "oddsd")
    assert "canary" not in str(found)
