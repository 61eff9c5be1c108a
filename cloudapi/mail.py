"""The daily mail: how it reads, how it is handed to a mail server, what the server's answers mean.

Law: text and HTML say the same; every word of a venue is escaped; one click unsubscribes (RFC 8058). The Message-ID is
of account and day. What the server may have taken is never sent again: a missing mail is better than two. 4xx waits,
a refused recipient is a bounce, anything else refused is our own trouble and blames no reader. Blocking, for a thread.
"""

import html
import re
import smtplib
import ssl
import uuid
from contextlib import ExitStack, suppress
from datetime import date
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from enum import StrEnum
from urllib.parse import unquote, urlsplit

import msgspec

from cloudapi.errors import CloudError
from cloudapi.watching import Edition

CONNECT_S = 10.0
# Seconds to the second attempt, the third ...; what is not sent by the reader's midnight is not sent.
DELAYS_S = (300, 900, 3600, 7200, 14_400)
CHUNK = 50  # mails over one connection

# CR LF, because smtplib mends text and not bytes. And no header is folded short of the protocol's limit: folded at 78,
# an address longer than a line becomes an encoded word, and List-Unsubscribe is no address any more.
ON_THE_WIRE = SMTP.clone(max_line_length=998)

# Plain names and hosts only (RFC 5321 without quoting and literals): whatever else a header may hold, such as "a:b@c"
# or an encoded word, is read there as another recipient, or cannot be written at all.
ADDRESS = re.compile(r"(?!.*=\?)[\w!#$%&'*+/=?^`{|}~.-]{1,64}@(?:[a-z0-9-]+\.)+[a-z0-9-]+", re.ASCII)

GONE = frozenset({550, 551, 553})  # there is no such mailbox; 552 and 554 are moods of the server


class MailServerAway(CloudError):
    """The mail server did not take the connection or the sender; no mail was tried."""


class Fate(StrEnum):
    """What became of one mail."""

    SENT = "sent"
    LATER = "later"
    BOUNCED = "bounced"
    UNKNOWN = "unknown"  # the line broke after the text: it may have been taken


class Answer(msgspec.Struct, frozen=True):
    """A fate, with the server's words as far as they may be kept."""

    fate: Fate
    said: str | None = None


def is_address(text: str) -> bool:
    """Whether a mail can be written to this address, in lower case."""
    return ADDRESS.fullmatch(text) is not None


def next_delay_s(n_attempts: int) -> int | None:
    """Seconds until a mail is tried again; None: never."""
    return DELAYS_S[n_attempts - 1] if n_attempts <= len(DELAYS_S) else None


def compose(told: Edition, *, account_id: uuid.UUID, to: str, sender: str, public_url: str, key: str) -> EmailMessage:
    """The mail of one reader's day."""
    leave = f"{public_url}/mail/unsubscribe/{key}"
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = _subject(told)
    message["Date"] = formatdate()
    message["Message-ID"] = f"<daily.{account_id}.{told.day:%Y%m%d}@{_domain(sender)}>"
    message["List-Unsubscribe"] = f"<{leave}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_text(told, public_url, leave))
    message.add_alternative(_page(told, public_url, leave), subtype="html")
    return message


def _subject(told: Edition) -> str:
    parts = []
    if told.moves:
        parts.append(f"{len(told.moves)} {'market' if len(told.moves) == 1 else 'markets'} moved")
    if told.notes:
        parts.append(f"{len(told.notes)} new {'insight' if len(told.notes) == 1 else 'insights'}")
    return f"{_title(told)}: {', '.join(parts)}"


def _title(told: Edition) -> str:
    return f"Your watch list, {_day(told.day)}"


def _day(day: date) -> str:
    return f"{day.day} {day:%B}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(before: float, after: float) -> str:
    return f"{100 * (after - before):+.1f} points"


def _text(told: Edition, public_url: str, leave: str) -> str:
    lines = [_title(told), ""]
    if told.moves:
        lines += ["MOVED WITHIN A DAY", ""]
    for move in told.moves:
        lines += [
            move.title,
            f"  {_percent(move.before)} -> {_percent(move.after)} ({_points(move.before, move.after)})",
        ]
        lines += [f"  {move.url}", ""] if move.url else [""]
    if told.notes:
        lines += ["NEW INSIGHTS", ""]
    for note in told.notes:
        lines += [note.title, f"  {note.one_liner} (confidence {note.confidence})", ""]
    if told.n_more:
        lines += [f"{told.n_more} more: {public_url}/app", ""]
    lines += [
        "Information, not advice.",
        f"Change what you follow: {public_url}/app/account/watch",
        f"No more mails: {leave}",
    ]
    return "\n".join(lines) + "\n"


_STYLE = (
    "font-family:system-ui,sans-serif;font-size:16px;line-height:1.45;max-width:36rem;margin:0 auto;padding:16px;"
    "overflow-wrap:anywhere;word-break:break-word"  # the same for programs that know only the older word
)


