"""The checks of the ways out: to the cloud's database and to the MQTT broker. Each await has a limit; nothing is kept.

Law: secrets are used and never said; a check names the first thing on the way that is wrong, those behind it are
skipped.
"""

import asyncio
import secrets
import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
import asyncpg

from agent.doctor import lineage
from agent.doctor.findings import Finding, failed, good, skipped, unknown, warning
from agent.settings import Settings
from agent.status.broker import tls_context
from agent.status.homeassistant import announced, discovery_topic

_LIMIT_S = 5.0
_EXPIRES_SOON = timedelta(days=14)
_CLOUD = (
    ("D14", "cloud DNS"), ("D15", "cloud TCP"), ("D16", "cloud TLS"), ("D17", "cloud rights"),
    ("D18", "cloud writable"), *lineage.NAMES,
)  # fmt: skip
_RIGHTS = """
SELECT current_user AS who, pg_is_in_recovery() AS standby,
    current_setting('default_transaction_read_only') = 'on' AS read_only,
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
    (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public'
        AND p.proname IN ('edge_hello', 'edge_apply') AND has_function_privilege(p.oid, 'EXECUTE')) AS functions,
    (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public'
        AND c.relkind IN ('r', 'p') AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')) AS tables,
    (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls
"""


async def cloud(settings: Settings, look: lineage.Look) -> list[Finding]:
    """D12, D14 to D20. `look` tells of our side of the stream."""
    if settings.database_url is None:
        over = "no cloud is configured" if settings.cloud_url is None else "sent over HTTPS; oddsd audit compares"
        return [skipped(id_, name, over) for id_, name in _CLOUD]
    url = settings.database_url.get_secret_value()
    host, port = urlsplit(url).hostname or "localhost", urlsplit(url).port or 5432
    found = [await _resolves(host, port)]
    if found[-1].fix is None:
        found.append(await _connects(host, port))
    if found[-1].fix is None:
        found += await _signs_in(url, look)
    seen = {one.id for one in found}
    late = [skipped(id_, name, "see the line above") for id_, name in _CLOUD if id_ not in seen]
    return sorted([*found, *late], key=lambda one: one.id)


