"""The packaged servers as fakes: they start on their own port, come back empty, and leave nothing behind."""

import asyncio
import contextlib

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisUnreachable

from tests.fakes.process import ServerProcess
from tests.fakes.redis import RedisServer, needs_redis


@needs_redis
async def test_redis_comes_back_empty_on_the_same_port() -> None:
    """What the cloud's cache must survive: gone, then there again without its memory."""
    async with RedisServer() as server, contextlib.aclosing(Redis.from_url(server.url)) as client:
        await client.set("key", "value")
        assert await client.get("key") == b"value"
        await server.kill()
        with pytest.raises(RedisUnreachable):
            await client.get("key")

        await server.start()
        assert await client.get("key") is None


@needs_redis
async def test_leaving_ends_the_server_and_removes_its_folder() -> None:
    """A test run leaves no process and no file behind."""
    async with RedisServer() as server:
        folder = server.folder

    assert not folder.exists()
    with pytest.raises(OSError, match=r"refused|Connect"):
        await asyncio.open_connection(server.host, server.port)


async def test_server_that_dies_at_once_is_an_error_with_its_log() -> None:
    """A wrong argument must show the server's own words at once, not a timeout after ten seconds."""

    class Broken(ServerProcess):
        program = "sh"
        ready_words = "never"

        def prepare(self) -> list[str]:
            return ["-c", "echo wrong argument; exit 2"]

    with pytest.raises(RuntimeError, match="wrong argument"):
        async with asyncio.timeout(5), Broken():
            pass
