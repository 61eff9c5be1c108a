"""`oddsd doctor`, `queue` and `show-config` as an operator uses them: with and without a daemon, on good and bad houses."""

import asyncio
import json
import re

import pytest

from agent.doctor import network, place
from agent.doctor.findings import Verdict, exit_code, failed, good, render, skipped, unknown, warning
from agent.settings import load_settings
from agent.settings_origins import load_effective
from tests.conftest import PLAIN_NAMES
from tests.demo.processes import BIN, clean_environment
from tests.e2e.edge import Edge
from tests.fakes.mosquitto import Mosquitto, needs_mosquitto
from tests.fakes.process import free_port

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

    found = by_id(await network.cloud(settings))
    assert (found["D14"], found["D15"], found["D16"], found["D17"]) == (
        Verdict.GOOD, Verdict.FAILED, Verdict.SKIPPED, Verdict.SKIPPED,
    )  # fmt: skip


@needs_mosquitto
async def test_the_broker_is_asked_for_a_round_trip(tmp_path):
    """Signing in is not enough: rights may keep what is said."""
    async with Mosquitto() as broker:
        settings = settings_of(tmp_path, mqtt_host=broker.host, mqtt_port=broker.port)
        assert by_id(await network.broker(settings)) == {"D22": Verdict.GOOD, "D23": Verdict.UNKNOWN}
    async with Mosquitto(users={"a": "b"}) as broker:
        settings = settings_of(tmp_path, mqtt_host=broker.host, mqtt_port=broker.port, mqtt_username="a")
        (first, second) = await network.broker(settings)
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
