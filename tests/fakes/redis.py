"""Debian's Redis as a test's own server: loopback, free port, nothing kept on disk.

Law: see tests/fakes/process.py. A restart comes back empty, which is what a cache must survive.
"""

import pytest

from tests.fakes.process import ServerProcess, find_program

needs_redis = pytest.mark.skipif(
    find_program("redis-server") is None, reason="Debian's package redis-server is not installed"
)


class RedisServer(ServerProcess):
    """One server without persistence."""

    program = "redis-server"
    ready_words = "Ready to accept connections"

    @property
    def url(self) -> str:
        """What REDIS_URL would be."""
        return f"redis://{self.host}:{self.port}/0"

    def prepare(self) -> list[str]:
        """No file is written; everything is said on the command line."""
        listen = ["--bind", self.host, "--port", str(self.port), "--daemonize", "no"]
        return [*listen, "--save", "", "--appendonly", "no", "--dir", str(self.folder)]
