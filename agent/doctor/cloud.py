"""The checks of the way to the cloud, whichever it is: name, port, certificate, rights, then the cloud's own words.

Law: it is dialled as the daemon dials, with the same trust (agent/road.py). Secrets are used and never said; a check
names the first thing on the way that is wrong, those behind it are skipped. Each await has a limit.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from agent.doctor import lineage
from agent.doctor.findings import Finding, failed, good, skipped, warning
from agent.errors import ConfigError
from agent.road import cloud_road, trust
from agent.settings import Settings
from sync.errors import TransportError
from sync.transports.https import HttpsTransport
from sync.transports.postgres import DELIVERY, FUNCTIONS, PostgresTransport

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
    ARRAY(SELECT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public'
        AND p.proname = ANY ($1) AND has_function_privilege(p.oid, 'EXECUTE')) AS functions,
    (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public'
        AND c.relkind IN ('r', 'p') AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')) AS tables,
    (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls
"""


_FAULTS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@dataclass(frozen=True, slots=True)
class _Address:
    """Where the cloud is dialled: a host and port, a socket file, or (both None) whatever the driver finds here."""

    host: str | None
    port: int
    encrypted: bool = False  # from the first byte, as https is

    @property
    def socket_file(self) -> str | None:
        return f"{self.host}/.s.PGSQL.{self.port}" if self.host and self.host.startswith("/") else None


async def checks(settings: Settings, look: lineage.Look) -> list[Finding]:
    """D12, D14 to D20. `look` tells of our side of the stream."""
    try:
        road = cloud_road(settings)
    except ConfigError as exc:
        return _rest([failed("D17", "cloud rights", str(exc), exc.advice or "see docs/settings.md")])
    if road is None:
        return [skipped(id_, name, "no cloud is configured") for id_, name in sorted(_CLOUD)]
    address = _address(settings)
    steps: list[Callable[[], Awaitable[list[Finding]]]] = [
        lambda: _resolves(address),
        lambda: _connects(address),
        lambda: _asks_the_api(settings, road, look) if isinstance(road, HttpsTransport)
        else _asks_the_database(settings, road, look),
    ]  # fmt: skip
    found = list[Finding]()
    for step in steps:
        found += await step()
        if found[-1].fix is not None:
            break
    return _rest(found)


def _rest(found: list[Finding]) -> list[Finding]:
    seen = {one.id for one in found}
    late = [skipped(id_, name, "see what failed before it") for id_, name in _CLOUD if id_ not in seen]
    return sorted([*found, *late], key=lambda one: one.id)


def _address(settings: Settings) -> _Address:
    if settings.cloud_url is not None:
        url = urlsplit(settings.cloud_url)
        encrypted = url.scheme == "https"
        return _Address(url.hostname, url.port or (443 if encrypted else 80), encrypted)
    assert settings.database_url is not None  # noqa: S101 - there is a road
    url = urlsplit(settings.database_url.get_secret_value())
    asked = parse_qs(url.query)
    host = asked.get("host", [url.hostname or ""])[0] or None
    return _Address(host, url.port or int(asked.get("port", ["5432"])[0]))


