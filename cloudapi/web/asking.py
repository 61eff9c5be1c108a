"""How a page asks: by the very handler of the API, so a page shows what the API would say to the same caller.

Law: guards and scopes of the route count here as they do there, the tier shapes the question as it does there, and the
answer comes from the same shelf. Nothing of a page reads the database past a route, but what no route says
(`load_outlook`, `load_movers`).
"""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler

from cloudapi.errors import NotAllowed
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
        content = (await self._asked(handler, chosen)).content
        return msgspec.json.decode(content, type=kind) if isinstance(content, bytes) else content

    async def own(
        self, resource: str, kind: type[T], *, kinds: tuple[str, ...], ttl_s: float, make: Callable[[], Awaitable[T]]
    ) -> T:
        """What no route says, from the same shelf: one answer for all readers of a tier."""
        made: Callable[[], Awaitable[Any]] = make
        answer = await self._services.answer(
            self._request, resource, kinds=kinds, parameters={}, ttl_s=ttl_s, make=made
        )
        return msgspec.json.decode(answer.content, type=kind)

    async def do(self, handler: HTTPRouteHandler, **chosen: Any) -> None:
        """What `handler` does, where its answer says no more than that it is done. Raises: as above."""
        await self._asked(handler, chosen)

    async def _asked(self, handler: HTTPRouteHandler, chosen: dict[str, Any]) -> Any:
        needed = handler.opt.get("scope", "read")
        if needed not in self._request.user.scopes:
            raise NotAllowed(f"This key may not {needed}.")
        for guard in handler.guards or ():
            guard(self._request, handler)
        return await handler.fn(services=self._services, request=self._request, **chosen)
