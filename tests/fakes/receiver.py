"""Somebody's own endpoint: it keeps what it was sent and answers as a test tells it to.

Law: it holds state and is asked for it. `came` is set by each request; `paths` tells where they went.
"""

import asyncio
from typing import Any

from tests.fakes.asgi import read_body


class Receiver:
    """An ASGI app."""

    def __init__(self, *, status: int = 204, body: bytes = b"") -> None:
        self.status = status
        self.body = body
        self.headers: list[tuple[bytes, bytes]] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.came = asyncio.Event()
        self.url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await read_body(receive)
        self.paths.append(scope["path"])
        self.got.append(({name.decode(): value.decode() for name, value in scope["headers"]}, body))
        self.came.set()
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})
