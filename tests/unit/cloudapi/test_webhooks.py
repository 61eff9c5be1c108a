"""Webhooks on paper: what is signed, when it is tried again, when it ends."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from standardwebhooks import Webhook

from cloudapi.webhooks import (
    DELAYS_S,
    GIVE_UP_AFTER,
    Verdict,
    body_of,
    headers_of,
    is_given_up,
    judge,
    make_signing_secret,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_receiver_verifies_with_the_standards_own_library() -> None:
    """Whoever has the secret and the library needs nothing of ours."""
    secret, now = make_signing_secret(), datetime.now(UTC)
    body = body_of("insight", now, msgspec.Raw(b'{"title":"\\u00e4","n":1}'))

    told = Webhook(secret).verify(body.encode(), headers_of("msg_1", body, secret, now))

    assert told["data"] == {"title": "ä", "n": 1}
    assert json.loads(body)["type"] == "insight"
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(make_signing_secret()).verify(body, headers_of("msg_1", body, secret, now))


def test_a_signature_is_the_one_of_the_standards_document() -> None:
    """Its own example, not our library's word for it; and the formula written out, for a body with signs of its own."""
    secret, sent_at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.fromtimestamp(1614265330, UTC)
    message_id, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}'
    signed = headers_of(message_id, body, secret, sent_at)

    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    odd = '{"title":"ä \u2028 \\u0000"}'
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{message_id}.1614265330.{odd}".encode(), hashlib.sha256).digest()
    assert headers_of(message_id, odd, secret, sent_at)["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"


def test_retries_take_three_days_and_then_end() -> None:
    """The promise to receivers: an outage of a weekend loses nothing."""
    delays = []
    for n_attempts in range(1, 100):
        found = judge(503, n_attempts, chance=0)
        if found.verdict is Verdict.DEAD:
            break
        delays.append(found.delay_s)

    assert sum(delays) == timedelta(days=3).total_seconds()
    assert delays == sorted(delays)
    assert n_attempts == len(DELAYS_S) + 1


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, Verdict.DELIVERED), (204, Verdict.DELIVERED), (302, Verdict.AGAIN), (400, Verdict.AGAIN),
     (410, Verdict.GONE), (429, Verdict.AGAIN), (500, Verdict.AGAIN), (None, Verdict.AGAIN)],
)  # fmt: skip
def test_only_2xx_is_delivered(status: int | None, verdict: Verdict) -> None:
    """A redirect is no receipt; 410 means never again."""
    assert judge(status, 1, chance=0.5).verdict is verdict


def test_a_receiver_may_ask_for_more_time_but_not_for_ever() -> None:
    """Retry-After stretches a delay, within a day; a date or nonsense is not followed."""
    assert judge(429, 1, chance=0, retry_after="120").delay_s == 120
    assert judge(429, 1, chance=0, retry_after="99999999").delay_s == 86_400
    assert judge(429, 1, chance=0, retry_after="Sun, 06 Nov 2094 08:49:37 GMT").delay_s == DELAYS_S[0]


def test_jitter_only_shortens() -> None:
    """So three days stay the most."""
    assert DELAYS_S[3] * 0.9 <= (judge(None, 4, chance=0.999).delay_s or 0) < DELAYS_S[3]


def test_an_endpoint_is_given_up_after_three_days_of_nothing() -> None:
    """Counted from the first failure after the last success."""
    assert not is_given_up(None, NOW)
    assert not is_given_up(NOW - GIVE_UP_AFTER + timedelta(seconds=1), NOW)
    assert is_given_up(NOW - GIVE_UP_AFTER, NOW)
