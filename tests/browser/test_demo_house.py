"""The README's third command: `make demo KEEP=1` prints an address and a sign-in, and every page there shows its data."""

import asyncio
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.browser.chromium import Page
from tests.browser.test_account_flows import Hands
from tests.demo.pages import PAGES

READY_WITHIN_S = 400  # it is the whole demo that runs before
PRINTED = re.compile(r"pages\s+(http://\S+)/app\s+sign in as (\S+) with (\S+)")


@pytest.fixture
async def house() -> AsyncIterator[tuple[str, str, str]]:
    """The demo, kept: its address, e-mail and password as it prints them."""
    # Not below pytest's folder: as root the embedded PostgreSQL runs as another user, who must be let in.
    folder = Path(tempfile.mkdtemp(prefix="oddsd-kept-"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.demo", "--keep", "--work-dir", str(folder / "demo"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said = ""
    try:
        async with asyncio.timeout(READY_WITHIN_S):
            while not (found := PRINTED.search(said)):
                line = await process.stdout.readline()
                assert line, said
                said += line.decode()
        yield found[1], found[2], found[3]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
async def test_a_newcomer_signs_in_with_what_is_printed_and_every_page_shows_data(
    tab: Page, house: tuple[str, str, str]
) -> None:
    """No page of the demo is an empty state, and the browser has nothing to complain of."""
    url, email, password = house
    hands = Hands(tab, url)
    await hands.go("/app")
    await hands.type("[name=email]", email)
    await hands.type("[name=password]", password)
    assert "Insights" in await hands.press("main form button")
    faults = dict[str, object]()
    listed = list(PAGES)
    for kind in ("predictions", "markets"):
        await hands.go(f"/app/{kind}")
        listed.append(await tab.value(f"document.querySelector('main a[href^=\"/app/{kind}/\"]').pathname"))

    for path in listed:
        await hands.go(path)
        found = {
            "at": None if (at := await tab.value("location.pathname")) == path else at,
            "empty": await tab.value("document.querySelector('.empty')?.textContent"),
            "policy": await tab.value("window.__violations"),
        }
        if told := {name: value for name, value in found.items() if value}:
            faults[path] = told

    assert not faults
    assert not tab.complaints
