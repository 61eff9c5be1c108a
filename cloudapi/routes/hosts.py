"""/v1/edges: the hosts at home as the cloud sees them. For operators: accounts that run the service."""

import msgspec
from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec

from cloudapi.errors import NotAllowed
from cloudapi.queries import accounts, edge
from cloudapi.queries.edge import HostRow
from cloudapi.routes.accounts import NO_STORE, REFUSED
from cloudapi.routes.shapes import FAILURES
from cloudapi.services import AnyRequest, Wired


class HostList(msgspec.Struct, frozen=True, kw_only=True):
    """Every host that was ever heard of, by name."""

    data: list[HostRow]


@get(
    "/v1/edges",
    tags=["service"],
    opt={"scope": "manage"},
    responses={200: ResponseSpec(HostList), **REFUSED, **FAILURES},
)
async def list_hosts(services: Wired, request: AnyRequest) -> Response[HostList]:
    """When each edge was seen, what waits there, and how it says it is."""
    account = await accounts.load_account(services.pool, request.user.account_id)
    if account is None or not account.is_operator:
        raise NotAllowed("Edges are for operators of this service: oddsd-cloud account operator EMAIL.")
    return Response(HostList(data=await edge.load_hosts(services.pool)), headers=NO_STORE)
