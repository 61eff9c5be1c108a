"""Over HTTPS to the API: the same functions behind routes, for a cloud whose database is not on the internet.

Law: a batch travels as the bytes that were sealed, packed with zstd, its digest beside it; a status with a receipt is
an answer, any other is a state of the line. Every request has a deadline of its own and redirects are not followed.
The key may deliver and nothing else.
"""

import asyncio
import ssl
from typing import Any, TypeVar

import httpx
import msgspec
import zstandard

from sync.batch import Batch
from sync.errors import BatchRefused, SinkHeld, SinkUnavailable, TransportError
from sync.protocol import LANES, Account, Answer, Hello, Receipt, Request, Standing, View, Welcome

T = TypeVar("T")

CONNECT_S = 20.0
ASK_S = 15.0
APPLY_S = 60.0
BYTES_PER_S = 100_000  # the slowest line we still wait for, on top of APPLY_S; counted before packing
POLL_S = 25.0  # below the shortest idle limit of the proxies in between
ZSTD_LEVEL = 3

RECEIPTS = frozenset({200, 409, 410, 413, 422})  # applied or duplicate, conflict, fenced, too large, hold
_HELD = {
    401: "check cloud_key: it is unknown, expired or revoked",
    403: "the key may not deliver: make one with: oddsd-cloud key create --scope ingest",
    404: "cloud_url is not an oddsd cloud, or an older one: update the cloud first",
    405: "cloud_url is not an oddsd cloud, or an older one: update the cloud first",
}
_SAFE_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


class HttpsTransport:
    """Knows address and key; plain http is spoken to this machine alone."""

    name = "https"

    def __init__(self, url: str, key: str, *, host_id: str, tls: ssl.SSLContext | None = None) -> None:
        self._base = httpx.URL(url.rstrip("/"))
        if self._base.scheme != "https" and self._base.host not in _SAFE_HOSTS:
            raise ValueError(f"{url}: a key travels over https only")
        self._headers = {"authorization": f"Bearer {key}", "user-agent": f"oddsd/{host_id}"}
        self._tls = tls

    async def connect(self) -> "HttpsSession":
        """Make a client; the connection itself opens with the first request."""
        client = httpx.AsyncClient(
            base_url=self._base,
            headers=self._headers,
            verify=True if self._tls is None else self._tls,
            timeout=httpx.Timeout(None),  # each request has one deadline for everything, see _sent
            limits=httpx.Limits(max_connections=LANES),
            follow_redirects=False,
        )
        return HttpsSession(client)


