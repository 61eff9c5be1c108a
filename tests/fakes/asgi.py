"""Runs an ASGI app on a free loopback port inside the caller's own event loop.

Law: no threads, no signal handlers, the port is chosen by the kernel, and leaving the block closes every connection.
Used by the fakes of the outside world (exchanges, model service) and by whoever wants a real socket in a test.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import uvicorn


class _LoopServer(uvicorn.Server):
    """uvicorn's server that leaves signals to its owner and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.leaving = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """As uvicorn's, but woken at once instead of looking every tenth of a second."""
        n_ticks = 0
        while not await self.on_tick(n_ticks):
            n_ticks += 10  # the Date header is renewed on every tenth
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.leaving.wait()


async def read_body(receive: Any) -> bytes:
    """All of a request's body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


@asynccontextmanager
async def serve(
    app: Any, *, port: int = 0, lifespan: Literal["on", "off"] = "off", certificate: Path | None = None
) -> AsyncIterator[str]:
    """Yield the base URL of `app`, served on loopback until the block is left.

    Args:
        port: 0 lets the kernel choose a free one.
        lifespan: "on" for apps that open things at start-up.
        certificate: a folder with server.crt and server.key; None: without TLS.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(
        app,
        lifespan=lifespan,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,  # seconds; a dripping answer must not hold up the end of a test
        ssl_certfile=None if certificate is None else certificate / "server.crt",
        ssl_keyfile=None if certificate is None else certificate / "server.key",
    )
    server = _LoopServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="loopback-server")
    ready = asyncio.create_task(server.listening.wait(), name="loopback-ready")
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
            raise RuntimeError("the app ended before it listened: look at its lifespan")
        yield f"http{'' if certificate is None else 's'}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ready.cancel()
        server.should_exit = True
        server.leaving.set()
        await task
        listener.close()
