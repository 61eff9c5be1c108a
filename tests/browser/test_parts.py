"""Parts of pages fetched by htmx, charts drawn by uPlot: the same addresses, the same words, less to load."""

import json

import pytest

from cloudapi.web.render import VENDOR, has_asset
from tests.browser.chromium import Page
from tests.browser.conftest import HOSTILE
from tests.browser.test_browser import enter
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import make_market

pytestmark = pytest.mark.skipif(
    not has_asset(*VENDOR), reason="htmx and uPlot are not here: `make assets` fetches them"
)

# A page that is loaded anew forgets what was hung onto its window.
MARK = "window.__same = true"
IS_SAME = "window.__same === true"
HAS_DRAWN = "document.querySelector('drawn-chart.drawn canvas') !== null"


async def at(tab: Page) -> str:
    return await tab.value("location.pathname + location.search")


async def test_a_range_is_switched_in_place_with_its_address_and_the_way_back(tab: Page, reader: Replica) -> None:
    """The chart alone is exchanged, the keyboard stays where it was, the address is real, and back leads back."""
    await enter(tab, reader)
    await tab.visit(f"{reader.url}/app/predictions/prd-1?range=1W")
    await tab.until(HAS_DRAWN)
    await tab.value(MARK)
    await tab.value("document.querySelector('#range-1D').focus()")
    await tab.key("Enter", 13)
    await tab.until(
        "document.querySelector('#range-1D[aria-current]') !== null && document.activeElement.id === 'range-1D'"
    )
    await tab.until(HAS_DRAWN)

    assert await at(tab) == "/app/predictions/prd-1?range=1D"
    assert await tab.value(IS_SAME)
    assert await tab.value("document.querySelectorAll('drawn-chart canvas').length") == 1
    assert await tab.value("document.querySelector('#chart time').title") != ""
    assert "The market's mid went from" in await tab.value("document.querySelector('#told').textContent")
    await tab.value("history.back()")
    await tab.until("document.querySelector('#range-1W[aria-current]') !== null")
    assert await at(tab) == "/app/predictions/prd-1?range=1W"
    assert await tab.value("window.__violations") == []
    assert not tab.complaints


async def test_older_entries_are_put_behind_the_newer_ones(tab: Page, reader: Replica, edge: HandEdge) -> None:
    """The list grows, each market is there once, and the keyboard goes on with the first one that came."""
    markets = [make_market(ticker=f"KXMORE-{n}", title=f"Question {n} {HOSTILE}") for n in range(45)]
    await edge.send(markets)
    await reader.landed(len(markets))
    await enter(tab, reader)
    await tab.visit(f"{reader.url}/app/markets")
    await tab.value(MARK)
    rows = "document.querySelectorAll('.listing > tr:not(.pager)').length"
    first = await tab.value(rows)
    await tab.value("document.querySelector('[rel=next]').click()")
    await tab.until(f"{rows} > {first}")

    assert await tab.value("document.activeElement.closest('tr').rowIndex") == first + 1
    await tab.value("document.querySelector('[rel=next]').click()")
    await tab.until("document.querySelector('[rel=next]') === null")
    titles = await tab.value("[...document.querySelectorAll('.listing > tr a')].map((a) => a.textContent)")
    assert len(titles) == len(set(titles)) >= 45
    assert await tab.value(IS_SAME)
    assert await at(tab) == "/app/markets"
    assert await tab.value("window.__violations") == []


async def test_sorting_filtering_and_searching_keep_the_page(tab: Page, reader: Replica) -> None:
    """Each is a link or a form with an address of its own; none costs a whole page."""
    await enter(tab, reader)
    for path, act, wanted in (
        ("/app/leaderboard", "document.querySelector('#sort-recent').click()", "sort=recent"),
        ("/app/arbitrage", "document.querySelector('#status-expired').click()", "status=EXPIRED"),
        (
            "/app/markets",
            "document.querySelector('[name=q]').value = 'rain'; document.querySelector('[role=search] button').click()",
            "q=rain",
        ),
    ):
        await tab.visit(reader.url + path)
        await tab.value(MARK)
        await tab.value(act)
        await tab.until(
            f"location.search.includes({json.dumps(wanted)}) && document.querySelector('.htmx-request') === null"
        )
        assert await tab.value(IS_SAME), path
        assert await tab.value("document.querySelectorAll('h1').length") == 1, path
    assert await tab.value("window.__violations") == []
    assert not tab.complaints


