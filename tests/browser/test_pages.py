"""The pages as bytes: every one over the real service, by tier, without a browser."""

import re
import uuid
from datetime import timedelta

import asyncpg
import httpx
import msgspec
import pytest

from agent.core.scoring.report import experiment_report, leaderboards
from agent.core.scoring.shapes import Sort
from cloudapi.keys import make_key
from cloudapi.queries.accounts import save_key
from cloudapi.tiers import Tier
from cloudapi.web import render
from cloudapi.web.links import own_page
from cloudapi.web.pages import HANDLERS
from sync.records import BenchmarkReport, TimeFrame
from tests.browser.conftest import EMAIL, ENTRY, HOSTILE, PASSWORD
from tests.integration.cloud.conftest import Clock, Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import NOW, make_benchmark_report
from tests.unit.core.scoring.made import fair_worlds

PATHS = {
    "/app/insights": "The market moved on the inflation report.",
    "/app/predictions": "/app/predictions/prd-1",
    "/app/predictions/prd-1": "How the gap moved",
    "/app/leaderboard": "too early",
    "/app/live": "converging",
    "/app/arbitrage": "Read this first",
    "/app/digest": "To watch",
    "/app/markets": "Will it rain?",
    "/app/markets/kalshi:KXRAIN-26": "Rules",
    "/app/record": "Check it yourself",
    "/app/account": "This month",
}
PUBLIC = {"/", "/app/sign-in", "/app/register", "/app/static/{digest:str}/{name:str}"}
FOR_ALL = set(PATHS) - {"/app/predictions", "/app/predictions/prd-1", "/app/arbitrage"}


async def sign_in(replica: Replica, **form: str) -> httpx.Response:
    return await replica.http.post("/app/sign-in", data=form, headers={"origin": replica.url})


@pytest.mark.parametrize("tier", list(Tier))
async def test_each_page_shows_a_tier_what_the_api_would(stocked: Replica, tier: Tier) -> None:
    """One walk over all pages; what is not of the tier is a page that says so, not an empty one."""
    for path, said in PATHS.items():
        answer = await stocked.get(path, tier=tier)
        if tier is Tier.BASIC and path not in FOR_ALL:
            assert (answer.status_code, "premium and above" in answer.text) == (403, True), path
        else:
            assert (answer.status_code, said in answer.text) == (200, True), (path, answer.text)
        assert answer.headers["content-type"].startswith("text/html"), path


async def test_the_analysis_behind_an_insight_is_on_the_page_of_its_tier_alone(stocked: Replica) -> None:
    """The leak of a shared page would show here: pro first, then basic."""
    deep = "The jump came with volume"
    seen = {tier: deep in (await stocked.get("/app/insights", tier=tier)).text for tier in reversed(Tier)}

    assert seen == {Tier.PRO: True, Tier.PREMIUM: False, Tier.BASIC: False}


async def test_words_of_a_venue_or_a_model_are_text_and_nothing_else(stocked: Replica) -> None:
    """Titles, rules, clamps and digests are strangers' texts; the policy is only the second wall."""
    for path in PATHS:
        text = (await stocked.get(path)).text
        assert HOSTILE not in text, path
        assert "<img" not in text, path
        assert not re.search(r"<script(?! (type=\"module\"|defer) src=\"/app/static/)", text), path
        assert " style=" not in text, path
        assert not re.search(r"\son\w+=\"", text), path


async def test_every_page_of_the_router_needs_somebody(replica: Replica) -> None:
    """Deny by default, walked from the router, so that a new page cannot be forgotten."""
    handlers = [handler for handler in HANDLERS if "GET" in handler.http_methods]
    paths = {path for handler in handlers for path in handler.paths}
    assert {path for handler in handlers if handler.opt.get("public") for path in handler.paths} == PUBLIC

    for path in paths - PUBLIC:
        address = re.sub(r"{\w+:(str|path)}", "x", path.replace("{endpoint_id:uuid}", str(uuid.UUID(int=1))))
        answer = await replica.get(address, tier=None)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/app/sign-in?next="), path


async def test_a_page_carries_the_policy_and_stays_out_of_caches(stocked: Replica) -> None:
    """One person's page must be nobody else's."""
    answer = await stocked.get("/app/insights")

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "private, no-store"


