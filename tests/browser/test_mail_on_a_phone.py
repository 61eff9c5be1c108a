"""The daily mail as a phone shows it: nothing runs over the edge, nothing is smaller than can be read, nothing loads."""

import email.policy
from datetime import date
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest

from cloudapi.mail import ON_THE_WIRE, compose
from cloudapi.watching import Edition, Move, Note
from tests.browser.chromium import Page

SCREENS = Path(__file__).resolve().parents[2] / ".screens"
LONG_WORD = "Donaudampfschifffahrtselektrizitaetenhauptbetriebswerkbauunterbeamtengesellschaft"
KEY = "k" * 43
EDITION = Edition(
    day=date(2026, 3, 1),
    moves=(
        Move(market_key="a", title="Will Norway ratify the coastal treaty before 2027?", before=0.3, after=0.42,
             url="https://kalshi.com/markets/KXTREATY-26"),
        Move(market_key="b", title=f"Will the {LONG_WORD} be founded?", before=0.9, after=0.08, url=None),
        Move(market_key="c", title='<img src=https://evil.example/x.png> & "quotes"', before=0.5, after=0.61,
             url="javascript:alert(1)"),
    ),
    notes=(Note(market_key="a", title="Will Norway ratify?", one_liner="The committee moved the vote forward. " * 6,
                confidence=81),),
    n_more=12,
)  # fmt: skip
# In pixels: the smallest print, how wide the page is, how far a line reaches.
SMALLEST = """
Math.min(...[...document.body.querySelectorAll("*")].filter((one) => one.textContent.trim())
    .map((one) => parseFloat(getComputedStyle(one).fontSize)))
"""
WIDE = "document.documentElement.scrollWidth"  # a phone's window grows with what is too wide for it
# The lines of text themselves, for a block is as wide as it should be while its words run on.
FARTHEST = """
(() => {
  const range = document.createRange();
  range.selectNodeContents(document.body);
  return Math.max(...[...range.getClientRects()].map((one) => one.right));
})()
"""
LINKS = '[...document.querySelectorAll("a")].map((one) => one.href)'
LOADED = 'performance.getEntriesByType("resource").map((one) => one.name)'


def received() -> EmailMessage:
    """As a mail program has it, from the bytes that went over the wire."""
    mail = compose(
        EDITION, account_id=UUID(int=1), to="ann@example.org", sender="Odds <odds@odds.example>",
        public_url="https://odds.example", key=KEY,
    )  # fmt: skip
    return message_from_bytes(mail.as_bytes(policy=ON_THE_WIRE), policy=email.policy.default)


@pytest.mark.parametrize("width", [360, 280])
async def test_the_mail_is_read_on_a_phone_without_a_finger_sideways(tab: Page, width: int) -> None:
    """A title longer than the screen breaks; the smallest print is 14 pixels; words of a venue stay words."""
    page = received().get_body(("html",))
    assert page is not None
    await tab.resize(width)
    await tab.visit("data:text/html;charset=utf-8," + quote(page.get_content()))

    assert await tab.value(WIDE) == width
    assert await tab.value(FARTHEST) <= width
    assert await tab.value(SMALLEST) >= 14
    assert await tab.value(LOADED) == []
    links = await tab.value(LINKS)
    assert links[0] == "https://kalshi.com/markets/KXTREATY-26"
    assert links[-1] == f"https://odds.example/mail/unsubscribe/{KEY}"
    assert all(link.startswith("https://") for link in links)
    colours = set()
    for dark in (False, True):
        await tab.resize(width, dark=dark)
        await tab.photograph(SCREENS / f"mail-{width}-{'dark' if dark else 'light'}.png")
        colours.add(await tab.value('getComputedStyle(document.querySelector("h1")).color'))
    assert len(colours) == 2, "dark print on a dark page"


def test_the_text_part_says_what_the_page_says() -> None:
    """For whoever reads mail without a browser; short lines of its own, every address whole."""
    text = received().get_body(("plain",))
    assert text is not None
    said = text.get_content()

    for move in EDITION.moves:
        assert move.title in said
    assert "30.0 % -> 42.0 % (+12.0 points)" in said
    assert "12 more: https://odds.example/app" in said
    assert f"No more mails: https://odds.example/mail/unsubscribe/{KEY}" in said
