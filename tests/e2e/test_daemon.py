"""The daemon as an operator meets it: READY soon, honest exit codes, an orderly end, bad days survived."""

import asyncio
import contextlib
import json
import sqlite3
import time

import aiomqtt
import pytest

from tests.demo.processes import BIN, Child, clean_environment
from tests.e2e.edge import Ear, Edge
from tests.fakes.exchange import ExchangeServer
from tests.fakes.mosquitto import Mosquitto, needs_mosquitto
from tests.fakes.world import World

QUIET = "".join(f"[jobs.{job}]\nenabled = false\n" for job in ("collect", "analyse", "benchmark", "predict"))


async def oddsd(*arguments: object) -> tuple[int, str, str]:
    """Run the command to its end: (exit code, stdout, stderr)."""
    process = await asyncio.create_subprocess_exec(
        BIN / "oddsd", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=clean_environment(),
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def test_it_runs_without_cloud_broker_key_or_network(tmp_path):
    """Nothing outside is a condition for starting: the house watches even when the line is down."""
    async with Edge(
        tmp_path, polymarket_url="http://127.0.0.1:9", kalshi_url="http://127.0.0.1:9", tables=QUIET
    ) as edge:
        child = await edge.start()
        code, out, _ = await oddsd("status", "--json", "--config", edge.config)

        assert code == 0
        assert json.loads(out)["report"]["figures"]["cloud_connected"] is None
        began = time.monotonic()
        assert await child.stop() == 0
        assert time.monotonic() - began < 20


async def test_an_unreachable_cloud_only_grows_the_backlog(tmp_path):
    """Collecting never waits for sending."""
    async with (
        ExchangeServer(World(n_ticks=2)) as exchange,
        Edge(
            tmp_path,
            database_url="postgresql://nobody@127.0.0.1:9/none",
            polymarket_url=exchange.polymarket_url,
            kalshi_url=exchange.kalshi_url,
            tables=QUIET,
        ) as edge,
    ):
        child = await edge.start()
        first = await edge.ask("run_now", job="collect")
        before = (await edge.ask("status"))["figures"]["pending_rows"]
        exchange.forward()
        second = await edge.ask("run_now", job="collect")
        after = (await edge.ask("status"))["figures"]["pending_rows"]
        assert await child.stop() == 0

    assert (first["state"], second["state"]) == ("ok", "ok")
    assert after > before > 0


@pytest.mark.parametrize(("venue", "other"), [("polymarket", "kalshi"), ("kalshi", "polymarket")])
async def test_a_venue_that_fails_leaves_the_other_working(tmp_path, venue, other):
    """The run is partial and says why; the other venue's markets are there."""
    async with ExchangeServer(World(n_ticks=1)) as exchange:
        urls = {"polymarket_url": exchange.polymarket_url, "kalshi_url": exchange.kalshi_url}
        urls[f"{venue}_url"] = "http://127.0.0.1:9"
        async with Edge(tmp_path, **urls) as edge:
            code, out, _ = await oddsd("once", "collect", "--json", "--config", edge.config)
            (result,) = json.loads(out)
            connection = sqlite3.connect(edge.database)
            venues = [row[0] for row in connection.execute("SELECT DISTINCT venue FROM markets")]
            connection.close()

    assert code == 1
    assert result["state"] == "partial"
    assert venue in result["reason"]
    assert venues == [other]


async def test_a_wrong_configuration_lists_all_faults_and_exits_78(tmp_path):
    """systemd must not restart it, and a person must see everything at once."""
    file = tmp_path / "bad.toml"
    file.write_text('mqtt_prot = 1\nkalshi_url = "nowhere"\n[jobs.colect]\nenabled = true\n')

    for command in (["check-config", "--file"], ["run", "--config"], ["once", "collect", "--config"]):
        code, _, err = await oddsd(*command, file)
        assert code == 78, command
        assert "mqtt_port" in err, command
        assert "kalshi_url" in err, command


async def test_a_good_and_a_missing_configuration_are_told_apart(tmp_path):
    """0 and 66: a deployment script can act on them."""
    file = tmp_path / "good.toml"
    file.write_text('host_id = "home-1"\n')

    assert (await oddsd("check-config", "--file", file))[0] == 0
    assert (await oddsd("check-config", "--file", tmp_path / "none.toml"))[0] == 66


async def test_a_second_daemon_is_refused_with_75(tmp_path):
    """Two writers on one buffer would fork its numbers."""
    async with Edge(tmp_path, tables=QUIET) as edge:
        child = await edge.start()
        code, _, err = await oddsd("once", "collect", "--config", edge.config)
        await child.stop()

    assert code == 75
    assert "run-now" in err


async def test_status_of_a_stopped_daemon_is_stale_and_exits_3(tmp_path):
    """The last words are shown as what they are."""
    async with Edge(tmp_path, tables=QUIET) as edge:
        child = await edge.start()
        await child.stop()
        code, out, _ = await oddsd("status", "--config", edge.config)
        nothing, _, err = await oddsd("status", "--config", _elsewhere(tmp_path))

    assert code == 3
    assert "not running" in out
    assert nothing == 3
    assert "oddsd run" in err or "systemctl" in err


def _elsewhere(folder):
    file = folder / "elsewhere.toml"
    file.write_text(f"runtime_dir = {json.dumps(str(folder / 'never'))}\n")
    return file


async def test_a_run_cut_off_by_kill_9_is_recovered_at_the_next_start(tmp_path):
    """Recovery is the normal start."""
    async with ExchangeServer(World(n_ticks=1)) as exchange:
        exchange.fault("polymarket", "drip", 1)
        urls = {"polymarket_url": exchange.polymarket_url, "kalshi_url": exchange.kalshi_url}
        tables = "".join(f"[jobs.{job}]\nenabled = false\n" for job in ("analyse", "benchmark", "predict"))
        async with Edge(tmp_path, **urls, tables=tables) as edge:
            child = await edge.start()  # a fresh install collects at once
            async with asyncio.timeout(20):
                while not exchange.requests:
                    await asyncio.sleep(0.02)
            await child.kill()
            child = await edge.start()
            async with asyncio.timeout(30):
                while not (await edge.ask("status"))["figures"]["markets_open"].get("polymarket"):
                    await asyncio.sleep(0.1)
            await child.stop()
            connection = sqlite3.connect(edge.database)
            states = [row[0] for row in connection.execute("SELECT state FROM job_runs WHERE job = 'collect'")]
            connection.close()

    assert "running" not in states
    assert "ok" in states


@needs_mosquitto
async def test_status_reaches_a_broker_and_says_offline_at_the_end(tmp_path):
    """The operator's dashboards hear of every start and of every orderly end."""
    async with Mosquitto() as broker, aiomqtt.Client(broker.host, broker.port) as listener:
        await listener.subscribe("oddsd/e2e/#")
        async with Edge(tmp_path, mqtt_host=broker.host, mqtt_port=broker.port, tables=QUIET) as edge:
            child = await edge.start()
            heard = dict[str, str]()
            async with asyncio.timeout(20):
                async for message in listener.messages:
                    heard[str(message.topic)] = bytes(message.payload).decode()
                    if heard.get("oddsd/e2e/availability") == "online" and "oddsd/e2e/state" in heard:
                        break
                await child.stop()
                async for message in listener.messages:
                    if str(message.topic) == "oddsd/e2e/availability":
                        last_word = bytes(message.payload).decode()
                        break

    assert json.loads(heard["oddsd/e2e/state"])["level"] == "ok"
    assert last_word == "offline"


async def test_a_control_socket_that_was_swept_away_starves_the_watchdog(tmp_path):
    """Nobody can ask such a daemon anything: a restart gives it a new one. It says which part of it is deaf."""
    impatient = "import agent.daemon as d; d.CONTROL_SILENT_S = 1.0; from agent.cli import main; main()"
    async with Edge(tmp_path, tables=QUIET) as edge:
        ear = Ear(edge)
        edge.child = await Child.start(
            "edge", BIN / "python", "-c", impatient, "run", "--config", edge.config,
            log_dir=tmp_path, env={"NOTIFY_SOCKET": str(ear.path), "WATCHDOG_USEC": "1500000"},
        )  # fmt: skip
        await ear.until("READY=1")
        for _ in range(3):
            await ear.until("WATCHDOG=1")

        (edge.sockets / "control.sock").unlink()
        with contextlib.suppress(TimeoutError):  # one or two more may be under way; the test's own limit ends the rest
            while True:
                await ear.until("WATCHDOG=1", within_s=4)

        assert '"loops":["control"]' in edge.child.log.read_text()
        assert await edge.child.stop() == 0
        ear.close()