async def test_a_session_that_ended_leads_to_the_door_not_into_the_page(tab: Page, reader: Replica) -> None:
    """What answers instead of the page is visited as what it is."""
    await enter(tab, reader)
    await tab.visit(f"{reader.url}/app/predictions/prd-1?range=1W")
    await tab.call("Network.clearBrowserCookies")
    await tab.press("#range-1D")

    assert await tab.value("location.pathname") == "/app/sign-in"
    assert await tab.value("document.querySelector('[name=next]').value") == "/app/predictions/prd-1?range=1D"


async def test_a_service_that_is_away_is_said_and_the_page_stays(tab: Page, reader: Replica) -> None:
    """Somebody in a tunnel reads on."""
    await enter(tab, reader)
    await tab.visit(f"{reader.url}/app/predictions/prd-1?range=1W")
    away = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    await tab.call("Network.enable")
    await tab.call("Network.emulateNetworkConditions", **away)
    await tab.value("document.querySelector('#range-1D').click()")
    await tab.until("document.querySelector('#told.seen') !== null")

    assert "did not answer" in await tab.value("document.querySelector('#told').textContent")
    assert await tab.value("document.querySelector('#range-1W[aria-current]') !== null")


async def test_html_with_a_script_of_its_own_and_text_as_code_are_refused(tab: Page, reader: Replica) -> None:
    """The one hand that may make HTML does not make what our pages never hold, and evaluates nothing."""
    await enter(tab, reader)
    await tab.visit(f"{reader.url}/app/markets")
    refused = await tab.value("""
        (async () => {
          const tried = async (text) => { try { await htmx.swap({ text, target: document.body, swap: "beforeend", sourceElement: document.body }); return "taken"; } catch (e) { return e.constructor.name; } };
          return [await tried("<p>a</p><script>window.__ran = 1</scr" + "ipt>"), await tried("<p id='plain'>a</p>"), window.__ran ?? null,
            document.querySelector("#plain") !== null];
        })()
    """)
    with pytest.raises(AssertionError, match="TrustedHTML"):
        await tab.value("document.createElement('p').innerHTML = '<b>x</b>'")

    assert refused == ["TypeError", "taken", None, True]


async def test_a_chart_shows_its_newest_values_follows_the_width_and_the_hour(tab: Page, reader: Replica) -> None:
    """Sized by its place, coloured by the scheme, named for who cannot see it; the drawing below it is put away."""
    await enter(tab, reader)
    await tab.resize(1280)
    await tab.visit(f"{reader.url}/app/predictions/prd-1?range=1W")
    await tab.until(HAS_DRAWN)
    wide = await tab.value("document.querySelector('drawn-chart canvas').clientWidth")
    legend = await tab.value("document.querySelector('.u-legend').textContent")
    assert "Mid" in legend
    assert "42.5 %" in legend
    assert await tab.value("document.querySelector('drawn-chart [role=img]').getAttribute('aria-label')")
    assert not await tab.value("document.querySelector('svg.chart').checkVisibility()")
    assert (
        "times in UTC" not in await tab.value("document.querySelector('[data-zone]').textContent")
        or (await tab.value("Intl.DateTimeFormat().resolvedOptions().timeZone")) == "UTC"
    )

    await tab.resize(360)
    await tab.until(f"document.querySelector('drawn-chart canvas').clientWidth < {wide}")
    light = await tab.value("document.querySelector('drawn-chart canvas').toDataURL()")
    await tab.resize(360, dark=True)
    await tab.until(f"document.querySelector('drawn-chart canvas').toDataURL() !== {json.dumps(light)}")
    assert await tab.value("window.__violations") == []
