"""Mails that come back, on paper: whose report it is, and what it says."""

import uuid
from email.message import EmailMessage, MIMEPart

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudapi.bounces import Report, is_marked, read_report, return_address

ACCOUNT = uuid.UUID("01930000-0000-7000-8000-000000000001")
KEY = "k" * 43
MAILBOX = "bounces@odds.example"
OURS = return_address(MAILBOX, ACCOUNT, KEY)


def report(
    to: str = OURS, *, action: str = "failed", status: str = "5.1.1", quoted: str = "smtp; 550 no such user"
) -> bytes:
    """As Postfix writes one."""
    mail = EmailMessage()
    mail["From"] = "MAILER-DAEMON@mx.example.org (Mail Delivery System)"
    mail["To"] = to
    mail["Subject"] = "Undelivered Mail Returned to Sender"
    mail.set_type("multipart/report")
    mail.set_param("report-type", "delivery-status")
    words = MIMEPart()
    words.set_content("I'm sorry to have to inform you that your message could not be delivered.\n")
    mail.attach(words)
    # The library writes such a part from blocks only; what comes over the wire is text.
    told = (
        "Content-Description: Delivery report\nContent-Type: message/delivery-status\n\n"
        "Reporting-MTA: dns; mx.example.org\nArrival-Date: Sun, 22 Nov 2026 05:00:00 +0000\n\n"
        f"Final-Recipient: rfc822; ann@example.org\nAction: {action}\nStatus: {status}\nDiagnostic-Code: {quoted}\n"
    )
    text = mail.as_bytes()
    boundary = mail.get_boundary()
    assert boundary is not None
    end = f"--{boundary}--".encode()
    return text.replace(end, f"--{boundary}\n{told}\n".encode() + end)


def read(raw: bytes) -> Report:
    found = read_report(raw, MAILBOX)
    assert found is not None
    return found


def test_a_report_names_its_reader_by_the_address_it_came_to() -> None:
    """Nothing inside is believed for that: the returned mail may be anybody's."""
    found = read(report())

    assert (found.account_id, found.is_gone, found.said) == (ACCOUNT, True, "5.1.1")
    assert is_marked(found, KEY)
    assert not is_marked(found, "another key")


def test_the_address_survives_what_servers_do_to_it() -> None:
    """Letters are lowered or raised, a name is added; and it fits the protocol's sixty-four."""
    assert len(OURS.partition("@")[0]) <= 64
    assert is_marked(read(report(f'"Bounces" <{OURS.upper()}>')), KEY)
    assert KEY not in OURS


@pytest.mark.parametrize(
    ("action", "status", "quoted", "is_gone"),
    [
        ("failed", "5.1.1", "smtp; 550 5.1.1 unknown", True),
        ("failed", "5.1.2", "", True),
        ("failed", "5.2.1", "smtp; 550 mailbox disabled", True),
        ("failed", "5.0.0", "smtp; 550 unknown user", True),
        ("failed", "5.0.0", "smtp; 554 looks like spam", False),
        ("failed", "5.2.2", "smtp; 552 mailbox full", False),
        ("failed", "5.7.1", "smtp; 550 5.7.1 policy", False),
        ("failed", "4.4.7", "smtp; 421 expired", False),
        ("delayed", "4.4.1", "", False),
        ("delayed", "5.1.1", "", False),
        ("delivered", "2.0.0", "", False),
    ],
)
def test_only_a_mailbox_that_is_gone_is_gone(action: str, status: str, quoted: str, is_gone: bool) -> None:
    """Full, slow or offended mailboxes are somebody's still: as at the door, where 550, 551 and 553 alone count."""
    assert read(report(action=action, status=status, quoted=quoted)).is_gone is is_gone


@pytest.mark.parametrize(
    "to",
    [
        "bounces@odds.example",
        "bounces+nonsense@odds.example",
        OURS.replace("odds.example", "evil.example"),
        OURS.replace("bounces", "other"),
        f"x{OURS}",
        "",
    ],
)
def test_what_came_elsewhere_is_nobodys(to: str) -> None:
    """A report to another address says nothing about a reader of ours."""
    assert read_report(report(to), MAILBOX) is None


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\xfe\x00", b"To: " + OURS.encode() + b"\n\nI am on holiday until Monday.\n"]
)
def test_what_is_no_report_is_none(raw: bytes) -> None:
    """Holiday notes and rubbish come to the same address."""
    assert read_report(raw, MAILBOX) is None


@settings(deadline=None)  # a busy machine reads a mail in more than it may take
@given(where=st.integers(0, 2_000), what=st.binary(min_size=1, max_size=40))
def test_a_broken_report_breaks_nothing(where: int, what: bytes) -> None:
    """Anybody may post here: whatever is put wherever, it is read or it is not."""
    raw = report()

    found = read_report(raw[: where % len(raw)] + what + raw[where % len(raw) :], MAILBOX)

    assert found is None or found.account_id == ACCOUNT or not is_marked(found, KEY)