async def _resolves(address: _Address) -> list[Finding]:
    id_, name, host = "D14", "cloud DNS", address.host
    if host is None or address.socket_file is not None:
        return [skipped(id_, name, "no name to look up: the cloud is on this machine")]
    try:
        async with asyncio.timeout(_LIMIT_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, address.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as exc:
        return [failed(id_, name, f"{host}: {exc or 'no answer'}", "check the network and the name")]
    return [good(id_, name, f"{host} has {len(found)} addresses")]


async def _connects(address: _Address) -> list[Finding]:
    id_, name = "D15", "cloud TCP"
    if address.host is None:
        return [skipped(id_, name, "no host is named: the driver looks for the server on this machine")]
    where = address.socket_file or f"{address.host}:{address.port}"
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(_LIMIT_S):
            _, writer = await (
                asyncio.open_connection(address.host, address.port)
                if address.socket_file is None
                else asyncio.open_unix_connection(address.socket_file)
            )
    except (OSError, TimeoutError) as exc:
        return [failed(id_, name, f"{where}: {exc or 'no answer'}", "check firewall, port and the server")]
    writer.close()
    took_ms = 1000 * (asyncio.get_running_loop().time() - began)
    return [good(id_, name, f"{where} answers in {took_ms:.0f} ms")]


async def _asks_the_database(settings: Settings, road: PostgresTransport, look: lineage.Look) -> list[Finding]:
    """D16 to D18 on a connection of our own, the rest in the daemon's words."""
    assert settings.database_url is not None  # noqa: S101 - there is such a road
    tls = trust(settings)
    options: dict[str, Any] = {} if tls is None else {"ssl": tls}
    try:
        connection = await asyncpg.connect(settings.database_url.get_secret_value(), timeout=_LIMIT_S, **options)
        try:
            (row,), expiry = await connection.fetch(_RIGHTS, FUNCTIONS, timeout=_LIMIT_S), _expiry(connection)
        finally:
            await connection.close(timeout=_LIMIT_S)
    except _FAULTS as exc:
        why = f"sign-in: {type(exc).__name__}: {str(exc).partition(chr(10))[0]}"
        return [failed("D17", "cloud rights", why, "check database_url, cloud_ca and the role edge_ingest")]
    local = _address(settings).socket_file is not None
    certificate = _certificate(local=local, encrypted=bool(row["tls"]), expiry=expiry)
    first = [certificate, _rights(row), _writable(row)]
    return [*first, *await _compared(road, look)]


def _expiry(connection: Any) -> datetime | None:
    """Until when the server's certificate holds, where it was checked."""
    link = connection._transport.get_extra_info("ssl_object")  # noqa: SLF001 - asyncpg has no public way to it
    return None if link is None else _end_of(link)


def _end_of(link: ssl.SSLObject | ssl.SSLSocket) -> datetime | None:
    told = link.getpeercert()
    return None if not told else datetime.fromtimestamp(ssl.cert_time_to_seconds(str(told["notAfter"])), UTC)


def _certificate(*, local: bool, encrypted: bool, expiry: datetime | None) -> Finding:
    id_, name = "D16", "cloud TLS"
    if local:
        return good(id_, name, "not needed: a socket file of this machine")
    if not encrypted:
        return warning(id_, name, "the connection is not encrypted", "add ?sslmode=verify-full to database_url")
    if expiry is None:
        return warning(id_, name, "encrypted, but nobody checks who answers", "set cloud_ca, or sslmode=verify-full")
    if expiry - datetime.now(UTC) < _EXPIRES_SOON:
        return warning(id_, name, f"the certificate ends on {expiry:%Y-%m-%d}", "renew it at the server")
    return good(id_, name, f"checked, the certificate holds until {expiry:%Y-%m-%d}")


def _rights(row: asyncpg.Record) -> Finding:
    id_, name, who = "D17", "cloud rights", row["who"]
    missing = [name for name in FUNCTIONS if name not in row["functions"]]
    if missing:
        text, fix = f"{who} may not call {', '.join(missing)}", "oddsd-cloud migrate: it grants what edge_ingest needs"
        return failed(id_, name, text, fix) if set(missing) & set(DELIVERY) else warning(id_, name, text, fix)
    if row["superuser"] or row["tables"]:
        text = f"{who} may do more than call the edge's functions"
        return warning(id_, name, text, "sign in as edge_ingest: a stolen key then reads nothing")
    return good(id_, name, f"{who} may call the edge's {len(FUNCTIONS)} functions and nothing else")


def _writable(row: asyncpg.Record) -> Finding:
    if row["standby"] or row["read_only"]:
        return failed("D18", "cloud writable", "the server is read-only", "point database_url at the primary")
    return good("D18", "cloud writable", "yes")


async def _asks_the_api(settings: Settings, road: HttpsTransport, look: lineage.Look) -> list[Finding]:
    """D16 from a handshake of our own; D17 by what the key may ask; the service answers for its database itself."""
    address = _address(settings)
    try:
        expiry = await _certificate_end(address, trust(settings)) if address.encrypted else None
    except (OSError, TimeoutError) as exc:
        why = f"handshake: {str(exc) or type(exc).__name__}"
        return [failed("D16", "cloud TLS", why, "look at cloud_ca and this machine's clock")]
    found = [_certificate(local=not address.encrypted, encrypted=True, expiry=expiry)]
    compared = await _compared(road, look)
    said = next(one for one in compared if one.id == "D19")
    if said.fix is not None and said.text.startswith("hello:"):
        return [*found, failed("D17", "cloud rights", said.text, said.fix)]
    found.append(good("D17", "cloud rights", "the key may deliver"))
    found.append(skipped("D18", "cloud writable", "the service's own matter: its /readyz tells"))
    return [*found, *compared]


async def _certificate_end(address: _Address, tls: ssl.SSLContext | None) -> datetime | None:
    async with asyncio.timeout(_LIMIT_S):
        _, writer = await asyncio.open_connection(
            address.host, address.port, ssl=tls or ssl.create_default_context(), server_hostname=address.host
        )
    try:
        return _end_of(writer.get_extra_info("ssl_object"))
    finally:
        writer.close()


async def _compared(road: PostgresTransport | HttpsTransport, look: lineage.Look) -> list[Finding]:
    try:
        session = await road.connect()
    except TransportError as exc:
        return [failed("D17", "cloud rights", str(exc), exc.advice or "ask again")]
    try:
        return await lineage.compare(session, look)
    finally:
        await session.close()
