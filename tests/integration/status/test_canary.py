"""No secret leaves by any surface: a daemon full of canaries goes through failures, and every word of it is searched.

Each secret is a different bird, so that a failure names the one that got out, and where.
"""

import asyncio
import json
import socket
import urllib.request
from pathlib import Path

import aiomqtt
import pytest

from tests.demo.processes import BIN, clean_environment
from tests.e2e.edge import Edge
from tests.fakes.mosquitto import Mosquitto, needs_mosquitto
from tests.fakes.process import free_port

BIRDS = {
    "groq_api_key": "canary-groq-7d1f6a90b2c4",
    "database_url": "postgresql://edge_ingest:canary-database-5e8c@127.0.0.1:9/none",
    "mqtt_password": "canary-broker-91bd3f77",
    "alert_urls": "json://user:canary-alert-2f6e@127.0.0.1:9/canary-path-of-a-bot-token-44",
    "sentry_dsn": "https://canarysentry0123456789abcdef@127.0.0.1:9/7",
    "heartbeat": "http://127.0.0.1:9/canary-heartbeat-uuid-8842",
}
SONGS = (
    "canary-groq-7d1f6a90b2c4", "canary-database-5e8c", "canary-broker-91bd3f77", "canary-alert-2f6e",
    "canary-path-of-a-bot-token-44", "canarysentry0123456789abcdef", "canary-heartbeat-uuid-8842",
)  # fmt: skip


async def oddsd(*arguments: object, **environment: str) -> str:
    """A command's words, both streams, whatever its end."""
    process = await asyncio.create_subprocess_exec(
        BIN / "oddsd", *map(str, arguments), env=clean_environment() | environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return out.decode()


async def everything_said(broker: Mosquitto, until: asyncio.Event, heard: list[str]) -> None:
    async with aiomqtt.Client(broker.host, broker.port, username="watcher", password="watcher") as client:
        await client.subscribe("#", qos=1)
        async for message in client.messages:
            heard.append(f"{message.topic}: {message.payload!r}")
            if str(message.topic).endswith("/health"):
                until.set()


@needs_mosquitto
async def test_no_canary_is_heard_on_any_surface(tmp_path):
    """Log, status, snapshot, MQTT, metrics, doctor, show-config, queue, the journal of systemd, the database."""
    port = free_port()
    users = {"oddsd": BIRDS["mqtt_password"], "watcher": "watcher"}
    async with Mosquitto(users=users) as broker:
        heard, spoken = list[str](), asyncio.Event()
        listener = asyncio.create_task(everything_said(broker, spoken, heard))
        secrets = {
            "ODDSD_GROQ_API_KEY": BIRDS["groq_api_key"],
            "ODDSD_DATABASE_URL": BIRDS["database_url"],
            "ODDSD_MQTT_PASSWORD": BIRDS["mqtt_password"],
            "ODDSD_ALERT_URLS": BIRDS["alert_urls"],
            "ODDSD_SENTRY_DSN": BIRDS["sentry_dsn"],
            "ODDSD_JOBS__COLLECT__HEARTBEAT_URL": BIRDS["heartbeat"],
        }
        async with Edge(
            tmp_path, polymarket_url="http://127.0.0.1:9", kalshi_url="http://127.0.0.1:9",
            groq_base_url="http://127.0.0.1:9", mqtt_host=broker.host, mqtt_port=broker.port, mqtt_username="oddsd",
            metrics_port=port, alert_after_min=0, log_level="debug",
        ) as edge:  # fmt: skip
            child = await edge.start(**secrets)
            surfaces = {"run-now": json.dumps(await edge.ask("run_now", job="collect"))}
            async with asyncio.timeout(30):
                await spoken.wait()
            asked = [["status"], ["status", "--json"], ["check"], ["queue"], ["runs"], ["show-config"],
                     ["show-config", "--json"], ["doctor", "--json"]]  # fmt: skip
            said = await asyncio.gather(*(oddsd(*words, "--config", edge.config, **secrets) for words in asked))
            surfaces |= {" ".join(words): text for words, text in zip(asked, said, strict=True)}
            answer = await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/metrics", None, 5)
            surfaces["metrics"] = answer.read().decode()
            async with asyncio.timeout(40):
                while "alert_failed" not in (log := _log(tmp_path)):
                    await asyncio.sleep(0.2)
            surfaces["snapshot"] = (edge.sockets / "status.json").read_text()
            await child.stop()
            surfaces["log"] = _log(tmp_path)
            surfaces["bad config"] = await oddsd(
                "check-config", "--file", edge.config, **secrets | {"ODDSD_MQTT_PROT": "1", "ODDSD_DATABASE_URL": "http://x:canary-database-5e8c@y"},
            )  # fmt: skip
            for file in edge.database.parent.iterdir():
                if file.is_file():
                    surfaces[file.name] = file.read_bytes().decode("latin-1")
        listener.cancel()
        surfaces["mqtt"] = "\n".join(heard)

    assert log
    assert "oddsd/e2e/state" in surfaces["mqtt"]
    assert "oddsd_level" in surfaces["metrics"]
    assert {song: where for where, text in surfaces.items() for song in SONGS if song in text} == {}


def _log(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.glob("*.log"))


@pytest.fixture
def sentry_inbox():
    """A Sentry that keeps the bytes it is sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    yield listener
    listener.close()


def test_what_sentry_gets_has_a_traceback_and_no_secret(sentry_inbox):
    """In a process of its own: the library keeps global state."""
    import subprocess
    import sys
    import threading
    import zlib

    received = bytearray()

    def take() -> None:
        connection, _ = sentry_inbox.accept()
        with connection:
            connection.settimeout(5)
            while b"\r\n\r\n" not in received:
                received.extend(connection.recv(65536))
            head, _, body = bytes(received).partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(body) < length:
                more = connection.recv(65536)
                received.extend(more)
                body += more
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    taker = threading.Thread(target=take)
    taker.start()
    program = f"""
import structlog
from agent.log import configure
from agent.sentry import watch_errors
secrets = ["canary-groq-7d1f6a90b2c4"]
configure(json=True, secrets=secrets)
watch_errors("http://key@127.0.0.1:{sentry_inbox.getsockname()[1]}/7", release="0", host_id="home-1", secrets=secrets)
try:
    raise ValueError("refused: canary-groq-7d1f6a90b2c4")
except ValueError:
    structlog.get_logger("x").exception("a verb failed", action="verb_failed")
import sentry_sdk
sentry_sdk.flush(5)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    taker.join()
    _, _, body = bytes(received).partition(b"\r\n\r\n")
    text = (zlib.decompress(body, 31) if body[:2] == b"\x1f\x8b" else body).decode()

    assert "ValueError" in text
    assert "refused: ***" in text
    assert "canary" not in text
    assert "canary" not in done.stderr
