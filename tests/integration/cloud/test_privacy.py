"""An account's own data: all of it, nothing that opens anything, and its end."""

import asyncpg

from cloudapi.tiers import Tier
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.subscribed import PASSWORD, make_person


async def test_an_export_has_everything_but_what_opens_something_and_deleting_leaves_no_name(
    replica: Replica, owner: asyncpg.Connection
) -> None:
    """The right to one's data and the right to be forgotten, in one life of an account."""
    ann = await make_person(replica, tier=Tier.PRO)
    await ann.ask("POST", "/v1/watchlist", {"kind": "keyword", "subject": "rain"})
    await ann.ask("PUT", "/v1/mail", {"time_zone": "Europe/Berlin"})
    hook = await ann.ask("POST", "/v1/webhooks", {"url": "https://example.com/h", "topics": ["insight"]})
    await ann.ask("POST", "/v1/channels", {"kind": "ntfy", "address": "secret-topic-1", "topics": ["insight"]})

    given = await ann.ask("GET", "/v1/account/export")
    assert given.status_code == 200, given.text
    assert {
        "account",
        "watch_entry",
        "mail_preference",
        "webhook_endpoint",
        "notification_channel",
    } <= given.json().keys()
    keys = await owner.fetchval("select unsubscribe_key from mail_preference")
    for secret in (hook.json()["secret"], "secret-topic-1", keys, "argon2"):
        assert secret not in given.text

    assert (await ann.ask("POST", "/v1/account/delete", {"confirm": "yes"})).status_code == 422
    assert (await ann.ask("POST", "/v1/account/delete", {"confirm": "delete my account"})).status_code == 204
    again = await replica.http.post("/v1/auth/login", json={"email": "ann@example.org", "password": PASSWORD})
    assert again.status_code == 401
    left = await owner.fetchval("select coalesce(string_agg(a::text, ''), '') from account as a where name = 'deleted'")
    assert "ann@example.org" not in left
    for table in ("watch_entry", "mail_preference", "webhook_endpoint", "notification_channel", "account_login"):
        assert await owner.fetchval(f"select count(*) from {table}") == 0
