"""What systemd receives is what was meant, also beyond ASCII; where nobody listens nothing happens."""

import asyncio
import os
import socket
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path

from agent.status.systemd import ServiceManager


def test_a_status_with_signs_beyond_latin_arrives_as_utf_8(monkeypatch):
    """The library's own encoding would drop the line without a word."""
    with (
        tempfile.TemporaryDirectory(prefix="oddsd-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
    ):
        path = Path(folder) / "notify"
        ear.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))

        with closing(ServiceManager()) as systemd:
            systemd.tell("STATUS=● ok · 0 pending", "WATCHDOG=1")

        assert ear.recv(4096).decode() == "STATUS=● ok · 0 pending\nWATCHDOG=1"


def test_without_a_service_manager_nothing_happens(monkeypatch):
    """The daemon also runs in a terminal."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    with closing(ServiceManager()) as systemd:
        systemd.tell("READY=1")


def test_a_reload_is_announced_with_the_clock_in_one_datagram(monkeypatch):
    """systemd from 253 on waits for the pair; apart, `systemctl reload` would hang."""
    with _ear(monkeypatch) as ear, closing(ServiceManager()) as systemd:
        before = time.monotonic_ns() // 1000
        systemd.reloading()
        first, second = ear.recv(4096).decode().splitlines()

    assert first == "RELOADING=1"
    name, _, reading = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(reading) <= time.monotonic_ns() // 1000


async def test_a_long_start_asks_for_more_time_and_stops_asking(monkeypatch):
    """A migration may take longer than any limit; a hang after it must not be covered up."""
    with _ear(monkeypatch) as ear, closing(ServiceManager()) as systemd:
        async with systemd.more_time():
            await asyncio.sleep(0)
            asked = ear.recv(4096).decode()
        left = [task for task in asyncio.all_tasks() if task.get_name() == "more-time"]

    assert asked == "EXTEND_TIMEOUT_USEC=60000000"
    assert left == []


def test_the_watchdogs_patience_is_only_ours_if_it_means_us(monkeypatch):
    """A child that inherits the environment is not the one systemd watches."""
    systemd = ServiceManager()
    for environment, expected in (
        ({}, None),
        ({"WATCHDOG_USEC": "90000000"}, 90.0),
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": str(os.getpid())}, 90.0),
        ({"WATCHDOG_USEC": "90000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ):
        for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert systemd.watchdog_s == expected, environment


@contextmanager
def _ear(monkeypatch):
    """A service manager's socket that hears what is told."""
    with (
        tempfile.TemporaryDirectory(prefix="oddsd-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear,
    ):
        ear.bind(f"{folder}/notify")
        ear.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{folder}/notify")
        yield ear
