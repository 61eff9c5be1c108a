"""/app/live: what moves, as it moves. The page as such is for everybody; the stream and the movers are the tier's."""

from litestar import Response, get

from cloudapi.errors import Forbidden
from cloudapi.queries import movers, sessions
from cloudapi.queries.movers import Movers
from cloudapi.routes import benchmark
from cloudapi.routes.live import listen, may_listen
from cloudapi.routes.shapes import PassPage
from cloudapi.services import AnyRequest, Wired
from cloudapi.web.asking import Asker
from cloudapi.web.render import page

N_PASSES = 24
TTL_S = 30.0  # the hour moves on also where nothing lands


@get("/app/live")
async def live_page(services: Wired, request: AnyRequest) -> Response[str]:
    """Movers, counts and the feed's own state; who may not listen is told why."""
    ask = Asker(services, request)
    passes = (await ask(benchmark.list_passes, PassPage, limit=N_PASSES)).data
    outlook = await sessions.load_outlook(services.pool)
    refused, moving = None, None
    try:
        may_listen(request, listen)
        moving = await ask.own(
            "movers",
            Movers,
            kinds=("quote", "market"),
            ttl_s=TTL_S,
            make=lambda: movers.load_movers(services.pool, services.now()),
        )
    except Forbidden as exc:
        refused = exc.detail
    return page(request, "live.html", passes=passes, outlook=outlook, refused=refused, moving=moving)
