"""What systemd receives is what was meant, also beyond ASCII; where nobody listens nothing happens."""

import socket
import tempfile
from contextlib import closing
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
