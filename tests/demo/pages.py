"""The demo's reader: signs in at the door as a person does, makes himself a key and a watch list, opens every page."""

import re
import secrets
from urllib.parse import quote

import httpx

PAGES = (
    "/app/insights",
    "/app/predictions",
    "/app/leaderboard",
    "/app/live",
    "/app/arbitrage",
    "/app/digest",
    "/app/markets",
    "/app/record",
    "/app/edges",
    "/app/account",
    "/app/account/keys",
    "/app/account/billing",
    "/app/account/credits",
    "/app/account/watch",
    "/app/account/data",
)


async def look_at_pages(
    url: str, email: str, password: str, *, prediction: str | None, market: str | None
) -> dict[str, str]:
    """What each page has to show. Returns: `shown`, or why not, by path."""
    paths = list(PAGES)
    paths += [] if prediction is None else [f"/app/predictions/{quote(prediction)}"]
    paths += [] if market is None else [f"/app/markets/{quote(market, safe=':')}"]
    async with httpx.AsyncClient(base_url=url, headers={"origin": url}, timeout=20) as client:
        entered = await client.post("/app/sign-in", data={"email": email, "password": password})
        if not entered.is_redirect:
            return {"/app/sign-in": f"{entered.status_code} instead of a way in"}
        await client.post("/app/account/keys", data={"label": "demo", "scopes": "read", "once": secrets.token_hex(8)})
        follow = {"kind": "keyword", "subject": "rain", "once": secrets.token_hex(8)}
        await client.post("/app/account/watch", data=follow)
        await client.get("/v1/account/export")  # leaves a line among the deeds
        return {path: _found(await client.get(path)) for path in paths}


def _found(answer: httpx.Response) -> str:
    if not answer.is_success:
        return f"{answer.status_code} instead of 200"
    empty = re.search(r'class="empty-title">([^<]*)', answer.text)
    return f"empty: {empty[1]}" if empty else "shown"
