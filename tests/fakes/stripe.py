"""Stripe on loopback: the routes we use, with its shapes, its signatures, and its habit of sending events in any order.

Law: it holds state and is asked for it. Customers, subscriptions, sessions and test clocks are dictionaries as the API
gives them; `event()` makes a signed event about one, to be posted by the test when and as often as it likes.
"""

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.asgi import read_body

SECRET = "whsec_test_only"


class FakeStripe:
    """An ASGI app."""

    def __init__(self, secret: str = SECRET) -> None:
        self.secret = secret
        self.url = ""
        self.customers: dict[str, dict[str, Any]] = {}
        self.subscriptions: dict[str, dict[str, Any]] = {}
        self.clocks: dict[str, int] = {}
        self.sessions: list[dict[str, str]] = []
        self.requests: list[tuple[str, str, dict[str, str], dict[str, str]]] = []  # method, path, form, headers
        self.pages = "https://checkout.example"  # where people are sent
        self.is_away = False
        self.hold: asyncio.Event | None = None  # the next listing waits here, with what it has read
        self.listing = asyncio.Event()
        self._numbers = itertools.count(1)
        self._by_key: dict[str, dict[str, Any]] = {}

    # ------------------------------------------------------------ state, set by tests

    def subscribe(self, customer: str, price: str, *, status: str = "active", **changes: Any) -> dict[str, Any]:
        """A subscription as a paid checkout leaves it."""
        made = {
            "id": f"sub_{next(self._numbers)}",
            "object": "subscription",
            "customer": customer,
            "status": status,
            "cancel_at_period_end": False,
            "cancel_at": None,
            "trial_end": None,
            "test_clock": self.customers.get(customer, {}).get("test_clock"),
            "default_payment_method": None,
            "items": {
                "object": "list",
                "has_more": False,
                "data": [
                    {
                        "id": f"si_{next(self._numbers)}",
                        "object": "subscription_item",
                        "price": {"id": price, "object": "price"},
                        "current_period_end": int(time.time()) + 30 * 86_400,
                    }
                ],
            },
        } | changes
        self.subscriptions[made["id"]] = made
        return made

    def event(self, kind: str, about: dict[str, Any], *, event_id: str | None = None) -> bytes:
        """The bytes of an event about an object as it is now."""
        return json.dumps(
            {
                "id": event_id or f"evt_{next(self._numbers)}",
                "object": "event",
                "type": kind,
                "created": int(time.time()),
                "data": {"object": about},
                "livemode": False,
            }
        ).encode()

    def sign(self, body: bytes, *, at: float | None = None, secret: str | None = None) -> str:
        """The header Stripe sends beside these bytes."""
        moment = int(time.time() if at is None else at)
        signed = hmac.new((secret or self.secret).encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={moment},v1={signed}"

    # ------------------------------------------------------------ the API

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = await read_body(receive)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        given = scope["query_string"].decode() if scope["method"] == "GET" else body.decode()
        form = {name: values[0] for name, values in parse_qs(given).items()}
        self.requests.append((scope["method"], scope["path"], form, headers))
        status, answer = await self._answer(scope["method"], scope["path"], form, headers)
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def _answer(
        self, method: str, path: str, form: dict[str, str], headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        if self.is_away:
            return 500, {"error": {"type": "api_error", "message": "away"}}
        if not headers.get("authorization", "").startswith("Bearer sk_test_"):
            return 401, {"error": {"type": "invalid_request_error", "message": "no key"}}
        key = headers.get("idempotency-key", "")
        if method == "POST" and key in self._by_key:
            return 200, self._by_key[key]
        found = await self._route(method, path.removeprefix("/v1/").split("/"), form)
        if found is None:
            return 404, {"error": {"type": "invalid_request_error", "message": f"no route {path}"}}
        if method == "POST" and key:
            self._by_key[key] = found
        return 200, found

    async def _route(  # noqa: PLR0911  a table of routes
        self, method: str, path: list[str], form: dict[str, str]
    ) -> dict[str, Any] | None:
        match method, path:
            case "POST", ["customers"]:
                made = {"id": f"cus_{next(self._numbers)}", "object": "customer", "email": form.get("email")}
                self.customers[made["id"]] = made | {"test_clock": form.get("test_clock")}
                return made
            case "DELETE", ["customers", name]:
                self.customers.pop(name, None)
                for one in self.subscriptions.values():
                    one["status"] = "canceled" if one["customer"] == name else one["status"]
                return {"id": name, "object": "customer", "deleted": True}
            case "POST", ["checkout" | "billing_portal", "sessions"]:
                self.sessions.append(form)
                name = f"cs_{next(self._numbers)}"
                return {"id": name, "object": f"{path[0]}.session", "url": f"{self.pages}/{name}"}
            case "GET", ["subscriptions"]:
                return await self._list(form)
            case "POST", ["subscriptions", name]:
                if form.get("trial_end") == "now":
                    self.subscriptions[name] |= {"status": "active", "trial_end": int(time.time())}
                return self.subscriptions[name]
            case "GET", ["test_helpers", "test_clocks", name]:
                return {"id": name, "object": "test_helpers.test_clock", "frozen_time": self.clocks[name]}
        return None

    async def _list(self, form: dict[str, str]) -> dict[str, Any]:
        found = [dict(one) for one in self.subscriptions.values() if one["customer"] == form["customer"]]
        self.listing.set()
        if self.hold is not None:
            hold, self.hold = self.hold, None
            await hold.wait()
        return {"object": "list", "has_more": False, "url": "/v1/subscriptions", "data": found}