class HttpsSession:
    """One client; a connection kept alive for each batch under way."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._asked_before = False

    async def hello(self, hello: Hello) -> Welcome:
        """POST /v1/edge/hello. Raises: TransportError."""
        reply = await self._json("hello", "POST", "/v1/edge/hello", hello)
        return _decoded(reply, Welcome, "hello")

    async def apply(self, batch: Batch, fence: int) -> Receipt:
        """PUT /v1/edge/streams/STREAM/batches/LO-HI; a repeat gets the stored receipt. Raises: TransportError."""
        operation = f"apply {batch.lo}-{batch.hi}"
        body = await asyncio.to_thread(lambda: zstandard.compress(batch.text().encode(), ZSTD_LEVEL))
        headers = {
            "content-type": "application/json",
            "content-encoding": "zstd",
            "x-batch-digest": batch.digest.hex(),
            "x-batch-schema": str(batch.schema_v),
            "x-batch-fence": str(fence),
        }
        path = f"/v1/edge/streams/{batch.stream_id}/batches/{batch.lo}-{batch.hi}"
        deadline_s = CONNECT_S + APPLY_S + batch.n_bytes / BYTES_PER_S
        reply = await self._sent(operation, deadline_s, "PUT", path, content=body, headers=headers)
        is_receipt = reply.headers.get("content-type", "").startswith("application/json")
        if reply.status_code not in RECEIPTS or not is_receipt:
            raise _mapped(operation, reply)
        return _decoded(reply, Receipt, operation)

    async def lease(self, host_id: str, kinds: tuple[str, ...], *, limit: int, lease_s: int) -> tuple[Request, ...]:
        """POST /v1/edge/leases. Raises: TransportError."""
        asked = {"host_id": host_id, "kinds": kinds, "limit": limit, "lease_s": lease_s}
        return _decoded(await self._json("lease", "POST", "/v1/edge/leases", asked), tuple[Request, ...], "lease")

    async def renew(self, host_id: str, request_ids: tuple[str, ...], *, lease_s: int) -> None:
        """PUT /v1/edge/leases. Raises: TransportError."""
        asked = {"host_id": host_id, "requests": request_ids, "lease_s": lease_s}
        await self._json("renew", "PUT", "/v1/edge/leases", asked)

    async def complete(self, answer: Answer) -> None:
        """PUT /v1/edge/requests/ID/answer. Raises: TransportError."""
        await self._json("complete", "PUT", f"/v1/edge/requests/{answer.request_id}/answer", answer)

    async def attend(self, host_id: str, *, standby: bool, ttl_s: int) -> View:
        """PUT /v1/edge/hosts/HOST. Raises: TransportError."""
        asked = {"standby": standby, "ttl_s": ttl_s}
        return _decoded(await self._json("attend", "PUT", f"/v1/edge/hosts/{host_id}", asked), View, "attend")

    async def tell(self, host_id: str, standing: Standing) -> None:
        """PUT /v1/edge/hosts/HOST/standing. Raises: TransportError."""
        await self._json("tell", "PUT", f"/v1/edge/hosts/{host_id}/standing", standing)

    async def audit(self, stream_id: str, first: int) -> Account:
        """GET /v1/edge/streams/STREAM. Raises: TransportError."""
        path = f"/v1/edge/streams/{stream_id}?first={first}"
        return _decoded(await self._json("audit", "GET", path, None), Account, "audit")

    async def rung(self, timeout_s: float) -> bool:
        """GET /v1/edge/requests: a long poll, in pieces that no proxy cuts. Raises: TransportError."""
        if not self._asked_before:
            self._asked_before = True
            return True
        wait_s = min(timeout_s, POLL_S)
        path = f"/v1/edge/requests?wait_s={wait_s:g}"
        reply = await self._sent("poll", wait_s + ASK_S + CONNECT_S, "GET", path)
        if reply.status_code != httpx.codes.OK:
            raise _mapped("poll", reply)
        return _decoded(reply, _Waiting, "poll").waiting

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.aclose()

    async def _json(self, operation: str, method: str, path: str, body: object) -> httpx.Response:
        content = None if body is None else msgspec.json.encode(body)
        headers = {"content-type": "application/json"}
        reply = await self._sent(operation, CONNECT_S + ASK_S, method, path, content=content, headers=headers)
        if reply.status_code != httpx.codes.OK:
            raise _mapped(operation, reply)
        return reply

    async def _sent(self, operation: str, deadline_s: float, method: str, path: str, **parts: Any) -> httpx.Response:
        """One request within one deadline for connecting, sending and reading together."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self._client.request(method, path, **parts)
        except TimeoutError as exc:
            raise SinkUnavailable(f"{operation}: no answer within {deadline_s:.0f} s") from exc
        except httpx.HTTPError as exc:
            if "CERTIFICATE_VERIFY_FAILED" in str(exc):
                advice = "the server's certificate is not trusted: look at cloud_ca and this machine's clock"
                raise SinkHeld(f"{operation}: {exc}", advice=advice) from exc
            raise SinkUnavailable(f"{operation}: {str(exc) or type(exc).__name__}") from exc


class _Waiting(msgspec.Struct):
    waiting: bool


class _Problem(msgspec.Struct):
    type: str = ""
    detail: str = ""


def _decoded(reply: httpx.Response, kind: type[T], operation: str) -> T:
    try:
        return msgspec.json.decode(reply.content, type=kind)
    except msgspec.MsgspecError as exc:
        raise SinkHeld(f"{operation}: answer not understood: {exc}", advice="update the edge or the cloud") from exc


def _mapped(operation: str, reply: httpx.Response) -> TransportError:
    """The one place where statuses become errors of ours."""
    try:
        problem = msgspec.json.decode(reply.content, type=_Problem)
    except msgspec.MsgspecError:
        problem = _Problem(detail=f"{reply.headers.get('content-type', 'nothing')} where JSON belongs")
    message = f"{operation}: HTTP {reply.status_code} {problem.detail[:300]}"
    if problem.type.endswith("batch-refused"):
        return BatchRefused(message, advice="a fault of this program or of the cloud's schema; report it")
    if reply.status_code in _HELD:
        return SinkHeld(message, advice=_HELD[reply.status_code])
    if reply.is_redirect:
        return SinkHeld(message, advice=f"cloud_url moved to {reply.headers.get('location', 'nowhere')[:200]}: set it")
    return SinkUnavailable(message, retry_after_s=_seconds(reply.headers.get("retry-after")))


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
