"""Every address a reader can be at, worked out from the router: a page that is added is walked without being named here.

Law: a page whose address names something (a market, an endpoint) needs an example in `NAMED`; without one the walk
does not begin. `BESIDES` are the same pages as they look when narrowed, asked for what is not there, or refusing. Two
pages no address alone opens: `NOT_OF_THE_TIER` is one to a reader who pays nothing, and pressing `LEAVES` on a page
with plans leads to one that leads on.
"""

import re
import uuid

from cloudapi.web.pages import HANDLERS

NO_PAGES = {"/app", "/app/static/{digest:str}/{name:str}"}  # a way to a page, and files
ENDPOINT = uuid.UUID("0193a000-0000-7000-8000-00000000000e")
NAMED = {
    "/app/predictions/{prediction_id:str}": "/app/predictions/prd-1",
    "/app/markets/{market_id:str}": "/app/markets/kalshi:KXRAIN-26",
    "/app/account/webhooks/{endpoint_id:uuid}": f"/app/account/webhooks/{ENDPOINT}",
    "/app/{rest:path}": "/app/nothing",
}
BESIDES = (
    "/app/sign-in?said=ended",
    "/app/leaderboard?sort=recent",
    "/app/leaderboard?category=weather&frame=1d",
    "/app/leaderboard?category=politics",
    "/app/leaderboard?frame=2d",
    "/app/predictions?market=kalshi:KXRAIN-26",
    "/app/predictions/prd-1?range=1H",
    "/app/predictions/prd-none",
    "/app/markets?q=nothing-like-it",
    "/app/arbitrage?status=EXPIRED",
    "/app/insights?category=nothing-like-it",
)
REFUSING = {"/app/nothing", "/app/predictions/prd-none", "/app/leaderboard?frame=2d"}  # pages of an error

NOT_OF_THE_TIER = "/app/predictions"
LEAVES = "form[action$=checkout] button"


def routed() -> list[str]:
    """Each page of the router once, by an address that opens it. Raises: KeyError for one without an example."""
    handlers = [handler for handler in HANDLERS if "GET" in handler.http_methods]
    paths = {path for handler in handlers for path in handler.paths} - NO_PAGES
    return [NAMED[path] if "{" in path else path for path in sorted(paths)]


def walk() -> list[str]:
    """The pages of the router and the ways they look besides."""
    return [*routed(), *BESIDES]


def named(address: str) -> str:
    """The file name of its picture."""
    return re.sub(r"[/:?=&]+", "-", address).strip("-") or "landing"
