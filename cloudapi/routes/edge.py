"""/v1/edge: where an edge delivers over HTTPS. The same functions its Postgres role may call, behind a key that may
deliver and nothing else.

Law: a body is whole and unpacked within its cap before a database connection is taken, so no lock waits for bytes; what
a function answers goes out as it is, its outcome also as the status. Not part of what subscribers see.
"""

import asyncio
import re
import time
import uuid
from typing import Annotated, Any, Final

import asyncpg
import msgspec
import zstandard
from litestar import Response, get, post, put
from litestar.params import FromPath, FromQuery, QueryParameter

from cloudapi.errors import ApiError, BadCursor, Invalid, TooLarge
from cloudapi.queries import edge
from cloudapi.services import AnyRequest, Services, Wired
from sync.protocol import Answer, Hello, Standing

MAX_PACKED_BYTES = 8 * 1024 * 1024
MAX_TEXT_BYTES = 16 * 1024 * 1024  # four times what a batch may have: the function itself says no, with its limits
LONGEST_POLL_S = 30.0
LOOK_EVERY_S = 1.0  # an indexed look; a request reaches the edge within a second without a listener of its own

_STATUS: Final = {"applied": 200, "duplicate": 200, "conflict": 409, "fenced": 410, "hold": 422}
_SPAN = re.compile(r"(\d{1,18})-(\d{1,18})")
_OPT: Final = {"scope": "ingest", "counts": False}  # outside a tier's limits: a week drains at line speed


class BatchRefused(ApiError):
    """The function could not take a batch, or an answer, for its content."""

    status = 400
    code = "batch-refused"
    title = "What was sent cannot be applied"


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests an edge takes, and for how long."""

    host_id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_-]{1,32}$")]
    kinds: tuple[str, ...]
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    lease_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 300


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests a host is still at."""

    host_id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_-]{1,32}$")]
    requests: Annotated[tuple[uuid.UUID, ...], msgspec.Meta(max_length=1000)]
    lease_s: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 300