def _page(told: Edition, public_url: str, leave: str) -> str:
    """One column, no picture, no table, no script, no colours but the reader's own: for a phone and any client."""
    rows = []
    if told.moves:
        rows.append('<h2 style="font-size:16px">Moved within a day</h2>')
    for move in told.moves:
        title = html.escape(move.title)
        if move.url and move.url.startswith("https://"):
            title = f'<a href="{html.escape(move.url)}">{title}</a>'
        rows.append(
            f"<p>{title}<br><b>{_percent(move.before)} &rarr; {_percent(move.after)}</b> "
            f"({_points(move.before, move.after)})</p>"
        )
    if told.notes:
        rows.append('<h2 style="font-size:16px">New insights</h2>')
    rows += [
        f"<p><b>{html.escape(note.title)}</b><br>{html.escape(note.one_liner)} (confidence {note.confidence})</p>"
        for note in told.notes
    ]
    if told.n_more:
        rows.append(f'<p><a href="{html.escape(public_url)}/app">{told.n_more} more</a></p>')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><title>Watch list</title></head>'
        f'<body style="margin:0"><div style="{_STYLE}"><h1 style="font-size:20px">{_title(told)}</h1>'
        f"{''.join(rows)}"
        '<p style="font-size:14px;line-height:2.2">Information, not advice. '
        f'<a href="{html.escape(public_url)}/app/account/watch">Change what you follow</a> &middot; '
        f'<a href="{html.escape(leave)}">No more mails</a></p></div></body></html>'
    )


def _domain(sender: str) -> str:
    return parseaddr(sender)[1].rpartition("@")[2] or "localhost"


class Mailbag:
    """An open connection to the mail server."""

    def __init__(self, server: smtplib.SMTP, sender: str) -> None:
        self._server = server
        self._sender = parseaddr(sender)[1]

    def hand_over(self, message: EmailMessage, *, returns_to: str | None = None) -> Answer:
        """Hand one mail to the server. Raises: MailServerAway if it refuses us, not the recipient.

        Args:
            returns_to: where it comes back to if it cannot be delivered; None: to its sender.
        """
        recipient = parseaddr(str(message["To"]))[1]
        try:
            self._server.rset()
            code, said = self._server.mail(returns_to or self._sender)
            if code >= 400:
                raise MailServerAway(f"the mail server refuses the sender: {_words(code, said)}")
            code, said = self._server.rcpt(recipient)
        except (smtplib.SMTPException, OSError) as exc:
            raise MailServerAway(f"the mail server broke off: {type(exc).__name__}") from exc
        if code in GONE:
            return Answer(Fate.BOUNCED, _words(code, said))
        if code >= 400:
            return Answer(Fate.LATER, _words(code, said))
        return self._give_text(message)

    def _give_text(self, message: EmailMessage) -> Answer:
        try:
            code, said = self._server.data(message.as_bytes(policy=ON_THE_WIRE))
        except smtplib.SMTPDataError as exc:  # refused before the text
            return Answer(Fate.LATER, _words(exc.smtp_code, exc.smtp_error))
        except (smtplib.SMTPException, OSError) as exc:
            return Answer(Fate.UNKNOWN, f"the line broke: {type(exc).__name__}")
        return Answer(Fate.LATER, _words(code, said)) if code >= 400 else Answer(Fate.SENT)

    def close(self) -> None:
        """Say goodbye if the server still listens, and let go of the line."""
        with suppress(smtplib.SMTPException, OSError):
            self._server.quit()
        self._server.close()


def open_mailbag(smtp_url: str, sender: str) -> Mailbag:
    """Connect, and log in if the address holds a name; whoever opens it closes it. Raises: MailServerAway."""
    parts = urlsplit(smtp_url)
    host = parts.hostname or ""
    tls = ssl.create_default_context()
    with ExitStack() as undo:
        try:
            server: smtplib.SMTP
            if parts.scheme == "smtps":
                server = smtplib.SMTP_SSL(host, parts.port or 465, timeout=CONNECT_S, context=tls)
            else:
                port = parts.port or (587 if parts.scheme == "smtp+starttls" else 25)
                server = smtplib.SMTP(host, port, timeout=CONNECT_S)
            undo.callback(server.close)
            server.ehlo_or_helo_if_needed()
            if parts.scheme == "smtp+starttls":
                server.starttls(context=tls)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
        except (smtplib.SMTPException, OSError) as exc:
            raise MailServerAway(f"the mail server cannot be used: {type(exc).__name__}") from exc
        undo.pop_all()
    return Mailbag(server, sender)


def _words(code: int, said: bytes | str) -> str:
    """The answer's code and enhanced code; its text may repeat the address."""
    text = said.decode("ascii", "replace") if isinstance(said, bytes) else said
    first = text.split(" ", 1)[0]
    enhanced = f" {first}" if first.count(".") == 2 and first.replace(".", "").isdigit() else ""
    return f"{code}{enhanced}"
