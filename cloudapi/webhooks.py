"""Webhooks: what is sent, how it is signed, when it is tried again, when an endpoint is given up. No IO.

Law: standard-webhooks: id, timestamp and body are signed with the endpoint's own secret, the id stays the same over
all attempts. Retries grow over three days, then the message is dead and waits to be sent again by hand. An endpoint
where nothing arrived for three days is switched off, and one that says 410 at once.
"""

import base64
import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus

import msgspec
from standardwebhooks import Webhook

from cloudapi.errors import NotFound
from cloudapi.tiers import Tier

MAX_ENDPOINTS = 10
GIVE_UP_AFTER = timedelta(days=3)
# Seconds to the second attempt, the third ...: 72 hours in all (standard-webhooks' own schedule, drawn out at the end).
DELAYS_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 73_495)
JITTER = 0.1  # share of a delay, so that an endpoint that comes back is not met by all at once
MOST_WAIT_S = 86_400  # what a Retry-After may ask for

SECRET_MARK = "whsec_"  # noqa: S105  the standard's prefix, not a secret


class Topic(StrEnum):
    """What may be told of. The first five are everybody's, the last the account's own."""

    INSIGHT = "insight"
    ARBITRAGE = "arbitrage"
    SIGNAL = "signal"
    PREDICTION = "prediction"
    DIGEST = "digest"
    SESSION = "session"


LANDED = frozenset(Topic) - {Topic.SESSION}
TIERS = [Tier.PRO]  # who is told at once


class Verdict(StrEnum):
    """What becomes of a message after an attempt."""

    DELIVERED = "delivered"
    AGAIN = "again"
    DEAD = "dead"
    GONE = "gone"  # dead, and the endpoint with it


class Next(msgspec.Struct, frozen=True):
    """The verdict, and when to try again."""

    verdict: Verdict
    delay_s: float | None = None


def make_signing_secret() -> str:
    """A new endpoint's secret: 24 random bytes as the standard writes them."""
    return SECRET_MARK + base64.b64encode(secrets.token_bytes(24)).decode()


def body_of(topic: str, told_at: datetime, data: msgspec.Raw) -> str:
    """The bytes that are signed and sent, the same at every attempt."""
    return msgspec.json.encode({"type": topic, "timestamp": told_at, "data": data}).decode()


def headers_of(message_id: str, body: str, secret: str, now: datetime) -> dict[str, str]:
    """The headers of one attempt; a receiver refuses a timestamp of five minutes ago, so each has its own."""
    return {
        "content-type": "application/json",
        "user-agent": "oddsd-webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body),
    }


def judge(status: int | None, n_attempts: int, *, chance: float, retry_after: str | None = None) -> Next:
    """What follows from an attempt.

    Args:
        status: the answer's; None if none came.
        n_attempts: made so far, this one included.
        chance: in [0, 1), drawn outside.
        retry_after: the answer's header; seconds are followed, dates are not.
    """
    if status is not None and 200 <= status < 300:
        return Next(Verdict.DELIVERED)
    if status == HTTPStatus.GONE:
        return Next(Verdict.GONE)
    if n_attempts > len(DELAYS_S):
        return Next(Verdict.DEAD)
    delay_s = DELAYS_S[n_attempts - 1] * (1 - JITTER * chance)
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
        delay_s = max(delay_s, min(int(retry_after), MOST_WAIT_S))
    return Next(Verdict.AGAIN, delay_s)


def is_given_up(failing_since: datetime | None, now: datetime) -> bool:
    """Whether an endpoint has taken nothing for so long that it is switched off."""
    return failing_since is not None and now - failing_since >= GIVE_UP_AFTER


def may_receive(tier: Tier) -> bool:
    """Whether this tier includes webhooks and notifications."""
    return tier in TIERS


def stranger(what: str) -> NotFound:
    """The one answer for what does not exist and what belongs to somebody else."""
    return NotFound(f"You have no such {what}.")
