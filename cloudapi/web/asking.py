"""How a page asks: by the very handler of the API, so a page shows what the API would say to the same caller.

Law: guards of the route run here as they do there, the tier shapes the question as it does there, and the answer comes
from the same shelf. Nothing of a page reads the database past a route, but what no route says (`load_outlook`).
"""

from typing import Any, Generic, TypeVar

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler

from cloudapi.services import AnyRequest, Services

T = TypeVar("T")


class Listed(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A page of anything."""

    data: list[T]
    has_more: bool = False
    next_cursor: str | None = None
    upgrade_prompt: str | None = None


class Asker:
    """Asks the API's own handlers for one caller."""

    def __init__(self, services: Services, request: AnyRequest) -> None:
        self._services = services
        # A browser's If-None-Match is about the page, not about what the page is made of.
        headers = [(name, value) for name, value in request.scope["headers"] if name != b"if-none-match"]
        scope: Any = {**request.scope, "headers": headers, "state": dict(request.scope["state"])}
        for name in [key for key in scope["state"] if key.startswith("_ls")]:
            del scope["state"][name]  # what the framework has read of the request already, headers among it
        self._request: AnyRequest = Request(scope)

    async def __call__(self, handler: HTTPRouteHandler, kind: type[T], **chosen: Any) -> T:
        """What `handler` says. Raises: ApiError as the route would."""
        for guard in handler.guards or ():
            guard(self._request, handler)
        answer = await handler.fn(services=self._services, request=self._request, **chosen)
        content = answer.content
        return msgspec.json.decode(content, type=kind) if isinstance(content, bytes) else content
