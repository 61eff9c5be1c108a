"""A real mail server on loopback (aiosmtpd) that keeps what it took and answers as a test tells it to.

Law: it holds state and is asked for it. `answers` maps a recipient to the reply its RCPT gets, `refuse_data` to the
reply its text gets; `drop_after_data` cuts the line after the text was taken, before the reply. QUIT is answered when
`may_leave` is set, which it is at first. `senders` holds the envelope's sender of each recipient's last mail.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import Message
from typing import Any

import pytest


class FakeMailServer:
    """The handler of the server, and its memory."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Message]] = []
        self.senders: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.refuse_data: dict[str, str] = {}
        self.drop_after_data = False
        self.n_connections = 0
        self.took = asyncio.Event()
        self.leaving = asyncio.Event()
        self.may_leave = asyncio.Event()
        self.may_leave.set()
        self.url = ""

    async def handle_EHLO(  # noqa: N802  the library asks for these names
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.n_connections += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        (address,) = envelope.rcpt_tos
        if address in self.refuse_data:
            return self.refuse_data[address]
        self.taken.append((address, message_from_bytes(envelope.content)))
        self.senders[address] = envelope.mail_from
        self.took.set()
        if self.drop_after_data:
            server.transport.abort()
        return "250 taken"

    async def handle_QUIT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        self.leaving.set()
        await self.may_leave.wait()
        return "221 bye"

    def to(self, address: str) -> list[Message]:
        """What this address was sent."""
        return [message for name, message in self.taken if name == address]


@asynccontextmanager
async def mail_server() -> AsyncIterator[FakeMailServer]:
    """Serve on a free port until the block is left."""
    smtp = pytest.importorskip("aiosmtpd.smtp", reason="the mail server of the tests is aiosmtpd (dev dependencies)")
    kept = FakeMailServer()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: smtp.SMTP(kept, hostname="mx.test", loop=loop), "127.0.0.1", 0)
    kept.url = f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield kept
    finally:
        server.close()
