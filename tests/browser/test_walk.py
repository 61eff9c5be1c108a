"""Every page there is, walked from the router: policy, width, words for everything, contrast, keyboard, weight."""

import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from cloudapi.web.render import VENDOR, has_asset
from tests.browser.axe import AXE, find_barriers
from tests.browser.chromium import Page
from tests.browser.conftest import EMAIL, PASSWORD
from tests.browser.looks import SCREENS, STANDS_AT, STOPS, find_flaws
from tests.browser.walk import LEAVES, NOT_OF_THE_TIER, REFUSING, named, walk
from tests.fakes.asgi import serve
from tests.fakes.stripe import FakeStripe
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.subscribed import settings_of

MAY_WEIGH_BYTES = 100_000
SCHEMES = ("light", "dark")


@pytest.fixture
async def inside(tab: Page, settled: Replica) -> Page:
    """The tab of somebody who is signed in and has used everything."""
    session = await settled.services.accounts.open_session(EMAIL, PASSWORD, network="127.0.0.1")
    await tab.call("Network.setCookie", name="oddsd_session", value=session.secret, url=settled.url, httpOnly=True)
    return tab


async def test_every_address_of_the_walk_answers_with_the_page_it_is_for(settled: Replica) -> None:
    """A walk over sign-in pages and errors would find nothing and prove nothing."""
    for path in walk():
        answer = await settled.http.get(path)
        assert answer.status_code in ((404, 422) if path in REFUSING else (200,)), path
        assert answer.headers["content-type"].startswith("text/html"), path


@pytest.mark.parametrize("width", [1280, 360])
async def test_every_page_keeps_the_policy_fits_the_screen_and_can_be_read(
    inside: Page, settled: Replica, width: int
) -> None:
    """Zero violations, no sideways scroll, names for everything, enough contrast, nothing serious for axe with all
    folds open, by day and by night, and a picture of each for the eye.
    """
    faults = dict[str, Any]()

    for path in walk():
        await inside.resize(width)
        await inside.visit(settled.url + path)
        if (at := await inside.value("location.pathname + location.search")) != path:
            faults[path] = f"led to {at}"
        for scheme in SCHEMES:
            await inside.resize(width, dark=scheme == "dark")
            await inside.photograph(SCREENS / f"{width}-{scheme}-{named(path)}.png")
            if found := await find_flaws(inside):
                faults[f"{path} {scheme}"] = found

    assert not faults
    assert not [said for said in inside.complaints if "status of 404" not in said and "status of 422" not in said]


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not here: `make assets` fetches it (needs npm)")
@pytest.mark.parametrize("width", [1280, 360])
async def test_axe_finds_nothing_serious_on_any_page_by_day_or_by_night(
    inside: Page, settled: Replica, width: int
) -> None:
    """Somebody's eyes that are not ours: every rule of axe-core that is serious or critical, with all folds open."""
    barriers = dict[str, list[str]]()

    for path in walk():
        await inside.visit(settled.url + path)
        await inside.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        for scheme in SCHEMES:
            await inside.resize(width, dark=scheme == "dark")
            if found := await find_barriers(inside):
                barriers[f"{path} {scheme}"] = found

    assert not barriers


async def test_the_keyboard_reaches_everything_in_order_and_shows_where_it_is(inside: Page, settled: Replica) -> None:
    """A stop that cannot be reached, or not be seen, keeps people out whom no pointer helps."""
    await inside.resize(360)
    lost = dict[str, list[Any]]()

    for path in walk():
        await inside.visit(settled.url + path)
        stops = await inside.value(STOPS)
        walked = [stop async for stop in _tabbed(inside, len(stops))]
        if walked != [[stop, True] for stop in stops]:
            lost[path] = walked

    assert not lost


async def _tabbed(tab: Page, n_stops: int) -> AsyncIterator[list[Any]]:
    """Where Tab leads, one stop after the other; a field with parts, as a date is, is one."""
    before: int | None = -1  # no stop at all is None
    while n_stops:
        await tab.key("Tab")
        at = await tab.value(STANDS_AT)
        if at[0] != before:
            n_stops -= 1
            yield at
        before = at[0]


