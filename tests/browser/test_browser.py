"""The pages as a reader meets them: zone, scripts on and off, the door, and the record checked in the page."""

import json

import asyncpg
import pytest

from tests.browser.chromium import Page
from tests.browser.conftest import EMAIL, PASSWORD
from tests.browser.test_pages import PATHS
from tests.integration.cloud.conftest import Replica


async def enter(tab: Page, replica: Replica) -> None:
    """Sign in as a person would: by the form."""
    await tab.visit(f"{replica.url}/app/sign-in")
    await tab.value(f"document.querySelector('[name=email]').value = {json.dumps(EMAIL)}")
    await tab.value(f"document.querySelector('[name=password]').value = {json.dumps(PASSWORD)}")
    await tab.press("form button")


async def test_without_scripts_every_page_says_the_same(tab: Page, reader: Replica) -> None:
    """Scripts are a comfort: zones and the check of the record, nothing else."""
    await tab.without_scripts()
    cookie = await reader.services.accounts.open_session(EMAIL, PASSWORD, network="127.0.0.1")
    await tab.call("Network.setCookie", name="oddsd_session", value=cookie.secret, url=reader.url, httpOnly=True)

    for path, said in PATHS.items():
        await tab.visit(reader.url + path)
        document = (await tab.call("DOM.getDocument", depth=-1))["root"]
        text = (await tab.call("DOM.getOuterHTML", nodeId=document["nodeId"]))["outerHTML"]
        assert said in text, path
    await tab.visit(f"{reader.url}/app/predictions/prd-1?range=1W")
    document = (await tab.call("DOM.getDocument", depth=-1))["root"]
    html = (await tab.call("DOM.getOuterHTML", nodeId=document["nodeId"]))["outerHTML"]
    assert 'class="mid" d="M' in html
    assert "The market's mid went from" in html
    assert " UTC</time>" in html


VERIFY = """
new Promise((resolve) => {
  const button = document.querySelector("[data-verify] button"), status = document.querySelector("[data-verify] [role=status]");
  new MutationObserver(() => { if (/holds|Number|Not checked/.test(status.textContent)) resolve(status.textContent); })
    .observe(status, { childList: true, characterData: true, subtree: true });
  button.click();
})
"""


@pytest.mark.parametrize(
    ("forgery", "said"),
    [
        (None, "The record holds: 3 forecasts, each hash worked out here. It ends with "),
        (
            "update prediction set probability_yes = 0.551 where chain_seq = 2",
            "Number 2 was changed: its hash is another.",
        ),
        ("delete from prediction where chain_seq = 2", "Number 2 is missing: the next one here is 3."),
    ],
)
async def test_the_whole_record_is_checked_in_the_page(
    tab: Page, reader: Replica, owner: asyncpg.Connection, forgery: str | None, said: str
) -> None:
    """Numbers and texts that languages write differently hash the same; what was changed is found and named."""
    if forgery is not None:
        await owner.execute("set session_replication_role = replica")
        await owner.execute(forgery)
    await enter(tab, reader)
    await tab.visit(f"{reader.url}/app/record")

    assert (await tab.value(VERIFY)).startswith(said)


async def test_moments_are_told_in_the_readers_zone(tab: Page, reader: Replica) -> None:
    """Half past midnight UTC is yesterday in Honolulu."""
    await tab.call("Emulation.setTimezoneOverride", timezoneId="Pacific/Honolulu")
    await enter(tab, reader)
    await tab.visit(f"{reader.url}/app/insights")

    shown = await tab.value(
        "(() => { const t = document.querySelector('article time'); return [t.dateTime, t.textContent, t.title]; })()"
    )

    assert "UTC" not in shown[1]
    assert "Pacific/Honolulu" in shown[2]
    assert (
        await tab.value(
            f"new Intl.DateTimeFormat(undefined, {{dateStyle: 'medium', timeStyle: 'short'}}).format(new Date({json.dumps(shown[0])}))"
        )
        == shown[1]
    )


async def test_the_door_leads_back_to_the_page_that_was_asked_for_and_out_again(tab: Page, reader: Replica) -> None:
    """A link from a message, a sign-in, the page; then out."""
    await tab.visit(f"{reader.url}/app/markets?q=rain")
    assert await tab.value("location.pathname") == "/app/sign-in"
    await tab.value(f"document.querySelector('[name=email]').value = {json.dumps(EMAIL)}")
    await tab.value(f"document.querySelector('[name=password]').value = {json.dumps(PASSWORD)}")
    await tab.press("form button")
    assert await tab.value("location.pathname + location.search") == "/app/markets?q=rain"
    assert await tab.value("document.cookie") == ""

    await tab.visit(f"{reader.url}/app/account")
    await tab.press("form[action='/app/sign-out'] button")
    assert await tab.value("location.pathname") == "/"
    await tab.visit(f"{reader.url}/app/account")
    assert await tab.value("location.pathname") == "/app/sign-in"


async def test_the_first_stop_of_the_keyboard_leads_past_the_navigation(tab: Page, reader: Replica) -> None:
    """Nobody wants to walk ten links on every page."""
    await enter(tab, reader)
    await tab.visit(f"{reader.url}/app/insights")
    await tab.key("Tab")

    assert await tab.value("document.activeElement.className") == "skip"
    assert await tab.value("document.activeElement.getBoundingClientRect().left >= 0")
    assert await tab.value("document.querySelector(document.activeElement.getAttribute('href')).tagName") == "MAIN"
