"""The live monitor with real events: what lands is told at once, a pause is a pause, and who may not listen is told why."""

from datetime import timedelta

import pytest

from cloudapi.tiers import Tier
from cloudapi.web.render import VENDOR, has_asset
from sync.records import MarketStatus
from tests.browser.chromium import Page
from tests.browser.conftest import HOSTILE
from tests.browser.test_browser import enter
from tests.integration.cloud.conftest import Clock, Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import NOW, make_benchmark_pass, make_insight, make_market, make_quote

STATE = "document.querySelector('[data-live]').dataset.live"
AGE = "document.querySelector('#age').textContent"
NEWS = "document.querySelector('#news').textContent"
PULSE = "document.querySelector('#pulse').textContent"
PAUSE = "document.querySelector('[data-live] button').click()"


def make_move(ticker: str, mid_before: float, mid: float) -> list[object]:
    """A market that stood somewhere two hours ago and stands elsewhere now."""
    place = {"ticker": ticker}
    return [
        make_market(**place, title=f"Where is {ticker}?"),
        make_quote(**place, fetched_at=NOW - timedelta(hours=2), mid=mid_before, bid=mid_before - 0.01, ask=mid_before + 0.01),
        make_quote(**place, fetched_at=NOW - timedelta(minutes=1), mid=mid, bid=mid - 0.01, ask=mid + 0.01),
    ]  # fmt: skip


async def land(edge: HandEdge, replica: Replica, *records: object) -> None:
    before = sum(replica.services.versions.n_landed.values())
    await edge.send(list(records))
    await replica.landed(before + len(records))


@pytest.mark.skipif(not has_asset(*VENDOR), reason="htmx is not here: `make assets` fetches it")
async def test_what_lands_is_told_at_once_and_the_figures_follow(
    tab: Page, reader: Replica, edge: HandEdge, clock: Clock
) -> None:
    """An insight, a pass and a move arrive while the page is open: no reload, no violation, text stays text."""
    clock.moment = NOW + timedelta(minutes=5)
    await enter(tab, reader)
    await tab.visit(f"{reader.url}/app/live")
    await tab.until(f"{STATE} === 'on'")
    await tab.value("window.__same = true")

    await land(
        edge,
        reader,
        *make_move("KXUP", 0.30, 0.42),
        make_insight(insight_id="ins-live", one_liner=f"It jumped {HOSTILE}"),
    )
    await tab.until(f"{NEWS}.includes('It jumped')")
    await tab.until(f"{PULSE}.includes('Where is KXUP?')")

    assert "+12.0\u202fpp" in await tab.value(PULSE)
    await tab.until(f"/^\\d+ s$/.test({AGE})")
    assert not await tab.value("document.querySelector('#age').classList.contains('stale')")
    assert HOSTILE in await tab.value(NEWS)
    assert await tab.value("window.__same === true && document.querySelector('#news img, #news script') === null")
    await land(
        edge, reader, make_benchmark_pass(pass_id="p-live", checked_at=NOW + timedelta(minutes=4), n_converging=77)
    )
    await land(edge, reader, make_insight(insight_id="ins-live-2"))
    await tab.until(f"{PULSE}.includes('77')")
    assert await tab.value("window.__violations") == []
    assert not tab.complaints


@pytest.mark.skipif(not has_asset(*VENDOR), reason="htmx is not here: `make assets` fetches it")
async def test_a_pause_gives_the_stream_back_and_going_on_shows_what_was_missed(
    tab: Page, reader: Replica, edge: HandEdge, clock: Clock
) -> None:
    """While paused nothing moves and no stream is open; afterwards the figures are fetched at once."""
    clock.moment = NOW + timedelta(minutes=5)
    await enter(tab, reader)
    await tab.visit(f"{reader.url}/app/live")
    await tab.until(f"{STATE} === 'on'")
    assert reader.services.feed.n_listeners == 1

    await tab.value(PAUSE)
    assert await tab.value(STATE) == "paused"
    assert await tab.value("document.querySelector('[data-live] button').textContent") == "Go on"
    while reader.services.feed.n_listeners:  # the server hears of it when the connection closes
        await tab.until("true")
    await land(edge, reader, *make_move("KXDOWN", 0.60, 0.41))
    assert "KXDOWN" not in await tab.value(PULSE)

    await tab.value(PAUSE)
    await tab.until(f"{STATE} === 'on' && {PULSE}.includes('Where is KXDOWN?')")
    assert "\u221219.0\u202fpp" in await tab.value(PULSE)


