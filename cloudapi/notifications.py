"""Notifications: Slack, Discord, Telegram and ntfy, through apprise. What an address may look like, what is said.

Law: an address is read into its parts and built anew for the service it belongs to, so nobody can name a host of his
own. A channel has so many messages an hour; what is beyond is skipped, never queued up, for late news is noise. An
event is told once: what may have been taken is not sent again.
"""

import re
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from cloudapi.errors import Invalid

MAX_CHANNELS = 10
PER_HOUR = 20
MAX_FAILURES = 5  # in a row; then the channel is switched off
RETRY_S = (30, 300, 1800)
MAX_TITLE = 120
MAX_BODY = 600
SEND_S = 20.0
QUOTES = str.maketrans("<>", "\u2039\u203a")  # they read the same and mean nothing to a service
PLAIN = "?image=no&footer=no&avatar=no"  # apprise's own pictures, from a host of others


class Service(StrEnum):
    """Where a channel leads."""

    SLACK = "slack"
    DISCORD = "discord"
    TELEGRAM = "telegram"
    NTFY = "ntfy"


# What people copy from each service.
SHAPES = {
    Service.SLACK: re.compile(r"https://hooks\.slack\.com/services/([A-Z0-9]{6,14})/([A-Z0-9]{6,14})/([A-Za-z0-9]{20,30})/?"),
    Service.DISCORD: re.compile(r"https://(?:www\.)?discord(?:app)?\.com/api/webhooks/([0-9]{10,25})/([A-Za-z0-9_-]{20,120})/?"),
    Service.TELEGRAM: re.compile(r"([0-9]{6,12}:[A-Za-z0-9_-]{30,40})/(-?[0-9]{3,20})"),
    Service.NTFY: re.compile(r"([A-Za-z0-9_-]{8,64})"),
}  # fmt: skip
HINTS = {
    Service.SLACK: "copy the webhook's address: https://hooks.slack.com/services/T.../B.../...",
    Service.DISCORD: "copy the webhook's address: https://discord.com/api/webhooks/<id>/<token>",
    Service.TELEGRAM: "write <token of the bot>/<id of the chat>",
    Service.NTFY: "write a topic of 8 to 64 letters, digits, - or _ that nobody guesses",
}


def check_address(service: Service, address: str) -> str:
    """The address as it is kept. Raises: Invalid, with what it should look like; never with what was given."""
    if SHAPES[service].fullmatch(address.strip()) is None:
        errors = [{"pointer": "/body/address", "detail": HINTS[service]}]
        raise Invalid(f"This is no address of {service.value}: {HINTS[service]}.", errors=errors)
    return address.strip()


def apprise_url(service: Service, address: str, ntfy_url: str) -> str:
    """The address as apprise writes it, on the service's own host; for ntfy the operator's."""
    found = SHAPES[service].fullmatch(address)
    if found is None:
        raise Invalid(f"This is no address of {service.value}.")
    parts = found.groups()
    if service is Service.SLACK:
        return f"slack://{'/'.join(parts)}/{PLAIN}"
    if service is Service.DISCORD:
        return f"discord://{parts[0]}/{parts[1]}/{PLAIN}"
    if service is Service.TELEGRAM:
        return f"tgram://{parts[0]}/{parts[1]}/?image=no"
    server = urlsplit(ntfy_url)
    scheme = "ntfys" if server.scheme == "https" else "ntfy"
    return f"{scheme}://{server.netloc}/{quote(parts[0])}?image=no"


def send(url: str, title: str, body: str) -> str | None:
    """Send it; blocks, for a thread. Returns: why it was not taken, in words without the address."""
    from apprise import Apprise, AppriseAsset

    target = Apprise(asset=AppriseAsset(async_mode=False, app_id="oddsd", app_desc="oddsd", app_url=""))
    if not target.add(url):
        return "the address is not understood"
    try:
        taken = target.notify(title=title, body=body)
    except Exception as exc:  # noqa: BLE001 - a plug-in's words may quote the address; its kind is enough
        return f"failed with {type(exc).__name__}"
    return None if taken else "the service did not take it"


def words(topic: str, data: dict[str, Any]) -> tuple[str, str]:
    """What a message says about an event: a title and a few lines. Everything from a venue is cut to length."""
    market = str(data.get("title") or data.get("market_key") or "")
    if topic == "insight":
        said = f"{data.get('one_liner', '')} (confidence {data.get('confidence', '?')})"
        return _cut(f"Insight: {market}", MAX_TITLE), _cut(said, MAX_BODY)
    if topic == "signal":
        return _cut(f"Signal: {market}", MAX_TITLE), _cut(str(data.get("summary", "")), MAX_BODY)
    if topic == "session":
        state = str(data.get("state", "")).lower()
        return f"Your predictions: {state}", _cut(market, MAX_BODY) or "See them in your account."
    said = data.get("summary") or data.get("headline") or data.get("explanation") or market
    return _cut(f"New {topic}", MAX_TITLE), _cut(str(said) or "See the site.", MAX_BODY)


def next_delay_s(n_attempts: int) -> int | None:
    """Seconds until a message is tried again; None: never."""
    return RETRY_S[n_attempts - 1] if n_attempts <= len(RETRY_S) else None


def _cut(text: str, length: int) -> str:
    """One piece of text without control characters, mentions that would wake a channel, or signs of mark-up.

    apprise makes Slack's own mentions and links of whatever looks like one, escaped or not: without > nothing does.
    """
    plain = "".join(sign if sign.isprintable() else " " for sign in text).translate(QUOTES)
    plain = re.sub(r"@(?=everyone|here|channel)", "@\u200b", plain, flags=re.IGNORECASE)
    return plain if len(plain) <= length else plain[: length - 1].rstrip() + "…"


def decoded(body: str) -> dict[str, Any]:
    """An event's data as the live feed wrote it."""
    found = msgspec.json.decode(body)
    return found if isinstance(found, dict) else {}