async def _resolves(host: str, port: int) -> Finding:
    try:
        async with asyncio.timeout(_LIMIT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as exc:
        return failed("D14", "cloud DNS", f"{host}: {exc or 'no answer'}", "check the network and the name")
    return good("D14", "cloud DNS", f"{host} has {len(found)} addresses")


async def _connects(host: str, port: int) -> Finding:
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(_LIMIT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as exc:
        return failed("D15", "cloud TCP", f"{host}:{port}: {exc or 'no answer'}", "check firewall, port and the server")
    writer.close()
    took_ms = 1000 * (asyncio.get_running_loop().time() - began)
    return good("D15", "cloud TCP", f"{host}:{port} answers in {took_ms:.0f} ms")


async def _signs_in(url: str, look: lineage.Look) -> list[Finding]:
    try:
        connection = await asyncpg.connect(url, timeout=_LIMIT_S)
        try:
            (row,), expiry = await connection.fetch(_RIGHTS, timeout=_LIMIT_S), _expiry(connection)
            compared = await lineage.compare(connection, look)
        finally:
            await connection.close(timeout=_LIMIT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
        why = f"sign-in: {type(exc).__name__}: {str(exc).partition(chr(10))[0]}"
        return [failed("D17", "cloud rights", why, "check database_url and the role edge_ingest")]
    return [_tls(bool(row["tls"]), expiry), _rights(row), _writable(row), *compared]


def _expiry(connection: Any) -> datetime | None:
    """Until when the server's certificate holds, where it was checked."""
    link = connection._transport.get_extra_info("ssl_object")  # noqa: SLF001 - asyncpg has no public way to it
    told = link.getpeercert() if link is not None else None
    return None if not told else datetime.fromtimestamp(ssl.cert_time_to_seconds(told["notAfter"]), UTC)


def _tls(encrypted: bool, expiry: datetime | None) -> Finding:
    id_, name = "D16", "cloud TLS"
    if not encrypted:
        return warning(id_, name, "the connection is not encrypted", "add ?sslmode=verify-full to database_url")
    if expiry is None:
        return warning(id_, name, "encrypted, but the server's name is not checked", "use sslmode=verify-full")
    if expiry - datetime.now(UTC) < _EXPIRES_SOON:
        return warning(id_, name, f"the certificate ends on {expiry:%Y-%m-%d}", "renew it at the server")
    return good(id_, name, f"checked, the certificate holds until {expiry:%Y-%m-%d}")


def _rights(row: asyncpg.Record) -> Finding:
    id_, name, who = "D17", "cloud rights", row["who"]
    if row["functions"] != 2:
        fix = "oddsd-cloud migrate, then grant edge_ingest"
        return failed(id_, name, f"{who} may call {row['functions']} of the edge's 2 functions", fix)
    if row["superuser"] or row["tables"]:
        text = f"{who} may do more than call two functions"
        return warning(id_, name, text, "sign in as edge_ingest: a stolen key then reads nothing")
    return good(id_, name, f"{who} may call the two functions and nothing else")


def _writable(row: asyncpg.Record) -> Finding:
    if row["standby"] or row["read_only"]:
        return failed("D18", "cloud writable", "the server is read-only", "point database_url at the primary")
    return good("D18", "cloud writable", "yes")


async def broker(settings: Settings) -> list[Finding]:
    """D22 and D23: sign in, say a retained word, hear it, take it back; and whether Home Assistant was told."""
    names = (("D22", "MQTT"), ("D23", "Home Assistant"))
    if settings.mqtt_host is None:
        return [skipped(id_, name, "no broker is configured") for id_, name in names]
    word, topic = secrets.token_hex(8), f"{settings.mqtt_prefix}/{settings.host_id}/doctor"
    config = discovery_topic(settings.mqtt_discovery, settings.host_id)
    password = None if settings.mqtt_password is None else settings.mqtt_password.get_secret_value()
    try:
        authority = None if settings.mqtt_tls_ca is None else str(settings.mqtt_tls_ca)
        async with aiomqtt.Client(
            settings.mqtt_host, settings.mqtt_port, username=settings.mqtt_username, password=password,
            tls_context=tls_context(authority), timeout=_LIMIT_S,
        ) as client:  # fmt: skip
            await client.subscribe(topic, qos=1)
            await client.subscribe(config, qos=1)
            await client.publish(topic, word.encode(), qos=1, retain=True)
            came_back, told = await _hear(client, topic, word, config)
            await client.publish(topic, b"", qos=1, retain=True)
    except (aiomqtt.MqttError, UnicodeError) as exc:
        fix = "check mqtt_host, mqtt_username and mqtt_password"
        return [failed("D22", "MQTT", str(exc), fix), skipped("D23", "Home Assistant", "see the line above")]
    rights = f"let this user read and write {settings.mqtt_prefix}/{settings.host_id}/# at the broker"
    first = (
        good("D22", "MQTT", "a retained word made the round trip")
        if came_back
        else failed("D22", "MQTT", "a word said there does not come back", rights)
    )
    return [first, _home(settings, told)]


async def _hear(client: aiomqtt.Client, topic: str, word: str, config: str) -> tuple[bool, int]:
    """Whether the word came back, and how many entities are announced."""
    told = 0
    try:
        async with asyncio.timeout(_LIMIT_S):
            async for message in client.messages:
                body = message.payload
                if message.topic.value == config and isinstance(body, bytes):
                    told = len(announced(body))
                if message.topic.value == topic and body == word.encode():
                    return True, told
    except TimeoutError:
        pass
    return False, told


def _home(settings: Settings, told: int) -> Finding:
    id_, name = "D23", "Home Assistant"
    if not settings.mqtt_discovery:
        return skipped(id_, name, "it is told nothing: mqtt_discovery is empty")
    if not told:
        return unknown(id_, name, "no announcement is retained at the broker", "start the daemon; it announces itself")
    return good(id_, name, f"{told} entities are announced")
