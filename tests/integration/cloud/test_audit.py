"""The audit log: every deed, no secret."""

import ast
from pathlib import Path

import asyncpg
import pytest

import cloudapi
from cloudapi.audit import ALLOWED, note
from cloudapi.tiers import Tier
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.subscribed import PASSWORD, make_person

ARGUMENTS = {"connection", "account_id", "action", "actor"}


async def test_a_word_nobody_listed_is_refused_and_nothing_is_written(owner: asyncpg.Connection) -> None:
    """A call that grows by an address or a token stops at the log, whatever it holds."""
    for word in ("email", "token", "url", "address", "secret", "password", "body"):
        with pytest.raises(ValueError, match=f"takes no {word}"):
            await note(owner, None, "deed", **{word: "x"})

    assert await owner.fetchval("select count(*) from audit_log") == 0


def test_every_call_says_listed_words_only() -> None:
    """What a rare branch would say is found without running it; and no listed word has lost its last speaker."""
    said = set()
    for path in Path(cloudapi.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "note":
                said |= {keyword.arg for keyword in call.keywords} - ARGUMENTS

    assert said == ALLOWED


async def test_a_whole_life_leaves_deeds_and_no_secret(replica: Replica, owner: asyncpg.Connection) -> None:
    """Everything that is secret or names a person is used once; none of it stands in the log."""
    ann = await make_person(replica, tier=Tier.PRO)
    hook_url, topic = "https://canary-host.example.com/h", "canary-topic-1"
    entry = await ann.ask("POST", "/v1/watchlist", {"kind": "keyword", "subject": "canary words"})
    await ann.ask("PUT", "/v1/mail", {"time_zone": "Europe/Berlin", "hour": 6})
    hook = (await ann.ask("POST", "/v1/webhooks", {"url": hook_url, "topics": ["insight"]})).json()
    channel = (await ann.ask("POST", "/v1/channels", {"kind": "ntfy", "address": topic, "topics": ["insight"]})).json()
    key = (await ann.ask("POST", "/v1/api-keys", {"label": "canary label"})).json()
    unsubscribe = await owner.fetchval("select unsubscribe_key from mail_preference")
    await replica.http.post(f"/mail/unsubscribe/{unsubscribe}")
    await ann.ask("GET", "/v1/account/export")
    await ann.ask("DELETE", f"/v1/webhooks/{hook['endpoint_id']}")
    await ann.ask("DELETE", f"/v1/channels/{channel['channel_id']}")

    lines = await owner.fetch("select actor, action, detail::text as detail from audit_log order by audit_id")
    log = str([tuple(line) for line in lines])
    assert {
        "mail_set", "webhook_made", "webhook_deleted", "channel_made", "channel_deleted", "mail_unsubscribed",
        "account_exported",
    } <= {line["action"] for line in lines}  # fmt: skip
    assert entry.status_code == 201
    for secret in (
        "ann@example.org", PASSWORD, ann.token, hook["secret"], "canary", unsubscribe, key.get("key", "odds_live"),
        "odds_live",
    ):  # fmt: skip
        assert secret not in log
