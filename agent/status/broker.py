"""One connection to an MQTT broker: made, spoken over and closed so that a stop is always heard. Used by mqtt.py.

Law: only MqttError leaves; a connection that was made is closed, whenever the stop came; where the daemon goes on
purpose, "offline" is said first.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt
import msgspec

QOS = 1


async def publish(client: aiomqtt.Client, topic: str, payload: msgspec.Struct | bytes, *, retain: bool) -> None:
    body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
    await client.publish(topic, body, qos=QOS, retain=retain)
    notice_stop()


def notice_stop() -> None:
    # aiomqtt waits with asyncio.wait_for, which before Python 3.12 loses a cancellation that comes together with the
    # awaited answer (bpo-37658); without this look a stop at that moment is never heard. May go with Python 3.11.
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def tls_context(ca_file: str | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as exc:
        raise aiomqtt.MqttError(f"certificate authority {ca_file}: {exc}") from exc


@asynccontextmanager
async def connection(client: aiomqtt.Client) -> AsyncIterator[aiomqtt.Client]:
    """A connection that is closed whenever it was made: aiomqtt connects in a thread nobody can stop half-way."""
    connecting = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        await asyncio.wait({connecting}, timeout=client.timeout)
        if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
            await _close(client)
        raise
    except UnicodeError as exc:  # a host name that no resolver could be asked for
        raise aiomqtt.MqttError(str(exc)) from exc
    try:
        yield client
    finally:
        await _close(client)


async def _close(client: aiomqtt.Client) -> None:
    # A broker that is gone cannot confirm; what ended the session matters more than how it was closed.
    with contextlib.suppress(aiomqtt.MqttError):
        await client.__aexit__(None, None, None)


@asynccontextmanager
async def farewell(client: aiomqtt.Client, availability: str) -> AsyncIterator[None]:
    """Say offline before a clean disconnect: the broker keeps the last will to itself then."""
    try:
        yield
    finally:
        with contextlib.suppress(aiomqtt.MqttError):
            await client.publish(availability, b"offline", qos=QOS, retain=True)
