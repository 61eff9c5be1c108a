"""Watch lists and the mail on paper: whose hour it is, what is worth a line, how it reads."""

import uuid
from datetime import UTC, date, datetime

import pytest

from cloudapi.mail import DELAYS_S, compose, next_delay_s
from cloudapi.watching import MAX_LINES, Edition, Move, Note, day_due, day_is_over, edition

DAY = date(2026, 3, 1)
ACCOUNT = uuid.UUID(int=7)


def move(key: str = "kalshi:A", before: float = 0.4, after: float = 0.5, title: str = "Will it rain?") -> Move:
    return Move(market_key=key, title=title, before=before, after=after, url="https://kalshi.example/a")


def note(key: str = "kalshi:A", confidence: int = 70) -> Note:
    return Note(market_key=key, title="Will it rain?", one_liner="Clouds came.", confidence=confidence)


@pytest.mark.parametrize(
    ("now", "zone", "day"),
    [
        (datetime(2026, 3, 1, 6, 59, tzinfo=UTC), "UTC", None),
        (datetime(2026, 3, 1, 7, 0, tzinfo=UTC), "UTC", date(2026, 3, 1)),
        (datetime(2026, 3, 1, 6, 0, tzinfo=UTC), "Europe/Berlin", date(2026, 3, 1)),
        (datetime(2026, 2, 28, 22, 0, tzinfo=UTC), "Asia/Tokyo", date(2026, 3, 1)),
        (datetime(2026, 3, 1, 3, 0, tzinfo=UTC), "America/Los_Angeles", date(2026, 2, 28)),
        # The hour that does not exist in this night, 2 to 3, is over at 3.
        (datetime(2026, 3, 29, 5, 0, tzinfo=UTC), "Europe/Berlin", date(2026, 3, 29)),
    ],
)
def test_a_mail_is_due_by_the_readers_clock(now: datetime, zone: str, day: date | None) -> None:
    """Seven in Tokyo is yesterday in London."""
    assert day_due(now, zone, 7) == day


def test_a_day_is_over_at_the_readers_midnight() -> None:
    """A mail that could not be sent today is not sent tomorrow beside tomorrow's."""
    assert not day_is_over(DAY, datetime(2026, 3, 1, 22, 59, tzinfo=UTC), "Europe/Berlin")
    assert day_is_over(DAY, datetime(2026, 3, 1, 23, 0, tzinfo=UTC), "Europe/Berlin")


def test_each_market_stands_once_and_the_longest_move_first() -> None:
    """Three entries may follow one market; a phone shows the first lines."""
    told = edition(DAY, [move("a", 0.4, 0.5), move("b", 0.8, 0.5), move("a", 0.4, 0.5)], [note("a", 60), note("a", 90)])

    assert [one.market_key for one in told.moves] == ["b", "a"]
    assert [one.confidence for one in told.notes] == [90]


def test_a_full_mail_says_how_much_it_left_out() -> None:
    """A follower of "Politics" gets a mail, not a book."""
    told = edition(DAY, [move(str(number)) for number in range(MAX_LINES + 7)], [])

    assert (len(told.moves), told.n_more) == (MAX_LINES, 7)
    assert edition(DAY, [], []).is_empty


def test_a_mail_has_both_parts_and_one_way_out() -> None:
    """Text and HTML say the same; one click, by header and by line; the id is of account and day."""
    told = Edition(day=DAY, moves=(move(),), notes=(note(),))
    mail = compose(
        told,
        account_id=ACCOUNT,
        to="a@example.org",
        sender="Odds <o@odds.example>",
        public_url="https://odds.example",
        key="k" * 43,
    )

    text = mail.get_body(("plain",)).get_content()
    page = mail.get_body(("html",)).get_content()
    leave = f"https://odds.example/mail/unsubscribe/{'k' * 43}"
    assert mail["List-Unsubscribe"] == f"<{leave}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Message-ID"] == f"<daily.{ACCOUNT}.20260301@odds.example>"
    assert mail["Subject"] == "Your watch list, 1 March: 1 market moved, 1 new insight"
    for part in (text, page):
        for said in ("Will it rain?", "40.0 %", "+10.0 points", "Clouds came.", leave):
            assert said in part
    assert 'name="viewport"' in page
    assert "<img" not in page
    assert max(len(line) for line in mail.as_bytes().split(b"\n")) < 998


def test_a_venues_words_stay_words() -> None:
    """A title is a stranger's text: no mark-up, no header, no address but the venue's own https."""
    title = "<script>alert(1)</script>\r\nBcc: victim@example.org \"'&"
    told = Edition(
        day=DAY, moves=(Move(market_key="a", title=title, before=0.1, after=0.9, url="javascript:alert(1)"),)
    )
    mail = compose(
        told,
        account_id=ACCOUNT,
        to="a@example.org",
        sender="o@odds.example",
        public_url="https://odds.example",
        key="k" * 43,
    )

    page = mail.get_body(("html",)).get_content()
    assert "<script" not in page
    assert "javascript:" not in page
    assert mail["Bcc"] is None
    assert b"\nBcc:" not in mail.as_bytes().split(b"\n\n")[0]


def test_waits_grow_and_end_within_a_day() -> None:
    """Greylisting passes in five minutes; a dead server is not asked for ever."""
    assert [next_delay_s(number) for number in range(1, len(DELAYS_S) + 2)] == [*DELAYS_S, None]
    assert sum(DELAYS_S) < 86_400
