"""/v1/record: the hash chain of predictions, for whoever does not take our word.

Law: what is served here is what was hashed, field for field. `record_hash` is SHA-256 over `previous_hash` and the rest
as JSON with sorted keys and no spaces, without these two and `kind` as it stands; the head is for every tier, the
forecasts themselves for those that may read them.
"""

from datetime import datetime
from typing import Annotated, Any, TypeAlias

import msgspec
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from cloudapi.queries import record
from cloudapi.routes.predictions import may_read_predictions
from cloudapi.routes.shapes import FAILURES, TIERED, Limit, PageText
from cloudapi.services import AnyRequest, Wired

From: TypeAlias = Annotated[
    int, QueryParameter(name="from", ge=1, le=2**53, description="Number of the first record; 1 is the first of all.")
]


class RecordHead(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one edge's record: whoever notes it can prove later that nothing before it was changed."""

    chain: str | None
    seq: int
    record_hash: str
    predicted_at: datetime
    landed_at: datetime  # by the cloud's clock
    complete: bool  # every record up to here has landed


class RecordHeads(msgspec.Struct, frozen=True, kw_only=True):
    """One for each edge, the one that spoke last first; none before the first prediction."""

    data: list[RecordHead]


class RecordPage(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of one record; ask again from `next_from`."""

    chain: str | None
    data: list[dict[str, Any]]
    has_more: bool
    next_from: int | None


@get("/v1/record/head", tags=["record"], responses={200: ResponseSpec(RecordHeads), **FAILURES})
async def get_head(services: Wired, request: AnyRequest) -> Response[bytes]:
    """Where the record of each edge ends."""

    async def make() -> RecordHeads:
        return RecordHeads(
            data=[
                RecordHead(
                    chain=row.chain,
                    seq=row.seq,
                    record_hash=row.record_hash,
                    predicted_at=row.predicted_at,
                    landed_at=row.landed_at,
                    complete=row.n_landed == row.seq,
                )
                for row in await record.load_heads(services.pool)
            ]
        )

    return await services.answer(request, "record-head", kinds=("prediction",), parameters={}, ttl_s=30, make=make)


@get(
    "/v1/record",
    tags=["record"],
    guards=[may_read_predictions],
    responses={200: ResponseSpec(RecordPage), **TIERED, **FAILURES},
)
async def list_record(
    services: Wired, request: AnyRequest, *, from_seq: From = 1, chain: PageText = None, limit: Limit = 100
) -> Response[bytes]:
    """A stretch of the record in its order; of the edge that spoke last unless a chain is named."""

    async def make() -> RecordPage:
        wanted = chain
        if wanted is None:
            heads = await record.load_heads(services.pool)
            wanted = heads[0].chain if heads else None
        rows = await record.load_record(services.pool, wanted, from_seq=from_seq, limit=limit)
        page = rows[:limit]
        follow = page[-1]["chain_seq"] + 1 if len(rows) > limit else None
        return RecordPage(chain=wanted, data=page, has_more=follow is not None, next_from=follow)

    chosen = {"from": from_seq, "chain": chain, "limit": limit}
    return await services.answer(request, "record", kinds=("prediction",), parameters=chosen, ttl_s=30, make=make)
