"""What holds for every route alike: headers, origins, what the log may say, and texts strangers wrote."""

import html
import io
import re
import sys
from collections.abc import Awaitable, Callable, Iterator

import httpx
import pytest
import structlog

from cloudapi.app import HANDLERS
from cloudapi.cli import _set_up_log as set_up_log
from cloudapi.problems import SECURITY_HEADERS
from cloudapi.settings import Environment
from cloudapi.tiers import Tier
from cloudapi.web import pages
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import make_digest, make_insight, make_market, make_prediction, make_quote
from tests.integration.cloud.subscribed import PASSWORD, make_person
from tests.integration.cloud.test_api import land

SOCKETS = {"/v1/live/ws"}
ORIGIN, OTHER = "https://chart.example", "https://evil.example"

# Each of them runs where a page forgets one kind of escaping: text, attribute, script, address, template.
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus=alert(1) x='",
    "</title></textarea></script><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)//",
    "<!--<script>-->",
)


async def nothing_counted(*_: object, **__: object) -> None:
    """In place of a limiter."""


async def test_every_route_carries_the_headers(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Walked from the route table, pages included, refused or not: nobody can add a route without them."""
    monkeypatch.setattr(replica.services.limiter, "hit", nothing_counted)
    asked = [
        (method, re.sub(r"{\w+:uuid}", "00000000-0000-0000-0000-000000000007", re.sub(r"{\w+:(str|path)}", "x", path)))
        for handler in (*HANDLERS, *pages.HANDLERS)
        for path in set(handler.paths) - SOCKETS
        for method in getattr(handler, "http_methods", {"GET"}) - {"OPTIONS"}
    ]
    assert len(asked) > 80

    for method, path in asked:
        answer = await replica.http.request(method, path)
        for name in set(SECURITY_HEADERS) - {"content-security-policy"}:
            stricter = "no-referrer" if name == "referrer-policy" else None  # an address that is a key
            assert answer.headers[name] in {SECURITY_HEADERS[name], stricter}, (method, path, name)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'"), (method, path)
        assert "unsafe" not in policy, (method, path)
        assert "frame-ancestors 'none'" in policy, (method, path)


@pytest.mark.parametrize(
    ("origin", "method", "path", "allowed"),
    [
        (ORIGIN, "GET", "/v1/markets", True),
        (OTHER, "GET", "/v1/markets", False),
        ("null", "GET", "/v1/markets", False),
        (ORIGIN + ".evil.example", "GET", "/v1/markets", False),
        (ORIGIN, "POST", "/v1/api-keys", False),
        (ORIGIN, "DELETE", "/v1/watchlist/00000000-0000-0000-0000-000000000007", False),
        (ORIGIN, "PUT", "/v1/mail", False),
    ],
)
async def test_other_sites_may_read_if_they_are_listed_and_write_never(
    start_replica: Callable[..., Awaitable[Replica]], origin: str, method: str, path: str, allowed: bool
) -> None:
    """The preflight is what a browser goes by; a cookie is never let along."""
    replica = await start_replica(cors_origins=ORIGIN)
    asked = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization",
    }

    told = await replica.http.options(path, headers=asked)
    answered = await replica.get("/v1/markets", headers={"origin": origin})

    may = told.headers.get("access-control-allow-origin") == origin and method in told.headers.get(
        "access-control-allow-methods", ""
    )
    assert may is allowed
    assert (answered.headers.get("access-control-allow-origin") == ORIGIN) is (origin == ORIGIN)
    for answer in (told, answered):
        assert "access-control-allow-credentials" not in answer.headers


async def test_without_a_list_no_other_site_reads(replica: Replica) -> None:
    """Off unless an operator says otherwise."""
    answer = await replica.get("/v1/markets", headers={"origin": ORIGIN})

    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.fixture
def production_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The log as the command sets it up; the tests' own prints local variables."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    set_up_log(Environment.PRODUCTION)
    yield written
    structlog.reset_defaults()


async def test_no_credential_reaches_the_log(
    production_log: io.StringIO, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys, passwords, tokens, cookies, tickets, bodies: with each way a request can end, our own error included."""
    person = await make_person(replica, "canary@example.org", Tier.PRO)
    made = await person.ask("POST", "/v1/api-keys", {"label": "canary-label", "scopes": ["read", "manage"]})
    key = made.json()["key"]
    headers = {"authorization": f"Bearer {key}"}
    ticket = (await replica.http.post("/v1/live/tickets", headers=headers)).json()["ticket"]
    signed_in = await replica.http.post("/app/sign-in", data={"key": key}, headers={"origin": replica.url})
    session = signed_in.cookies.popitem()[1]

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken on purpose")

    await replica.http.post("/v1/auth/login", json={"email": "canary@example.org", "password": "wrong-canary-word"})
    await replica.http.get("/v1/markets", headers={"authorization": f"Bearer {key[:-1]}x"})
    await replica.http.get(f"/v1/markets?ticket={ticket}&q=canary-query")
    monkeypatch.setattr("cloudapi.routes.accounts.accounts.load_own_keys", broken)
    failed = await replica.http.get("/v1/api-keys", headers=headers)
    logged = production_log.getvalue()

    assert failed.status_code == 500
    assert "broken on purpose" in logged  # the log was looked at
    for secret in (key, person.token, ticket, session, PASSWORD, "wrong-canary-word", "canary-label", "canary-query"):
        assert secret not in logged, secret
        assert secret.rpartition("_")[2] not in logged, secret


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_a_venue_or_a_model_wrote_is_text_on_every_page(edge: HandEdge, replica: Replica, text: str) -> None:
    """From the edge through the database to the page: shown as it was written, run nowhere."""
    marked = f"hostile-{text}"
    await land(
        edge,
        replica,
        [
            make_market(title=marked, category=marked[:80], rules_text=marked, outcome_labels=(marked, "no")),
            make_quote(),
            make_insight(one_liner=marked, reasoning=marked, edge_explanation=marked, risk_factors=(marked,)),
            make_prediction(rationale=marked),
            make_digest(summary=marked, markdown=marked),
        ],
    )
    found = 0
    for path in (
        "/app/insights", "/app/predictions", "/app/predictions/prd-1", "/app/markets",
        "/app/markets/kalshi:KXRAIN-26", "/app/digest",
    ):  # fmt: skip
        page = await replica.get(path)
        assert page.status_code == 200, (path, page.text[:300])
        found += count_harmless(page, marked)

    assert found >= 4


def count_harmless(page: httpx.Response, marked: str) -> int:
    """How often the text is shown. Raises: AssertionError where it stands as it was written and would be markup."""
    for match in re.finditer("hostile-", page.text):
        shown = page.text[match.start() : match.start() + 2 * len(html.escape(marked))]
        assert html.unescape(shown).startswith(marked[:40]), shown
        if set(marked) & set("<>\"'"):
            assert not shown.startswith(marked), shown
    return page.text.count("hostile-")