async def nothing(_scope: Any, _receive: Any, send: Any) -> None:
    """An answer that leaves a browser where it is."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # stripe's way of calling httpx
@pytest.mark.parametrize("width", [1280, 360])
async def test_a_page_of_another_tier_and_one_that_leads_away_are_as_good_as_the_rest(
    tab: Page, start_replica: Callable[..., Awaitable[Replica]], dsns: tuple[str, str], width: int
) -> None:
    """No address alone opens them: who asks makes the one, a button the other."""
    stripe, faults = FakeStripe(), dict[str, Any]()

    async def look(name: str, said: str) -> None:
        assert said in await tab.value("document.querySelector('main').textContent")
        for scheme in SCHEMES:
            await tab.resize(width, dark=scheme == "dark")
            await tab.photograph(SCREENS / f"{width}-{scheme}-{name}.png")
            found = await find_flaws(tab) | {"barriers": await find_barriers(tab) if AXE.is_file() else []}
            if told := {what: flaw for what, flaw in found.items() if flaw}:
                faults[f"{name} {scheme}"] = told
        stops = await tab.value(STOPS)
        walked = [stop async for stop in _tabbed(tab, len(stops))]
        if walked != [[stop, True] for stop in stops]:
            faults[f"{name} by keyboard"] = walked

    async with serve(stripe) as url, serve(nothing) as stripe.pages:
        replica = await start_replica(**settings_of(dsns[0], stripe_api_url=url))
        await replica.services.accounts.register(EMAIL, PASSWORD)
        session = await replica.services.accounts.open_session(EMAIL, PASSWORD, network="127.0.0.1")
        await tab.call("Network.setCookie", name="oddsd_session", value=session.secret, url=replica.url, httpOnly=True)
        await tab.resize(width)
        await tab.visit(replica.url + NOT_OF_THE_TIER)
        await look("app-not-of-the-tier", "Not part of this tier")
        await tab.visit(f"{replica.url}/app/account/billing")
        await tab.press(LEAVES)
        await look("app-leaving", "You are led to the payment service")

    assert not faults
    assert not [said for said in tab.complaints if "status of 403" not in said]


async def test_a_page_weighs_less_than_a_hundred_kilobytes_with_all_its_files(settled: Replica) -> None:
    """People read this on telephones."""
    heavy = dict[str, int]()
    for path in walk():
        page = await settled.http.get(path)
        files = sorted(set(re.findall(r"/app/static/[^\"]+", page.text)))
        assert len(files) >= 3, path
        bodies = [page.content, *[(await settled.http.get(file)).content for file in files]]
        if (weight := sum(len(gzip.compress(body)) for body in bodies)) >= MAY_WEIGH_BYTES:
            heavy[path] = weight

    assert not heavy


@pytest.mark.skipif(not has_asset(*VENDOR), reason="uPlot is not here: `make assets` fetches it")
async def test_the_calibration_of_an_experiment_is_drawn_over_its_picture(inside: Page, settled: Replica) -> None:
    """Each bin of the report is a point of the chart, named for who cannot see it; the drawing below is put away."""
    await inside.visit(f"{settled.url}/app/leaderboard")
    await inside.value("document.querySelector('details.calibration').open = true")
    await inside.until("document.querySelector('drawn-chart[data-kind=calibration].drawn canvas')?.clientWidth > 100")
    chart = "document.querySelector('drawn-chart[data-kind=calibration]')"

    assert "luck alone would put them" in await inside.value(f"{chart}.querySelector('[role=img]').ariaLabel")
    assert not await inside.value(f"{chart}.querySelector('svg').checkVisibility()")
    ink = f"{chart}.querySelector('canvas').getContext('2d').getImageData(40, 20, 300, 200).data"
    assert await inside.value(f"new Set(new Uint32Array({ink}.buffer)).size") > 10, "the canvas is empty"
    assert not await inside.value("window.__violations")
