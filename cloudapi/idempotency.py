"""A POST that creates, made safe to repeat: the same key and the same request create once, for a day.

Law: the answer is kept in the transaction of what it created (draft-ietf-httpapi-idempotency-key-header). The same key
with another request is 422, one still under way is 409. A secret shown once is not kept: a repeat answers without it.
"""

import hashlib
from collections.abc import Awaitable, Callable

import msgspec
from litestar import Response

from cloudapi.auth import Caller
from cloudapi.db import Connection, Pool
from cloudapi.errors import Conflict, Invalid
from cloudapi.queries import usage

# What creates: given a connection inside the transaction, the answer to send and the answer to keep.
Work = Callable[[Connection], Awaitable[tuple[msgspec.Struct, msgspec.Struct]]]


async def once(
    pool: Pool, caller: Caller, key: str, request: msgspec.Struct, work: Work, *, status: int = 201
) -> Response[bytes]:
    """The answer to this request: `status` when it has just been done, the same again when it was done before.

    Args:
        request: what was asked; another request under the same key is refused.
        status: 201 where something was made, 202 where work has been accepted.
    """
    digest = hashlib.sha256(type(request).__name__.encode() + b"\0" + msgspec.json.encode(request)).digest()
    async with pool.acquire() as connection, connection.transaction():
        if not await usage.claim_key(connection, caller.account_id, key):
            raise Conflict("A request with this Idempotency-Key is being worked on; ask again in a moment.")
        before = await usage.load_answer(connection, caller.account_id, key)
        if before is not None:
            if before.request_digest != digest:
                errors = [{"pointer": "/header/Idempotency-Key", "detail": "used for another request"}]
                raise Invalid("This Idempotency-Key belongs to another request.", errors=errors)
            return _answer(before.body.encode(), before.status, is_repeat=True)
        shown, kept = await work(connection)
        answered = usage.Answered(request_digest=digest, status=status, body=msgspec.json.encode(kept).decode())
        await usage.save_answer(connection, caller.account_id, key, answered)
    return _answer(msgspec.json.encode(shown), status, is_repeat=False)


def _answer(body: bytes, status: int, *, is_repeat: bool) -> Response[bytes]:
    headers = {"cache-control": "no-store"} | ({"idempotent-replayed": "true"} if is_repeat else {})
    return Response(body, status_code=status, media_type="application/json", headers=headers)
