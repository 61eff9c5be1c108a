"""SIGHUP as systemd sends it: taken whole or not at all, and told in one conversation that begins and ends."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import pytest

from tests.demo.processes import BIN, Child
from tests.e2e.edge import Ear, Edge

QUIET = "".join(f"[jobs.{job}]\nenabled = false\n" for job in ("collect", "analyse", "benchmark", "predict", "models"))


@pytest.fixture
async def running(tmp_path) -> AsyncIterator[tuple[Edge, Ear, Child]]:
    """A daemon that is ready, and what it tells."""
    async with Edge(tmp_path, tables=QUIET) as edge:
        ear = Ear(edge)
        child = edge.child = await Child.start(
            "edge", BIN / "oddsd", "run", "--config", edge.config,
            log_dir=tmp_path, env={"NOTIFY_SOCKET": str(ear.path)},
        )  # fmt: skip
        await ear.until("READY=1")
        yield edge, ear, child
        assert await child.stop() == 0
        ear.close()


def _rewrite(edge: Edge, **values: object) -> None:
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
    kept = [line for line in edge.config.read_text().splitlines(keepends=True) if line.split(" = ")[0] not in values]
    edge.config.write_text("".join([*lines, *kept]))


async def test_a_changed_configuration_is_taken_as_a_whole_by_the_same_process(running):
    """RELOADING, then READY, and every setting counts: here the log, a job and the file's own name for the broker."""
    edge, ear, child = running
    before = (await edge.ask("status"))["started_at"]
    _rewrite(edge, log_level="debug", ai_insights_per_tick=3)

    child.process.send_signal(signal.SIGHUP)
    await ear.until("RELOADING=1")
    pair = ear.heard[-1]
    await ear.until("READY=1")

    assert pair[0] == "RELOADING=1"
    assert pair[1].startswith("MONOTONIC_USEC=")
    assert child.process.returncode is None
    assert (await edge.ask("status"))["started_at"] != before
    assert not any("STOPPING=1" in lines for lines in ear.heard)


async def test_an_unchanged_configuration_disturbs_nothing(running):
    """A storm of reloads from a deployment loop costs the runs under way nothing."""
    edge, ear, child = running
    before = (await edge.ask("status"))["started_at"]

    for _ in range(20):
        child.process.send_signal(signal.SIGHUP)
    await ear.until("READY=1")

    assert (await edge.ask("status"))["started_at"] == before


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"mqtt_prot": 1}, "mqtt_prot: no such setting"),
        ({"host_id": "another"}, "host_id: taken at start only"),
        ({"processing_experiments": ["no_such_experiment"]}, "no_such_experiment"),  # good on paper only
    ],
    ids=["a typo", "fixed at start", "fails when opened"],
)
async def test_a_wrong_configuration_is_refused_in_words_and_the_old_one_goes_on(running, changed, reason):
    """The status line says why until a reload is good again."""
    edge, ear, child = running
    good = edge.config.read_text()
    _rewrite(edge, **changed)

    child.process.send_signal(signal.SIGHUP)
    refused = await ear.until("reload refused")
    await ear.until("READY=1")
    works = (await edge.ask("status"))["host_id"]
    edge.config.write_text(good)
    child.process.send_signal(signal.SIGHUP)
    await ear.until("RELOADING=1")
    healed = await ear.until("STATUS=")

    assert reason in refused
    assert works == "e2e"
    assert "reload refused" not in healed


async def test_a_configuration_that_is_gone_is_no_reason_to_go(running):
    """A file being rewritten may be missing for a moment."""
    edge, ear, child = running
    edge.config.unlink()

    child.process.send_signal(signal.SIGHUP)

    assert "no configuration file at" in await ear.until("reload refused")
    await ear.until("READY=1")


async def test_a_stop_during_a_reload_stops(running):
    """The stronger wish wins."""
    edge, _, child = running
    _rewrite(edge, log_level="debug")

    child.process.send_signal(signal.SIGHUP)
    child.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        code = await child.process.wait()

    assert code == 0