async def test_without_the_files_of_other_hands_pages_draw_and_say_so(
    stocked: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without npm: the same words and pictures, nothing asked for that is not there, a sentence at the foot."""
    for name in render.VENDOR:
        monkeypatch.delitem(render.ASSETS, name, raising=False)

    for path in PATHS:
        text = (await stocked.get(path)).text
        assert "came without the files of <code>make assets</code>" in text, path
        assert not any(name in text for name in render.VENDOR), path
        for file in set(re.findall(r"/app/static/[^\"]+", text)):
            assert (await stocked.get(file, tier=None)).status_code == 200, file
    assert 'class="mid" d="M' in (await stocked.get("/app/predictions/prd-1?range=1W")).text
    assert render.missing_assets() == list(render.VENDOR)


async def test_a_file_is_kept_for_good_under_its_own_digest_only(replica: Replica) -> None:
    """An address with an older digest must not nail today's content to it."""
    (address,) = set(re.findall(r"/app/static/[^\"]+style.css", (await replica.get("/", tier=None)).text))
    kept = await replica.get(address, tier=None)
    old = await replica.get("/app/static/000000000000/style.css", tier=None)

    assert "immutable" in kept.headers["cache-control"]
    assert old.headers["cache-control"] == "no-store"
    assert kept.content == old.content
    for name in ("nothing.css", "..%2frender.py"):
        assert (await replica.get(f"/app/static/000000000000/{name}", tier=None)).status_code == 404


async def test_a_page_before_anything_landed_says_what_will_come(replica: Replica) -> None:
    """The first thing a newcomer sees is an empty service."""
    for path in set(PATHS) - {"/app/predictions/prd-1", "/app/markets/kalshi:KXRAIN-26"}:
        answer = await replica.get(path)
        assert answer.status_code == 200, path
        assert 'class="empty"' in answer.text or path == "/app/account", path
    gone = await replica.get("/app/predictions/prd-1")
    assert (gone.status_code, "There is no prediction" in gone.text) == (404, True)


async def test_somebody_with_a_password_gets_a_session_and_loses_it_by_signing_out(reader: Replica) -> None:
    """The whole way: form, cookie, page, out, door; and the old cookie opens nothing afterwards."""
    opened = await sign_in(reader, email=EMAIL, password=PASSWORD, next="/app/record?from=1")
    assert (opened.status_code, opened.headers["location"]) == (303, "/app/record?from=1")
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    session = reader.http.cookies["oddsd_session"]
    assert EMAIL in (await reader.get("/app/account", tier=None)).text

    foreign = await reader.http.post("/app/sign-out", headers={"origin": "https://elsewhere.example"})
    out = await reader.http.post("/app/sign-out", headers={"origin": reader.url})
    after = await reader.get("/app/account", tier=None, headers={"cookie": f"oddsd_session={session}"})

    assert (foreign.status_code, out.status_code, after.status_code) == (403, 303, 303)


async def test_a_wrong_password_and_another_sites_form_get_the_form_again(reader: Replica) -> None:
    """In words, with the e-mail kept, and without a cookie."""
    wrong = await sign_in(reader, email=EMAIL, password="something else")
    foreign = await reader.http.post(
        "/app/sign-in", data={"email": EMAIL, "password": PASSWORD}, headers={"origin": "https://elsewhere.example"}
    )

    assert (wrong.status_code, "E-mail or password is wrong." in wrong.text, EMAIL in wrong.text) == (401, True, True)
    assert (foreign.status_code, "from our own page" in foreign.text) == (403, True)
    assert not reader.http.cookies


async def test_only_a_key_that_may_manage_is_taken_for_a_session(replica: Replica, owner: asyncpg.Connection) -> None:
    """A session may manage; a reader's key that leaks must not become one."""
    key = make_key(b"k" * 32)
    await save_key(owner, key=key, name="manager", tier=Tier.PRO, scopes=("manage",))

    reading = await sign_in(replica, key=replica.keys[Tier.PRO])
    assert (reading.status_code, "may only read" in reading.text, dict(replica.http.cookies)) == (403, True, {})
    managing = await sign_in(replica, key=key)

    assert managing.status_code == 303
    assert int(re.search(r"Max-Age=(\d+)", managing.headers["set-cookie"], re.IGNORECASE)[1]) <= 12 * 3600
    assert "manager" in (await replica.get("/app/account", tier=None)).text


@pytest.mark.parametrize(
    "wanted",
    [None, "", "https://elsewhere.example", "//elsewhere.example", "/app//elsewhere", "/app\\x", "/apple", "/app/\r\n"],
)
def test_after_signing_in_nobody_is_led_elsewhere(wanted: str | None) -> None:
    """A link with a `next` of somebody else's is an old trick."""
    assert own_page(wanted) == "/app/insights"
    assert own_page("/app/markets?q=rain") == "/app/markets?q=rain"


async def test_a_report_as_the_edge_makes_it_is_shown_in_full(edge: HandEdge, replica: Replica, clock: Clock) -> None:
    """The shapes are the edge's: a field renamed there breaks the page here, not in front of a reader."""
    rows = list(fair_worlds(200, seed=1))
    body = msgspec.to_builtins(experiment_report(rows, rows[0].experiment, now=NOW, n_draws=50))
    boards = msgspec.to_builtins(
        {f"leaderboard:{sort}": board for sort, board in leaderboards(rows, now=NOW, n_draws=50).items()}
    )
    reports = [make_benchmark_report(body=body)]
    reports += [make_benchmark_report(report_id=scope, scope=scope, body=board) for scope, board in boards.items()]
    await edge.hello()
    await edge.send(reports)
    await replica.landed(len(reports))
    clock.moment = NOW + timedelta(days=1)

    for sort in Sort:
        text = (await replica.get(f"/app/leaderboard?sort={sort}")).text
        assert "By category and time to the end" in text
        assert all(name in text for name in ("longshot fader", "status quo", "always half"))
        assert 'data-kind="calibration"' in text
        assert "no skill" in text
        assert f"{len(rows)} predictions" in text


async def test_the_leaderboard_is_narrowed_by_addresses_that_keep_each_other(
    edge: HandEdge, replica: Replica, clock: Clock
) -> None:
    """Order, category and time to the end are one address; a part without enough events says so instead of ranking."""
    entry = {"categories": ["politics", "weather"], "frames": ["1d", "30d"]}
    boards = {
        BenchmarkReport.leaderboard("brier_skill"): entry | {"entries": [ENTRY]},
        BenchmarkReport.leaderboard("brier_skill", "weather", TimeFrame.DAY): {
            "entries": [ENTRY | {"experiment": "of the day's weather", "rank": None}]
        },
    }
    await edge.hello()
    await edge.send([make_benchmark_report(report_id=scope, scope=scope, body=body) for scope, body in boards.items()])
    await replica.landed(len(boards))
    clock.moment = NOW + timedelta(days=1)

    whole = (await replica.get("/app/leaderboard")).text
    part = (await replica.get("/app/leaderboard?category=weather&frame=1d")).text
    early = (await replica.get("/app/leaderboard?category=politics")).text

    assert 'href="/app/leaderboard?sort=brier_skill&amp;frame=30d"' in whole
    assert "never tested" not in whole
    assert ("of the day&#39;s weather" in part, "never tested" in part, "up to a day away" in part) == (True,) * 3
    assert 'href="/app/leaderboard?sort=recent&amp;category=weather&amp;frame=1d"' in part
    assert 'href="/app/leaderboard?sort=brier_skill&amp;category=politics&amp;frame=1d"' in part
    assert "Too early for an order of this part" in early
    assert (await replica.get("/app/leaderboard?frame=2d")).status_code == 422


async def test_every_moment_is_told_in_the_same_way(stocked: Replica) -> None:
    """A moment as JSON has it is read by nobody, and breaks in two on a telephone."""
    for path in PATHS:
        words = re.sub(r"<[^>]+>", " ", (await stocked.get(path)).text)
        assert not re.search(r"\dT\d", words), path
    assert len(re.findall(r'data-label="Made"><time', (await stocked.get("/app/record")).text)) == 3


async def test_no_hyphen_stands_for_a_minus(stocked: Replica) -> None:
    """Figures below nought are told with the sign that is as wide as a plus."""
    seen = ""
    for path in PATHS:
        words = re.sub(r"<[^>]+>", " ", (await stocked.get(path)).text)
        assert not re.search(r"(?<![\w:.-])\$?-\$?\d", words), path
        seen += words
    assert "\N{MINUS SIGN}" in seen
