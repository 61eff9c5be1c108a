"""The command as people run it: a process, its exit code, what it leaves behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
COMMAND = [sys.executable, "-c", "from cloudapi.cli import main; main()"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], env=ENVIRONMENT | environment, capture_output=True, text=True, timeout=60, check=False
    )


class DevService:
    """`oddsd-cloud dev` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.data_dir = directory / "data"
        self.ready_file = directory / "ready.json"
        options = ["--data-dir", str(self.data_dir), "--port", "0", "--ready-file", str(self.ready_file)]
        self.process = subprocess.Popen(
            [*COMMAND, "dev", *options], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.output = ""
        for line in self.process.stdout:
            self.output += line
            if line.startswith("for the edge"):
                break
        if not self.output.splitlines()[-1:] or not self.output.splitlines()[-1].startswith("for the edge"):
            self.process.communicate(timeout=20)
            pytest.fail(f"dev did not start:\n{self.output}")
        # The file follows the line it announces.
        deadline = time.monotonic() + 10
        while not self.ready_file.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.ready = json.loads(self.ready_file.read_text())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.communicate(timeout=20)
        return self.process.returncode, time.monotonic() - started

    def servers(self) -> list[psutil.Process]:
        """PostgreSQL processes of this data directory."""
        return [
            process
            for process in psutil.process_iter(["cmdline"])
            if str(self.data_dir) in " ".join(process.info["cmdline"] or []) and process.pid != self.process.pid
        ]


@pytest.fixture
def directory() -> Iterator[Path]:
    # Not tmp_path: run as root the database belongs to another user, and pytest locks others out of its directories.
    path = Path(tempfile.mkdtemp(prefix="oddsd-dev-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def dev(directory: Path) -> Iterator[DevService]:
    service = DevService(directory)
    yield service
    if service.process.poll() is None:
        service.stop()


def test_dev_serves_with_a_key_and_stops_clean(dev: DevService) -> None:
    """The whole newcomer's way: start, make a key, ask, stop; nothing left running."""
    made = run("key", "create", "--name", "demo", "--tier", "pro", "--json", DATABASE_URL=dev.ready["database_url"])
    key = json.loads(made.stdout)["key"]
    with httpx.Client(base_url=dev.ready["url"]) as http:
        health = http.get("/health")
        refused = http.get("/v1/markets")
        page = http.get("/v1/markets", headers={"authorization": f"Bearer {key}"})
    assert (health.status_code, refused.status_code, page.status_code) == (200, 401, 200)
    assert dev.ready["pid"] == dev.process.pid
    assert "edge_ingest" in dev.ready["edge_database_url"]

    code, seconds = dev.stop()

    assert code == 0
    assert seconds < 2
    assert dev.servers() == []


def test_dev_does_what_the_worker_does(dev: DevService) -> None:
    """One command for one machine: days ahead are made, and whatever is owed is sent, without a second terminal."""
    done = "select count(*) from worker_run where duty = 'ensure_ahead' and finished_at is not null"
    deadline = time.monotonic() + 15
    with psycopg.connect(dev.ready["database_url"], autocommit=True) as connection:
        while not connection.execute(done).fetchone()[0]:
            assert time.monotonic() < deadline, "no duty was done"
            time.sleep(0.05)
        busy = connection.execute("select count(*) from pg_stat_activity where application_name = 'oddsd-cloud worker'")
        assert busy.fetchone()[0] == 1

    code, seconds = dev.stop()

    assert code == 0
    assert seconds < 3


def test_a_key_is_made_with_any_scope(dev: DevService) -> None:
    """`manage` opens the dashboard and makes keys; who delivers does nothing else."""
    dsn = dev.ready["database_url"]

    def make(*scopes: str) -> subprocess.CompletedProcess[str]:
        given = [word for scope in scopes for word in ("--scope", scope)]
        return run("key", "create", "--name", "a", *given, "--json", DATABASE_URL=dsn)

    manages, reads, both = make("read", "manage"), make(), make("ingest", "read")
    answers = {}
    for name, made in (("manages", manages), ("reads", reads)):
        headers = {"authorization": f"Bearer {json.loads(made.stdout)['key']}"}
        answers[name] = httpx.get(f"{dev.ready['url']}/v1/api-keys", headers=headers).status_code

    assert answers == {"manages": 200, "reads": 403}
    assert json.loads(manages.stdout)["scopes"] == ["read", "manage"]
    assert both.returncode == 78
    assert "ingest goes alone" in both.stderr


def test_dev_keeps_its_data_and_adopts_an_orphan(dev: DevService, directory: Path) -> None:
    """A killed service leaves its server behind; the next start takes it over, keys included."""
    run("key", "create", "--name", "kept", "--tier", "basic", DATABASE_URL=dev.ready["database_url"])
    dev.process.kill()
    dev.process.communicate()
    dev.ready_file.unlink()

    again = DevService(directory)
    listed = run("key", "list", "--json", DATABASE_URL=again.ready["database_url"])
    code, _ = again.stop(signal.SIGINT)

    assert [row["name"] for row in json.loads(listed.stdout)] == ["kept"]
    assert "up to date" in again.output
    assert code == 0
    assert again.servers() == []


def test_second_dev_on_the_same_directory_is_refused(dev: DevService) -> None:
    """Two owners would stop the server under each other."""
    second = run("dev", "--data-dir", str(dev.data_dir), "--port", "0")

    assert second.returncode == 75
    assert "another process" in second.stderr
    assert httpx.get(f"{dev.ready['url']}/health").status_code == 200


def test_key_is_shown_once_and_revoked_by_prefix(dev: DevService) -> None:
    """Create, list, revoke, revoke again."""
    dsn = dev.ready["database_url"]
    made = json.loads(run("key", "create", "--name", "a", "--tier", "pro", "--json", DATABASE_URL=dsn).stdout)

    listed = run("key", "list", DATABASE_URL=dsn).stdout
    revoked = run("key", "revoke", made["prefix"], DATABASE_URL=dsn)
    again = run("key", "revoke", made["prefix"], DATABASE_URL=dsn)

    assert made["prefix"] in listed
    assert made["key"] not in listed
    assert revoked.returncode == 0
    assert again.returncode == 1
    response = httpx.get(f"{dev.ready['url']}/v1/markets", headers={"authorization": f"Bearer {made['key']}"})
    assert response.status_code == 401


def test_dev_refuses_production() -> None:
    """It trusts every local user."""
    refused = run("dev", ODDSD_ENV="production")

    assert refused.returncode == 78
    assert "production" in refused.stderr


def test_wrong_configuration_lists_every_fault() -> None:
    """One round of mending, not five."""
    refused = run("serve", ODDSD_ENV="production", DATABASE_URL="mysql://x", REDIS_URL="http://x", PORT="http")

    assert refused.returncode == 78
    for name in ("DATABASE_URL", "REDIS_URL", "PORT", "JWT_SECRET"):
        assert f"configuration: {name}: " in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("command", [("migrate",), ("key", "list")])
def test_database_that_is_away_is_said_in_words(command: tuple[str, ...]) -> None:
    """A pre-deploy command that fails must say why in one line."""
    failed = run(*command, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")

    assert failed.returncode == 69
    assert "DATABASE_URL does not answer" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_serve_binds_both_families_and_says_503_without_a_database() -> None:
    """IPv4 and IPv6 alike; a service that starts before its database waits instead of dying."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", str(port)],
        env=ENVIRONMENT | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout.readline() == f"serving on port {port}\n"
    try:
        answers = [httpx.get(f"http://{host}:{port}/health") for host in ("127.0.0.1", "[::1]")]
        alive = httpx.get(f"http://127.0.0.1:{port}/healthz")
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)

    assert [answer.status_code for answer in answers] == [503, 503]
    assert alive.status_code == 200
    assert process.returncode == 0