class Attending(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A host that renews its lease."""

    standby: bool
    ttl_s: Annotated[int, msgspec.Meta(ge=0, le=3600)]


@post("/v1/edge/hello", opt=_OPT, include_in_schema=False, status_code=200)
async def hello(services: Wired, request: AnyRequest) -> Response[bytes]:
    """The first word after a connect."""
    said = await _read(request, Hello)
    return _json(await edge.hello(services.pool, said))


@put(
    "/v1/edge/streams/{stream:uuid}/batches/{span:str}",
    opt={**_OPT, "max_body_bytes": MAX_PACKED_BYTES},
    request_max_body_size=MAX_PACKED_BYTES,
    include_in_schema=False,
)
async def apply(
    services: Wired, request: AnyRequest, stream: FromPath[uuid.UUID], span: FromPath[str]
) -> Response[bytes]:
    """One batch; the receipt, and the stored one for a repeat."""
    delivery = await _delivery(request, stream, span)
    try:
        receipt = await edge.apply(services.pool, delivery)
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as exc:
        raise BatchRefused(f"{exc.sqlstate} {exc}") from exc
    result = msgspec.json.decode(receipt, type=edge.Outcome).result
    return _json(receipt, _STATUS[result])


@get("/v1/edge/streams/{stream:uuid}", opt=_OPT, include_in_schema=False)
async def audit(
    services: Wired,
    request: AnyRequest,
    stream: FromPath[uuid.UUID],
    first: Annotated[int, QueryParameter(ge=0, le=2**53)] = 0,
) -> Response[bytes]:
    """What the ledger says of a stream."""
    del request
    return _json(await edge.audit(services.pool, stream, first))


@post("/v1/edge/leases", opt=_OPT, include_in_schema=False, status_code=200)
async def lease(services: Wired, request: AnyRequest) -> Response[bytes]:
    """Take requests that wait."""
    asked = await _read(request, Asked)
    return _json(await edge.lease(services.pool, asked.host_id, asked.kinds, asked.limit, asked.lease_s))


@put("/v1/edge/leases", opt=_OPT, include_in_schema=False)
async def renew(services: Wired, request: AnyRequest) -> Response[bytes]:
    """A host goes on with what it took."""
    kept = await _read(request, Kept)
    await edge.renew(services.pool, kept.host_id, kept.requests, kept.lease_s)
    return _json(b"{}")


@get("/v1/edge/requests", opt=_OPT, include_in_schema=False)
async def poll(services: Wired, request: AnyRequest, wait_s: FromQuery[float] = 0.0) -> Response[bytes]:
    """Whether a request waits; holds the answer back until one does, or the time is over, or we stop."""
    del request
    until = time.monotonic() + min(max(wait_s, 0.0), LONGEST_POLL_S)
    while not (waiting := await edge.is_waiting(services.pool)):
        left = until - time.monotonic()
        if left <= 0 or await _stopping(services, min(left, LOOK_EVERY_S)):
            break
    return _json(msgspec.json.encode({"waiting": waiting}))


@put("/v1/edge/requests/{request_id:uuid}/answer", opt=_OPT, include_in_schema=False)
async def complete(services: Wired, request: AnyRequest, request_id: FromPath[uuid.UUID]) -> Response[bytes]:
    """How a request ended; the first answer stands."""
    answer = await _read(request, Answer)
    if answer.request_id != str(request_id):
        raise Invalid("The answer names another request than the address.")
    try:
        outcome = await edge.complete(services.pool, request_id, answer)
    except asyncpg.DataError as exc:
        raise BatchRefused(f"{exc.sqlstate} {exc}") from exc
    return _json(msgspec.json.encode({"outcome": outcome}))


@put("/v1/edge/hosts/{host_id:str}", opt=_OPT, include_in_schema=False)
async def attend(services: Wired, request: AnyRequest, host_id: FromPath[str]) -> Response[bytes]:
    """A host renews its lease on a share of the work."""
    said = await _read(request, Attending)
    try:
        return _json(await edge.attend(services.pool, host_id, standby=said.standby, ttl_s=said.ttl_s))
    except asyncpg.DataError as exc:
        raise Invalid(str(exc)) from exc


@put("/v1/edge/hosts/{host_id:str}/standing", opt=_OPT, include_in_schema=False)
async def tell(services: Wired, request: AnyRequest, host_id: FromPath[str]) -> Response[bytes]:
    """A host says how it is."""
    try:
        await edge.tell(services.pool, host_id, await _read(request, Standing))
    except asyncpg.DataError as exc:
        raise Invalid(str(exc)) from exc
    return _json(b"{}")


HANDLERS = (hello, apply, audit, lease, renew, poll, complete, attend, tell)


async def _stopping(services: Services, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await services.stopping.wait()
    except TimeoutError:
        return False
    return True


async def _delivery(request: AnyRequest, stream: uuid.UUID, span: str) -> edge.Delivery:
    found = _SPAN.fullmatch(span)
    if found is None:
        raise BadCursor(f"{span[:60]!r} is not a range of numbers: LO-HI.")
    packed = await request.body()
    encoding = request.headers.get("content-encoding", "identity")
    if encoding not in {"zstd", "identity"}:
        raise Invalid(f"content-encoding {encoding[:40]!r}: send zstd or nothing.")
    try:
        text = await asyncio.to_thread(_unpacked, packed) if encoding == "zstd" else packed
        return edge.Delivery(
            stream=stream,
            lo=int(found[1]),
            hi=int(found[2]),
            digest=bytes.fromhex(request.headers["x-batch-digest"]),
            schema_v=int(request.headers["x-batch-schema"]),
            fence=int(request.headers["x-batch-fence"]),
            text=text.decode(),
        )
    except (KeyError, ValueError, zstandard.ZstdError) as exc:
        raise Invalid(f"The batch cannot be read: {exc}") from exc


def _unpacked(packed: bytes) -> bytes:
    """Raises: TooLarge before it holds more than the cap, whatever the frame claims."""
    text = bytearray()
    with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
        while piece := reader.read(1 << 18):
            text += piece
            if len(text) > MAX_TEXT_BYTES:
                raise TooLarge(f"A batch may unpack to {MAX_TEXT_BYTES} bytes.")
    return bytes(text)


async def _read(request: AnyRequest, kind: Any) -> Any:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.MsgspecError as exc:
        raise Invalid(f"The body cannot be read: {exc}") from exc


def _json(body: bytes | str, status: int = 200) -> Response[bytes]:
    content = body.encode() if isinstance(body, str) else body
    return Response(content, status_code=status, media_type="application/json", headers={"cache-control": "no-store"})
