"""A whole house under test: the world's servers, the wire, one machine, and the operator who provisions it."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from agent.errors import OddsdError
from agent.jobs.table import TIMERS
from tests.e2e.host.machine import Machine
from tests.e2e.host.network import WORLD_ADDRESS, Door, Wire
from tests.e2e.host.playbook import Control
from tests.e2e.host.sweep import marked
from tests.e2e.host.tree import CACHE, MACHINES, ROOT, copy_tree, debian_tree, made_once
from tests.fakes.exchange import ExchangeServer
from tests.fakes.groq import GroqServer
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.postgres import EmbeddedPostgres
from tests.fakes.world import World
from tests.oracle import Verdict, judge

EXCHANGE_PORT, GROQ_PORT, POSTGRES_PORT, BROKER_PORT = 8001, 8002, 5432, 1883
N_TICKS = 160  # more than every test together asks for
SECRET = "gsk-a-secret-of-the-test"
# Only what a test asks for runs: no timer of the daemon's own in the middle of it.
QUIET = {name: {"enabled": False} for name in TIMERS}


@dataclass(slots=True)
class House:
    """Everything a test may touch."""

    folder: Path
    wire: Wire
    machine: Machine
    control: Control
    exchange: ExchangeServer
    groq: GroqServer
    broker: Mosquitto
    cloud_door: Door
    postgres: EmbeddedPostgres
    owner_dsn: str
    variables: dict[str, Any]

    @property
    def database(self) -> Path:
        """The daemon's file; only to be opened while it is down."""
        return self.machine.tree / "var/lib/oddsd/oddsd.db"

    async def tick(self) -> dict[str, Any]:
        """One more moment at the exchanges, collected now."""
        self.exchange.forward()
        return dict(await self.machine.ask("run_now", job="collect"))

    async def figures(self) -> dict[str, Any]:
        """What the daemon says of itself, in numbers."""
        return dict((await self.machine.ask("status"))["figures"])

    async def until_drained(self, within_s: float = 300) -> None:
        """Wait until the cloud has everything; a daemon that is just starting is waited for too."""
        async with asyncio.timeout(within_s):
            while True:
                with contextlib.suppress(OddsdError):
                    figures = await self.figures()
                    if figures["cloud_connected"] and not figures["pending_rows"]:
                        return
                await asyncio.sleep(0.1)

    async def verdict(self) -> Verdict:
        """Stop the daemon, compare both databases record by record, start it again."""
        await self.machine.run("systemctl", "stop", "oddsd")
        try:
            return await judge(self.database, self.owner_dsn)
        finally:
            await self.machine.run("systemctl", "start", "oddsd")


@asynccontextmanager
async def open_house(folder: Path) -> AsyncIterator[House]:
    """The world, the wire, a bare machine that is booted, and a control machine; nothing is provisioned yet."""
    name = marked()
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(ExchangeServer(World(n_ticks=N_TICKS)))
        groq = await stack.enter_async_context(GroqServer())
        broker = await stack.enter_async_context(Mosquitto())
        postgres = EmbeddedPostgres().start()
        stack.callback(postgres.stop)
        owner_dsn, edge_dsn = postgres.create_database()
        wire = await stack.enter_async_context(Wire(name))
        await wire.expose(EXCHANGE_PORT, ("127.0.0.1", _port(exchange.url)))
        await wire.expose(GROQ_PORT, ("127.0.0.1", _port(groq.url)))
        await wire.expose(BROKER_PORT, (broker.host, broker.port))
        cloud_door = await wire.expose(POSTGRES_PORT, _socket_of(edge_dsn))
        control = Control(folder, wire, wheelhouse(folder))
        stack.callback(control.hang_up)
        MACHINES.mkdir(parents=True, exist_ok=True)
        tree = MACHINES / name
        stack.callback(subprocess.run, ["rm", "-rf", "--one-file-system", str(tree)], check=False)
        copy_tree(debian_tree(), tree, hostname="home-1", authorized_key=_new_key(control.key))
        machine = await stack.enter_async_context(Machine(tree, wire, name=name, console=folder / "console"))
        variables = _variables(exchange, edge_dsn)
        yield House(folder, wire, machine, control, exchange, groq, broker, cloud_door, postgres, owner_dsn, variables)


def wheelhouse(folder: Path) -> Path:
    """The archives the role installs, made once for all processes of a run; this house's own, to put more beside."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    made, own = CACHE / f"wheelhouse-{run}", folder / "wheelhouse"
    with made_once("wheelhouse"):
        if not made.exists():
            began = time.monotonic()
            for old in CACHE.glob("wheelhouse-*"):  # of another run, perhaps of other code
                shutil.rmtree(old)
            build = [sys.executable, str(ROOT / "ansible/wheelhouse.py"), "--registry", "--uv"]
            subprocess.run([*build, "--into", str(made)], check=True, capture_output=True)
            print(f"built the wheelhouse in {time.monotonic() - began:.0f} s")
        shutil.copytree(made, own)
    return own


def _variables(exchange: ExchangeServer, edge_dsn: str) -> dict[str, Any]:
    """What the operator's inventory says."""
    parts = urlsplit(edge_dsn)
    return {
        "oddsd_edge_config": {
            "log_level": "info",
            "polymarket_url": _outside(exchange.polymarket_url),
            "kalshi_url": _outside(exchange.kalshi_url),
            "groq_base_url": f"http://{WORLD_ADDRESS}:{GROQ_PORT}",
            "mqtt_host": WORLD_ADDRESS,
            "mqtt_port": BROKER_PORT,
            "jobs": QUIET,
        },
        "oddsd_edge_credentials": {
            "groq_api_key": SECRET,
            "database_url": f"postgresql://{parts.username}@{WORLD_ADDRESS}:{POSTGRES_PORT}{parts.path}",
        },
        "oddsd_edge_min_free_mb": 500,
    }


def _outside(url: str) -> str:
    """The address the machine knows a server of the test by."""
    return url.replace(f"127.0.0.1:{_port(url)}", f"{WORLD_ADDRESS}:{EXCHANGE_PORT}")


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _socket_of(dsn: str) -> Path:
    query = parse_qs(urlsplit(dsn).query)
    return Path(unquote(query["host"][0])) / f".s.PGSQL.{query['port'][0]}"


def _new_key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text()
