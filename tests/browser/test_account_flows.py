"""The account in Chromium, by keyboard as a person fills in a form: each flow with scripts and without, on a telephone
and on a desk, without a violation of the policy.
"""

import asyncio

import asyncpg
import pytest

from cloudapi.tiers import Tier
from tests.browser.axe import AXE, find_barriers
from tests.browser.chromium import Page
from tests.browser.looks import SCREENS, find_flaws
from tests.fakes.asgi import serve
from tests.fakes.stripe import FakeStripe
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.subscribed import settings_of

EMAIL, PASSWORD = "newcomer@example.org", "a long enough pass phrase"
NEW_PASSWORD = "quite another pass phrase"


class Hands:
    """Somebody at a keyboard; works whether or not the page may run scripts."""

    def __init__(self, tab: Page, url: str) -> None:
        self.tab, self.url = tab, url

    async def go(self, path: str) -> None:
        await self.tab.visit(self.url + path)

    async def find(self, selector: str) -> int:
        root = (await self.tab.call("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.tab.call("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        assert node, f"nothing is {selector}"
        return node

    async def read(self) -> str:
        root = (await self.tab.call("DOM.getDocument"))["root"]["nodeId"]
        return (await self.tab.call("DOM.getOuterHTML", nodeId=root))["outerHTML"]

    async def type(self, selector: str, text: str) -> None:
        await self.tab.call("DOM.focus", nodeId=await self.find(selector))
        await self.tab.call("Input.insertText", text=text)

    async def press(self, selector: str) -> str:
        """Enter on what has the focus. Returns: the page it leads to."""
        await self.tab.call("DOM.focus", nodeId=await self.find(selector))
        self.tab.loaded.clear()
        await self.enter()
        await self.tab.until_loaded()
        return await self.read()

    async def press_away(self, selector: str, begins: str) -> None:
        """The same, where a page only leads on to another one: until the tab is there."""
        await self.tab.call("DOM.focus", nodeId=await self.find(selector))
        await self.enter()
        async with asyncio.timeout(20):
            while not any(url.startswith(begins) for url in await self.seen()):
                self.tab.loaded.clear()
                await self.tab.loaded.wait()

    async def seen(self) -> list[str]:
        """Addresses the tab went to."""
        history = await self.tab.call("Page.getNavigationHistory")
        return [entry["url"] for entry in history["entries"]]

    async def enter(self) -> None:
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await self.tab.call("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        await self.tab.call("Input.dispatchKeyEvent", type="keyUp", **key)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_a_newcomer_registers_makes_a_key_follows_something_and_leaves(
    tab: Page, replica: Replica, owner: asyncpg.Connection, scripts: bool
) -> None:
    """From the first page to the deleted account, by the links and forms a person sees."""
    if not scripts:
        await tab.without_scripts()
    hands = Hands(tab, replica.url)

    await hands.go("/")
    await hands.press("a[href='/app/register']")
    await hands.type("#email", EMAIL)
    await hands.type("#password", PASSWORD)
    assert "it has one now: sign in" in await hands.press("main form button")
    await hands.type("[name=email]", EMAIL)
    await hands.type("[name=password]", PASSWORD)
    await hands.press("main form button")
    await owner.execute("update account set tier = $2 where email = $1", EMAIL, Tier.PRO)
    replica.services.ring.forget()

    await hands.go("/app/account")
    await hands.press("a[href='/app/account/keys']")
    await hands.type("#label", "my script")
    made = await hands.press("#label")
    assert "It is shown this once" in made
    assert "odds_live_" in made
    assert "The key is ended" in await hands.press("[aria-label='End it: the key my script']")

    await hands.go("/app/account/watch")
    await hands.type("#subject", "rain")
    assert "It is on your watch list." in await hands.press("#subject")
    assert "You follow it no more." in await hands.press("button[value=end]")
    await hands.go("/app/account/webhooks")
    await hands.type("#url", "https://127.0.0.1/hook")
    refused = await hands.press("#url")
    assert 'id="url-fault"' in refused
    assert 'value="https://127.0.0.1/hook"' in refused

    await hands.go("/app/account/password")
    await hands.type("#old", PASSWORD)
    await hands.type("#new", NEW_PASSWORD)
    assert "every login has ended" in await hands.press("#new")
    await hands.type("[name=email]", EMAIL)
    await hands.type("[name=password]", NEW_PASSWORD)
    await hands.press("main form button")
    await hands.go("/app/account/data")
    await hands.type("#confirm", "delete my account")
    assert "Your account is deleted" in await hands.press("#confirm")
    assert await owner.fetchval("select count(*) from account where closed_at is not null") == 1
    if scripts:
        assert not await tab.value("window.__violations")
    assert not [one for one in tab.complaints if "422" not in one]  # the refused form is told by the browser too


@pytest.mark.parametrize("width", [1280, 360])
async def test_a_key_just_made_and_a_form_with_a_fault_fit_the_screen_and_can_be_read(
    tab: Page, replica: Replica, width: int
) -> None:
    """Pages that answer a form have no address: the walk of all addresses does not come by."""
    await replica.services.accounts.register(EMAIL, PASSWORD)
    session = await replica.services.accounts.open_session(EMAIL, PASSWORD, network="127.0.0.1")
    await tab.call("Network.setCookie", name="oddsd_session", value=session.secret, url=replica.url, httpOnly=True)
    await tab.resize(width, dark=width < 600)
    hands = Hands(tab, replica.url)
    faults = dict[str, object]()

    async def look(name: str) -> None:
        found = await find_flaws(tab) | {"barriers": await find_barriers(tab) if AXE.exists() else None}
        await tab.photograph(SCREENS / f"{width}-{name}.png")
        if told := {key: value for key, value in found.items() if value}:
            faults[name] = told

    await hands.go("/app/account/keys")
    await hands.type("#label", "my script")
    assert "odds_live_" in await hands.press("#label")
    await look("app-account-keys-made")
    await hands.type("#label", "another")
    await hands.type("#rpm", "0")
    await tab.value("document.querySelector('#rpm').form.noValidate = true")
    assert 'id="rpm-fault"' in await hands.press("#label")
    await look("app-account-keys-fault")

    assert not faults


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # stripe's way of calling httpx
async def test_a_checkout_leads_on_to_the_payment_page_under_the_policy(
    tab: Page, start_replica, dsns: tuple[str, str]
) -> None:
    """A form may go nowhere but to us, so a page of ours leads on; the browser must follow it."""
    stripe = FakeStripe()
    async with serve(stripe) as url:
        stripe.pages = url
        replica: Replica = await start_replica(**settings_of(dsns[0], stripe_api_url=url))
        await replica.services.accounts.register(EMAIL, PASSWORD)
        session = await replica.services.accounts.open_session(EMAIL, PASSWORD, network="127.0.0.1")
        await tab.call("Network.setCookie", name="oddsd_session", value=session.secret, url=replica.url, httpOnly=True)
        hands = Hands(tab, replica.url)
        await hands.go("/app/account/billing")

        await hands.press_away("form[action$=checkout] button", f"{url}/cs_")

    assert len(stripe.sessions) == 1
