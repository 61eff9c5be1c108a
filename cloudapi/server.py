"""The HTTP server around the service: ready when it serves, quiet when it stops.

Law of stopping: the signal only sets a flag; streams end and readiness fails, then uvicorn drains requests, then the
lifespan closes the pools. uvicorn alone would wait for ever on an open stream. Garbage collection is frozen after
start-up: it is the framework's tail latency (p99 54 ms against 9 ms measured under load). A client that takes nothing
is cut off by the kernel after half a minute, at a stop after a second: what waits for him would hold up all the others.
"""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

import uvicorn
import uvloop
from litestar import Litestar

from cloudapi.services import Services
from cloudapi.settings import CloudSettings

TAKES_NOTHING_MS = 30_000  # unacknowledged that long: nobody is there
STALLED_AT_STOP_S = 1.0  # what is unsent by then has nobody who takes it


class CloudServer(uvicorn.Server):
    """uvicorn, one worker, with our order of stopping."""

    def __init__(self, config: uvicorn.Config, services: Services, on_ready: Callable[[int], None]) -> None:
        super().__init__(config)
        self._services = services
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Bind, then freeze what was built, then tell that we serve and on which port."""
        await super().startup(sockets)
        for listening in (each for server in self.servers for each in server.sockets):
            # Accepted connections inherit it. Linux; elsewhere the system's own patience must do.
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKES_NOTHING_MS)
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        self._on_ready(self.servers[0].sockets[0].getsockname()[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's, but a connection whose client takes nothing is not waited for."""
        self._services.stopping.set()  # also where nobody sent a signal
        cutting = asyncio.create_task(self._cut_stalled(), name="cut stalled connections")
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    async def _cut_stalled(self) -> None:
        while True:
            await asyncio.sleep(STALLED_AT_STOP_S)
            for connection in list(self.server_state.connections):
                transport = connection.transport
                if transport is not None and transport.get_write_buffer_size():
                    transport.abort()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The flag first; a second signal does not wait for requests."""
        self._services.stopping.set()
        super().handle_exit(sig, frame)


def serve(
    make_app: Callable[[], Litestar],
    settings: CloudSettings,
    *,
    on_ready: Callable[[int], None],
    beside: Callable[[asyncio.Event], Coroutine[Any, Any, None]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. Returns after a clean stop instead of dying by the signal.

    Args:
        make_app: called inside the event loop that will serve it.
        on_ready: told the port once requests are answered.
        beside: work of the same process until the event is set; what it raises ends the service.
    """

    async def run() -> None:
        app = make_app()
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            timeout_graceful_shutdown=settings.drain_s,
            log_config=None,
            ws="websockets-sansio",  # the older implementation is on its way out
            ws_max_size=4096,  # nobody has anything to say to us
            access_log=False,  # counted in /metrics; a line per request costs a fifth of the throughput
            server_header=False,
            proxy_headers=False,  # X-Forwarded-For is written by the caller
        )
        server = CloudServer(config, app.state.services, on_ready)
        if beside is None:
            await server.serve()
            return
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(beside(stop), name="beside")
            await server.serve()
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the captured signal again when it is done; there is more to close than uvicorn knows of.
        signal.signal(number, _already_stopping)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def _already_stopping(_number: int, _frame: FrameType | None) -> None:
    """The signal has had its effect."""
