"""/v1/digests: each day in short, for every tier."""

from datetime import datetime

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec

from cloudapi.queries import digests
from cloudapi.routes.shapes import FAILURES, Cursor, DigestPage, Limit
from cloudapi.services import AnyRequest, Wired


@get(
    "/v1/digests",
    tags=["digests"],
    responses={200: ResponseSpec(DigestPage), 400: FAILURES[422], **FAILURES},
)
async def list_digests(
    services: Wired, request: AnyRequest, *, limit: Limit = 20, cursor: Cursor = None
) -> Response[bytes]:
    """Daily digests, newest first: top picks, what to avoid, what to watch, arbitrage; as data and as Markdown."""
    before = None
    if cursor is not None:
        before = services.cursors.read(cursor, tuple[datetime, str], listing="digests", filters={})

    async def make() -> DigestPage:
        rows = await digests.load_digests(services.pool, before=before, limit=limit)
        page, follow = rows[:limit], None
        if len(rows) > limit:
            position = [page[-1].created_at, page[-1].digest_id]
            follow = services.cursors.make(position, listing="digests", filters={})
        return DigestPage(data=page, has_more=follow is not None, next_cursor=follow)

    chosen = {"limit": limit, "before": before}
    return await services.answer(request, "digests", kinds=("digest",), parameters=chosen, ttl_s=30, make=make)
