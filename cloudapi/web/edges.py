"""/app/edges: the hosts at home as the cloud sees them, for its operators."""

from litestar import Response, get

from cloudapi.routes import hosts
from cloudapi.routes.hosts import HostList
from cloudapi.services import AnyRequest, Wired
from cloudapi.web.asking import Asker
from cloudapi.web.render import page


@get("/app/edges", opt={"scope": "manage"})
async def edges_page(services: Wired, request: AnyRequest) -> Response[str]:
    """Who was seen when, how much waits there, and how each says it is."""
    found = await Asker(services, request)(hosts.list_hosts, HostList)
    return page(request, "edges.html", hosts=found.data)
