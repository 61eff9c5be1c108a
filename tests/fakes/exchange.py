"""A local exchange: speaks Polymarket's three hosts and Kalshi's v2 routes, and misbehaves on request.

Law: the paging rules are the venues' own, odd ones included. A frame is what both venues list at one tick; POST
/control/tick moves on and stays at the last. `python -m tests.fakes.exchange --port 0` prints one JSON line with its
addresses when it listens and ends on SIGTERM.
"""

import argparse
import asyncio
import json
import signal
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl

from tests.fakes.asgi import read_body, serve
from tests.fakes.exchange_details import clob_answer, data_answer, kalshi_answer
from tests.fakes.exchange_faults import KINDS, Answer, Fault, send_answer, spoiled
from tests.fakes.exchange_recordings import Frame, Json, recorded_frames
from tests.fakes.world import World

GAMMA, CLOB, DATA, KALSHI, CONTROL = "/gamma", "/clob", "/data", "/kalshi/trade-api/v2", "/control"
_VENUE_OF = {GAMMA: "polymarket", CLOB: "clob", DATA: "data", KALSHI: "kalshi"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    venue: str
    path: str  # below the venue's base
    params: dict[str, str]
    asked: dict[str, list[str]] = field(default_factory=dict)  # the same, repeated parameters in full


def world_frames(world: World) -> list[Frame]:
    """The ticks of a made world."""
    return [Frame(world.gamma_events(tick), world.kalshi_events(tick)) for tick in range(world.n_ticks)]


@dataclass(slots=True)
class Exchange:
    """The ASGI app and its state."""

    frames: Sequence[Frame]
    tick: int = 0
    faults: list[Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    overrides: dict[tuple[str, str], Json] = field(default_factory=dict)  # (venue, path): said instead
    moved: set[str] = field(default_factory=set)  # Kalshi tickers that are on the historical routes only

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path: str = scope["path"]
        pairs = parse_qsl(scope["query_string"].decode(), keep_blank_values=True)
        base = next((base for base in (*_VENUE_OF, CONTROL) if path.startswith(f"{base}/")), None)
        if base is None:
            await send_answer(Answer(404, {"error": f"no such path: {path}"}), None, receive, send)
        elif base == CONTROL:
            body = await read_body(receive) if scope["method"] == "POST" else b""
            await send_answer(self._control(path.removeprefix(CONTROL), body), None, receive, send)
        else:
            asked: dict[str, list[str]] = {}
            for name, value in pairs:
                asked.setdefault(name, []).append(value)
            request = Request(_VENUE_OF[base], path.removeprefix(base), dict(pairs), asked)
            self.requests.append(request)
            fault = self._next_fault(request.venue)
            answer = spoiled(self._answer(request), fault)
            await send_answer(answer, fault, receive, send)

    def forward(self) -> int:
        """The next tick, or the last one for ever."""
        self.tick = min(self.tick + 1, len(self.frames) - 1)
        return self.tick

    def fault(self, venue: str, kind: str, times: int = 1) -> None:
        """Misbehave at the next `times` requests to `venue`."""
        if kind not in KINDS or venue not in _VENUE_OF.values() or times < 1:
            raise ValueError(f"no such fault: {venue} {kind} {times}; kinds: {', '.join(sorted(KINDS))}")
        self.faults.append(Fault(venue, kind, times))

    def _next_fault(self, venue: str) -> Fault | None:
        for fault in self.faults:
            if fault.venue == venue:
                fault.times -= 1
                if fault.times == 0:
                    self.faults.remove(fault)
                return fault
        return None

    def _control(self, path: str, body: bytes) -> Answer:
        if path == "/tick":
            return Answer(200, {"tick": self.forward()})
        if path == "/fault":
            try:
                self.fault(**json.loads(body))
            except (ValueError, TypeError) as exc:
                return Answer(422, {"error": str(exc)})
        elif path != "/state":
            return Answer(404, {"error": f"no such control: {path}"})
        asked = [request.venue for request in self.requests]
        state = {
            "tick": self.tick,
            "n_ticks": len(self.frames),
            "faults": [{"venue": fault.venue, "kind": fault.kind, "times": fault.times} for fault in self.faults],
            "n_requests": {venue: asked.count(venue) for venue in _VENUE_OF.values()},
        }
        return Answer(200, state)

    def _answer(self, request: Request) -> Answer:
        if (request.venue, request.path) in self.overrides:
            return Answer(200, self.overrides[request.venue, request.path])
        frame, answer = self.frames[self.tick], None
        match request.venue:
            case "polymarket":
                answer = _gamma_answer(frame, request)
            case "clob":
                answer = clob_answer(frame, request.path, request.params)
            case "data":
                answer = data_answer(frame, request.path, request.params)
            case "kalshi":
                answer = self._kalshi_answer(frame, request)
        return answer or Answer(404, {"type": "not found error", "error": f"no such path: {request.path}"})

    def _kalshi_answer(self, frame: Frame, request: Request) -> Answer | None:
        if request.path == "/events":
            return _kalshi_page(_kalshi_events(frame, request.params), "events", request.params, 200, 200)
        if request.path == "/markets":
            live = [m for m in _kalshi_markets(frame, request.params) if m["ticker"] not in self.moved]
            return _kalshi_page(live, "markets", request.params, 100, 1000)
        return kalshi_answer(frame, request.path, request.params, self.moved)


class ExchangeServer(Exchange):
    """The exchange on a loopback port, inside the caller's event loop; use as an async context manager."""

    def __init__(self, source: World | Sequence[Frame] | None = None, *, port: int = 0) -> None:
        frames = source if isinstance(source, Sequence) else world_frames(source or World())
        super().__init__(frames)
        self._port = port
        self._stack = AsyncExitStack()
        self.url = ""

    async def __aenter__(self) -> Self:
        self.url = await self._stack.enter_async_context(serve(self, port=self._port))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @property
    def polymarket_url(self) -> str:
        """What goes where gamma-api.polymarket.com stands in the configuration."""
        return self.url + GAMMA

    @property
    def clob_url(self) -> str:
        """What goes where clob.polymarket.com stands in the configuration."""
        return self.url + CLOB

    @property
    def data_url(self) -> str:
        """What goes where data-api.polymarket.com stands in the configuration."""
        return self.url + DATA

    @property
    def kalshi_url(self) -> str:
        """What goes where external-api.kalshi.com/trade-api/v2 stands in the configuration."""
        return self.url + KALSHI

    @property
    def control_url(self) -> str:
        """Where ticks and faults are ordered."""
        return self.url + CONTROL


def _gamma_answer(frame: Frame, request: Request) -> Answer | None:
    if request.path == "/events/keyset":
        return _gamma_page(_with_ids(frame.gamma_events, request, id="id"), "events", request.params)
    if request.path == "/markets/keyset":
        records = _with_ids(_gamma_markets(frame), request, id="id", condition_ids="conditionId")
        return _gamma_page(records, "markets", request.params)
    return None


def _gamma_page(records: list[Json], name: str, params: dict[str, str]) -> Answer:
    """Keyset paging: `after_cursor` alone moves on, and only under the filters it was made for."""
    if "offset" in params:
        return Answer(422, {"type": "validation error", "error": "offset is not allowed on keyset endpoints"})
    wants_closed = params.get("closed", "false") == "true"
    records = [record for record in records if bool(record.get("closed")) == wants_closed]
    if "end_date_min" in params:
        records = [record for record in records if record.get("endDate", "") >= params["end_date_min"]]
    limit = min(max(1, int(params.get("limit", "20"))), 100)
    bound_to = f"{name} closed={wants_closed}"
    start = _start_of(params.get("after_cursor"), bound_to)
    if start is None:
        return Answer(422, {"type": "validation error", "error": "after_cursor is invalid"})
    page: Json = {name: records[start : start + limit]}
    if start + limit < len(records):
        page["next_cursor"] = _cursor(start + limit, bound_to)
    return Answer(200, page, {"age": "12", "cache-control": "public, max-age=300"})


def _with_ids(records: list[Json], request: Request, **fields: str) -> list[Json]:
    """Only the records asked for by id, where any are; a filter the venue does not know is ignored."""
    for name, record_field in fields.items():
        if name in request.asked:
            records = [record for record in records if str(record.get(record_field)) in request.asked[name]]
    return records


def _gamma_markets(frame: Frame) -> list[Json]:
    return [
        {**market, "events": [{name: value for name, value in event.items() if name not in ("markets", "tags")}]}
        for event in frame.gamma_events
        for market in event["markets"]
    ]


def _kalshi_page(records: list[Json], name: str, params: dict[str, str], default: int, most: int) -> Answer:
    limit = min(max(1, int(params.get("limit", default))), most)
    start = _start_of(params.get("cursor"), name)
    if start is None:
        return Answer(400, {"error": {"code": "bad_request", "message": "invalid cursor"}})
    more = start + limit < len(records)
    return Answer(200, {name: records[start : start + limit], "cursor": _cursor(start + limit, name) if more else ""})


def _kalshi_events(frame: Frame, params: dict[str, str]) -> list[Json]:
    """An event matches a status if any of its markets does."""
    wanted = _status_filter(params)
    asked = params["tickers"].split(",") if params.get("tickers") else None
    events = [
        event
        for event in frame.kalshi_events
        if any(wanted(market) for market in event["markets"]) and (asked is None or event["event_ticker"] in asked)
    ]
    if params.get("with_nested_markets") == "true":
        return events
    return [{name: value for name, value in event.items() if name != "markets"} for event in events]


def _kalshi_markets(frame: Frame, params: dict[str, str]) -> list[Json]:
    wanted = _status_filter(params)
    markets = [market for event in frame.kalshi_events for market in event["markets"] if wanted(market)]
    if params.get("tickers"):
        markets = [market for market in markets if market["ticker"] in params["tickers"].split(",")]
    if params.get("min_settled_ts"):
        since = datetime.fromtimestamp(int(params["min_settled_ts"]), UTC).isoformat()
        markets = [market for market in markets if market.get("settlement_ts", "") >= since]
    if params.get("mve_filter") == "exclude":
        return [market for market in markets if "mve_collection_ticker" not in market]
    return markets


def _status_filter(params: dict[str, str]) -> Callable[[Json], bool]:
    """The words of the filter are not the words of the field."""
    words = {"open": "active", "settled": "finalized", "paused": "inactive", "unopened": "initialized"}
    word = words.get(params.get("status", ""))
    return lambda market: word is None or market["status"] == word


def _cursor(start: int, bound_to: str) -> str:
    return urlsafe_b64encode(f"{start} {bound_to}".encode()).decode().rstrip("=")


def _start_of(cursor: str | None, bound_to: str) -> int | None:
    if not cursor:
        return 0
    try:
        start, _, bound = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(" ")
        return int(start) if bound == bound_to else None
    except ValueError:
        return None


async def _run(server: ExchangeServer) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with server:
        addresses = {
            name: getattr(server, name)
            for name in ("polymarket_url", "clob_url", "data_url", "kalshi_url", "control_url")
        }
        print(json.dumps(addresses), flush=True)
        await stop.wait()


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.exchange", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--recordings", type=Path, help="serve the recorded payloads of this folder")
    parser.add_argument("--seed", type=int, default=7, help="of the made world")
    parser.add_argument("--ticks", type=int, default=4, help="of the made world")
    args = parser.parse_args()
    world = World(args.seed, n_ticks=args.ticks, start=datetime.now(UTC).replace(second=0, microsecond=0))
    source = recorded_frames(args.recordings) if args.recordings else world
    asyncio.run(_run(ExchangeServer(source, port=args.port)))


if __name__ == "__main__":
    main()