async def test_the_seconds_since_the_last_landing_go_on_and_turn_red(tab: Page, reader: Replica, clock: Clock) -> None:
    """A page left open over lunch does not say that all is fresh."""
    clock.moment = reader.services.versions.last_landing_at + timedelta(seconds=118)
    await enter(tab, reader)
    await tab.visit(f"{reader.url}/app/live")
    await tab.until(f"{AGE} !== '1 min 58 s'")
    await tab.until("document.querySelector('#age').classList.contains('stale')")

    assert (await tab.value(AGE)).startswith("2 min ")


@pytest.mark.parametrize("tier", [Tier.BASIC, Tier.PREMIUM])
async def test_who_may_not_listen_reads_why_and_sees_no_movers(stocked: Replica, edge: HandEdge, tier: Tier) -> None:
    """Movers are prices as they land; a tier that waits for them must not find them on a page."""
    await land(edge, stocked, *make_move("KXUP", 0.30, 0.42))
    told = (await stocked.get("/app/live")).text
    text = (await stocked.get("/app/live", tier=tier)).text

    assert "live.js" in told
    assert "The live feed is part of pro and above" in text
    for absent in ("live.js", "Where is KXUP?", "data-hx-trigger", "Pause"):
        assert absent not in text, absent


async def test_the_movers_are_the_hours_own_and_the_strongest_first(
    edge: HandEdge, replica: Replica, clock: Clock
) -> None:
    """A price stands until the next one: what has not been quoted within the hour has not moved in it."""
    clock.moment = NOW
    await edge.hello()
    old = [
        make_market(ticker="KXOLD", title="Where is KXOLD?"),
        make_quote(ticker="KXOLD", fetched_at=NOW - timedelta(hours=5), mid=0.1, bid=0.1, ask=0.1),
        make_quote(ticker="KXOLD", fetched_at=NOW - timedelta(hours=3), mid=0.9, bid=0.9, ask=0.9),
    ]
    moves = [*make_move("KXA", 0.50, 0.55), *make_move("KXB", 0.50, 0.20), *make_move("KXSTILL", 0.5, 0.5)]
    await land(edge, replica, *old, *moves)
    text = (await replica.get("/app/live")).text

    assert text.index("Where is KXB?") < text.index("Where is KXA?")
    assert "\N{MINUS SIGN}30.0\u202fpp" in text
    assert "KXOLD" not in text
    assert "KXSTILL" not in text


async def test_the_markets_tracked_are_those_that_are_open(edge: HandEdge, replica: Replica, clock: Clock) -> None:
    """A house that watches two and says nought looks broken."""
    clock.moment = NOW
    await edge.hello()
    closed = make_market(ticker="KXC", title="Where is KXC?", status=MarketStatus.CLOSED)
    await land(edge, replica, *make_move("KXA", 0.50, 0.55), *make_move("KXB", 0.50, 0.20), closed)

    text = (await replica.get("/app/live")).text

    assert '<span class="big">2</span><span>open markets tracked</span>' in text


async def test_a_market_known_from_its_prices_alone_moves_nothing(
    edge: HandEdge, replica: Replica, clock: Clock
) -> None:
    """Its question is still on the way: it has no name to be shown by, and the others are shown all the same."""
    clock.moment = NOW
    await edge.hello()
    await land(edge, replica, *make_move("KXSTUB", 0.20, 0.90)[1:], *make_move("KXA", 0.50, 0.55))

    answer = await replica.get("/app/live")

    assert answer.status_code == 200
    assert "Where is KXA?" in answer.text
    assert "KXSTUB" not in answer.text
