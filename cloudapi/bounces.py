"""Mails that come back later: the address they come back to, and what a delivery report says. Pure.

Law: a report is believed for the reader whose address it came to, and for nobody else: that address is the envelope's
sender of his mails alone (VERP), and holds a mark that only his mail server and ours have seen. Off goes a mailbox that
is gone, as at the door; what is full, slow or does not like us is noted and changes nothing. Read after RFC 3464.
"""

import hashlib
import hmac
import re
import uuid
from email import message_from_bytes
from email.message import Message
from email.utils import getaddresses

import msgspec

MAX_BYTES = 256 * 1024
MARK_LENGTH = 16  # hexadecimal, so that a server which lowers letters breaks nothing
GONE_CODES = re.compile(r"\b55[013]\b")  # what the server at the far end said, as far as it is quoted
GONE_STATUS = re.compile(r"5\.(1\.\d+|2\.1)")  # no such mailbox or host for it; mailbox disabled (RFC 3463)
VAGUE_STATUS = re.compile(r"5\.0\.0")  # decided by the quoted answer alone
_OURS = re.compile(r"\+([0-9a-f]{32})\.([0-9a-f]{16})$")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a delivery report says of one reader's mail."""

    account_id: uuid.UUID
    mark: str
    is_gone: bool
    said: str | None  # the status code, without the words around it


def return_address(mailbox: str, account_id: uuid.UUID, key: str) -> str:
    """Where one reader's mails come back to: `bounces+<account>.<mark>@host` for the mailbox `bounces@host`."""
    name, _, host = mailbox.rpartition("@")
    return f"{name}+{account_id.hex}.{mark_of(key)}@{host}"


def mark_of(key: str) -> str:
    """The mark of a reader's key; the key itself, which unsubscribes, is not in it."""
    return hashlib.sha256(f"bounce:{key}".encode()).hexdigest()[:MARK_LENGTH]


def is_marked(report: Report, key: str) -> bool:
    """Whether a report came to the very address this reader's mails have."""
    return hmac.compare_digest(report.mark, mark_of(key))


def read_report(raw: bytes, mailbox: str) -> Report | None:
    """What a mail that came to our return addresses says; None if it is no delivery report of ours."""
    mail = message_from_bytes(raw)  # the old policy: the new one raises on some malformed headers
    owner = _addressee(mail, mailbox)
    parts = [part for part in mail.walk() if part.get_content_type() == "message/delivery-status"]
    if owner is None or mail.get_content_type() != "multipart/report" or not parts:
        return None
    account, mark = owner
    failed = [one for one in _recipients(parts[0]) if _field(one, "Action") == "failed"]
    gone = [one for one in failed if _is_gone(one)]
    told = next(iter(gone or failed), None)
    said = None if told is None else _field(told, "Status")[:12]
    return Report(account_id=uuid.UUID(account), mark=mark, is_gone=bool(gone), said=said or None)


def _addressee(mail: Message, mailbox: str) -> tuple[str, str] | None:
    """The account and the mark in the address it came to."""
    name, _, host = mailbox.lower().rpartition("@")
    headers = [text for field in ("To", "Delivered-To", "X-Original-To") for text in mail.get_all(field, [])]
    for _, address in getaddresses([str(one) for one in headers]):
        local, _, at = address.lower().rpartition("@")
        found = _OURS.search(local)
        if at == host and found is not None and local[: found.start()] == name:
            return found[1], found[2]
    return None


def _recipients(part: Message) -> list[Message]:
    """The blocks of a report behind its first, which is about the message."""
    blocks = part.get_payload()
    return [one for one in blocks[1:] if isinstance(one, Message)] if isinstance(blocks, list) else []


def _is_gone(recipient: Message) -> bool:
    status, quoted = _field(recipient, "Status"), _field(recipient, "Diagnostic-Code")
    if GONE_STATUS.match(status):
        return True
    return VAGUE_STATUS.match(status) is not None and GONE_CODES.search(quoted) is not None


def _field(block: Message, name: str) -> str:
    return str(block.get(name, "")).strip().lower()
