"""Requests to addresses that strangers chose: one door out, through which nothing of ours can be reached.

Law: https only, no credentials in the address, no redirect is followed, no proxy of the environment used. The name is
resolved once per connection, every answer must be public, and the socket goes to that very answer: a resolver that
changes its mind has no second chance. TLS is checked against the name. Exceptions are listed by the operator, whole.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpcore
from httpcore._backends.auto import AutoBackend  # what the pool itself would use

from cloudapi.errors import CloudError

CONNECT_S = 5.0
ANSWER_S = 15.0
MAX_URL = 2000

# A resolver: host to the addresses it stands for, as text.
Resolve = Callable[[str, int], Awaitable[list[str]]]

# Public by the registry's word, and yet doors to somewhere else: 6to4, Teredo, NAT64 carry an IPv4 address inside.
TUNNELS = tuple(ipaddress.ip_network(text) for text in ("2002::/16", "2001::/32", "64:ff9b::/96", "64:ff9b:1::/48"))


class AddressRefused(CloudError):
    """An address that leads, or may lead, into our own network."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: the status alone; nobody reads the body of a stranger."""

    status: int
    retry_after: str | None


def check_url(url: str, allowed: Iterable[str] = ()) -> str:
    """The address if it may be asked at all. Raises: AddressRefused, in words for whoever typed it.

    Args:
        allowed: `host:port` the operator excepts from every rule, http included.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise AddressRefused("this is no address") from exc
    host = parts.hostname or ""
    if f"{host}:{port}" in set(allowed) and parts.scheme in {"http", "https"}:
        return url
    if parts.scheme != "https" or not host or len(url) > MAX_URL or not url.isascii() or not url.isprintable():
        raise AddressRefused("the address must begin with https:// and name a host in plain ASCII")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused("the address may hold no credentials and no fragment")
    if port not in {None, 443, 8443}:
        raise AddressRefused("the port must be 443 or 8443")
    if _is_number(host) or "." not in host.strip("."):
        raise AddressRefused("the address must name its host; a bare number or a local name is refused")
    return url


def is_public(address: str) -> bool:
    """Whether an address lies outside every network of ours or of the platform's."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if any(ip in network for network in TUNNELS):
            return False
    # is_global knows private, loopback, link-local, CGNAT, ULA and documentation ranges.
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _is_number(host: str) -> bool:
    """An IP address in any spelling a resolver takes: 127.1, 2130706433, 0x7f.1, [::1]."""
    if ":" in host:
        return True
    last = host.rstrip(".").rpartition(".")[2]
    return last.isdigit() or last.lower().startswith("0x")


async def resolve(host: str, port: int) -> list[str]:
    """The system's answer."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to what a name resolved to, if all of it is public."""

    def __init__(self, resolver: Resolve = resolve, allowed: Iterable[str] = ()) -> None:
        self._resolve = resolver
        self._allowed = frozenset(allowed)
        self._plain = AutoBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  the base class's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve once, look at every answer, connect to the first that takes us."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout("the name was not resolved in time") from exc
        except (OSError, UnicodeError) as exc:  # UnicodeError: a part of the name is empty or too long
            raise httpcore.ConnectError("the name does not resolve") from exc
        if f"{host}:{port}" not in self._allowed and not (addresses and all(map(is_public, addresses))):
            raise AddressRefused("the host resolves to an address that is not public")
        failure: Exception = httpcore.ConnectError("the name does not resolve")
        for address in addresses:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109  the base class's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise AddressRefused(f"no request leaves through {path}")

    async def sleep(self, seconds: float) -> None:
        """The pool's pause between attempts."""
        await asyncio.sleep(seconds)


class Egress:
    """A pool whose every connection is guarded. Owned by the worker, which closes it."""

    def __init__(
        self, *, allowed: Iterable[str] = (), resolver: Resolve = resolve, tls: ssl.SSLContext | None = None
    ) -> None:
        self._allowed = tuple(allowed)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            max_connections=50,
            max_keepalive_connections=0,  # a kept connection would outlive the look at its address
            network_backend=GuardedBackend(resolver, self._allowed),
        )

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answered:
        """Post and read the status. Raises: AddressRefused; OSError with the kind of failure."""
        check_url(url, self._allowed)
        timeout = {"connect": CONNECT_S, "read": ANSWER_S, "write": CONNECT_S, "pool": ANSWER_S}
        try:
            async with (
                asyncio.timeout(CONNECT_S + ANSWER_S),  # a drip of bytes resets the pool's own limit for ever
                self._pool.stream(
                    "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": timeout}
                ) as answer,
            ):
                given = {name.lower(): value for name, value in answer.headers}
                retry_after = given.get(b"retry-after")
                return Answered(answer.status, None if retry_after is None else retry_after.decode("latin-1"))
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, TimeoutError) as exc:
            raise OSError(_kind(exc)) from exc

    async def close(self) -> None:
        """Let go of every connection."""
        await self._pool.aclose()


def _kind(exc: Exception) -> str:
    """The failure in words that quote nothing of the other side."""
    if isinstance(exc, httpcore.TimeoutException | TimeoutError):
        return "no answer in time"
    if isinstance(exc, httpcore.ConnectError):
        return "not to be reached: the name, the port or its certificate"
    return "the connection broke"
