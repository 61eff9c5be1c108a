"""One server process of a figure: ours with its limits lifted, or a bare route with the same body. Prints its port.

`python -m tests.bench.cloud.served ours` reads DATABASE_URL; `litestar FILE` and `fastapi FILE` answer the file's bytes.
"""

import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvicorn
import uvloop

from cloudapi import server, tiers
from cloudapi.app import create_app
from cloudapi.settings import CloudSettings

ENDLESS = 10**9


def main() -> None:
    """Serve until the parent ends us."""
    kind = sys.argv[1]
    if kind == "ours":
        _lift_limits()
        _log_to_nowhere()
        settings = CloudSettings.load(host="127.0.0.1", port=0)
        server.serve(lambda: create_app(settings), settings, on_ready=_tell)
        return
    body = Path(sys.argv[2]).read_bytes()
    app = {"litestar": _litestar, "fastapi": _fastapi}[kind](body)
    uvloop.run(_Telling(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False)).serve())


class _Telling(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        _tell(self.servers[0].sockets[0].getsockname()[1])


def _tell(port: int) -> None:
    print(port, flush=True)


def _lift_limits() -> None:
    """What is measured is the work of a request, limiter included, not the limit."""
    for tier, right in tiers.ENTITLEMENTS.items():
        tiers.ENTITLEMENTS[tier] = msgspec.structs.replace(
            right, requests_per_minute=ENDLESS, requests_per_month=ENDLESS, live_streams=ENDLESS
        )


def _log_to_nowhere() -> None:
    """Lines are made as in production; nobody reads them here, and a full pipe would stop the server."""
    last = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), last],
        logger_factory=structlog.PrintLoggerFactory(Path(os.devnull).open("w", encoding="utf-8")),  # noqa: SIM115
        cache_logger_on_first_use=True,
    )


def _litestar(body: bytes) -> Any:
    from litestar import Litestar, Response, get

    @get("/")
    async def answer() -> Response[bytes]:
        return Response(body, media_type="application/json")

    return Litestar([answer], openapi_config=None, logging_config=None)


def _fastapi(body: bytes) -> Any:
    from fastapi import FastAPI, Response

    app = FastAPI(openapi_url=None)

    @app.get("/")
    async def answer() -> Response:
        return Response(body, media_type="application/json")

    return app


if __name__ == "__main__":
    main()
