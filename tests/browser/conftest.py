"""The real service with something on every page, and a browser that is driven over its own protocol."""

from dataclasses import replace
from datetime import timedelta
from functools import cache

import asyncpg
import msgspec
import pytest

from agent.core.record import GENESIS, head_after, link
from agent.core.scoring.report import experiment_report
from cloudapi.queries.accounts import set_operator
from cloudapi.tiers import Tier
from sync.records import BenchmarkReport, Prediction, TimeFrame, Travelling
from tests.browser.chromium import Chromium, Page, find_chromium
from tests.browser.walk import ENDPOINT
from tests.integration.cloud.conftest import (  # noqa: F401  fixtures are found by name
    Clock,
    Replica,
    clock,
    dsns,
    edge,
    keys,
    owner,
    postgres,
    replica,
    start_replica,
)
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import (
    NOW,
    make_arbitrage,
    make_benchmark_pass,
    make_benchmark_report,
    make_check,
    make_digest,
    make_insight,
    make_mark,
    make_market,
    make_prediction,
    make_quote,
    make_score,
)
from tests.unit.core.scoring.made import fair_worlds

EMAIL, PASSWORD = "reader@example.org", "a long enough pass phrase"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"

NO_SKILL = {"n": 40, "events": 35, "state": "NO_EVIDENCE", "p": 0.4, "corrected": False}
BRIER_SKILL = NO_SKILL | {"value": 0.021, "low": -0.03, "high": 0.07, "null": 0.0}
NOTHING = {"n": 0, "events": 0, "state": "NOT_MEASURED", "value": None, "low": None, "high": None, "null": None}
ENTRY = {
    "rank": 1, "experiment": "blind", "version": "1", "model": "openai/gpt-oss-20b", "saw_price": False,
    "state": "NO_EVIDENCE", "badge": False, "n": 40, "events": 35, "brier_skill": BRIER_SKILL,
    "signed_move": BRIER_SKILL, "closure_slope": NOTHING, "convergence": NOTHING, "confidence": NOTHING, "recent": NOTHING,
}  # fmt: skip


@cache
def make_calibrated_report() -> BenchmarkReport:
    """What the edge says of a forecaster who knows something, after enough answers to draw his calibration."""
    rows = [replace(row, experiment="informed") for row in fair_worlds(200, seed=1, knows=0.3)]
    body = msgspec.to_builtins(experiment_report(rows, "informed", now=NOW, n_draws=50))
    return make_benchmark_report(report_id="b-informed", scope="experiment:informed", body=body)


def make_record(n: int) -> list[Prediction]:
    """A sound record: prd-1, prd-2 … a little apart in time, with numbers languages print in their own ways."""
    head, records = GENESIS, list[Prediction]()
    for i in range(1, n + 1):
        draft = make_prediction(
            prediction_id=f"prd-{i}", predicted_at=NOW - timedelta(hours=3 * i), experiment=f"e{i}",
            probability_yes=(1.0, 1e-07, 0.55)[i % 3], rationale='Says "yes", {really}: ü\\n', chain="home",
        )  # fmt: skip
        records.append(link(draft, head))
        head = head_after(records[-1])
    return records


def make_everything() -> list[Travelling]:
    quotes = [
        make_quote(
            fetched_at=NOW - timedelta(minutes=20 * n),
            bid=0.40 + n % 7 / 100,
            ask=0.43 + n % 7 / 100,
            mid=0.415 + n % 7 / 100,
        )
        for n in range(1, 40)
    ]
    entries = [ENTRY, ENTRY | {"rank": None, "experiment": "coin", "state": "TOO_EARLY"}]
    parts = {"categories": ["politics", "weather"], "frames": ["1d", "30d"]}
    scopes = [BenchmarkReport.leaderboard(sort) for sort in ("brier_skill", "recent")]
    scopes.append(BenchmarkReport.leaderboard("brier_skill", "weather", TimeFrame.DAY))
    boards = [
        make_benchmark_report(report_id=scope, scope=scope, body=parts | {"entries": entries}) for scope in scopes
    ]
    told = [make_insight(clamps=("confidence capped: thin book", HOSTILE)), make_digest(summary=HOSTILE)]
    checks = [make_check(checked_at=NOW - timedelta(hours=n)) for n in range(3)]
    benchmarked = [make_mark(), make_score(), make_benchmark_pass(n_diverging=4), make_benchmark_report()]
    benchmarked.append(make_calibrated_report())
    market = make_market(title=f"Will it rain? {HOSTILE}", rules_text=HOSTILE)
    return [market, *quotes, *make_record(3), *checks, *told, make_arbitrage(), *benchmarked, *boards]


@pytest.fixture
async def stocked(edge: HandEdge, replica: Replica, clock: Clock) -> Replica:  # noqa: F811
    """Every page has something to show, to every tier that may see it."""
    records = make_everything()
    await edge.hello()
    await edge.send(records)
    await replica.landed(len(records))
    clock.moment = (NOW + timedelta(days=1)).replace(hour=0, minute=30)
    return replica


@pytest.fixture
async def reader(stocked: Replica, owner: asyncpg.Connection) -> Replica:  # noqa: F811
    """Somebody with an e-mail, a password and all there is to read."""
    await stocked.services.accounts.register(EMAIL, PASSWORD)
    await owner.execute("update account set tier = $2 where email = $1", EMAIL, Tier.PRO)
    return stocked


@pytest.fixture
async def settled(reader: Replica, owner: asyncpg.Connection, edge: HandEdge) -> Replica:  # noqa: F811
    """The same reader after some weeks: a key, things followed, an endpoint with its messages, and hosts to look after."""
    await set_operator(owner, EMAIL, is_operator=True)
    await edge.connection.execute("select edge_tell('home', 'degraded', 'degraded · 1,234 pending', 1234, now())")
    door = {"origin": reader.url}
    for path, form in (
        ("/app/sign-in", {"email": EMAIL, "password": PASSWORD}),
        ("/app/account/keys", {"label": "my script", "scopes": "read", "once": "n-1"}),
        (
            "/app/account/watch",
            {"kind": "keyword", "subject": "a-word-as-long-as-a-subject-may-be-" * 4, "once": "n-2"},
        ),
        ("/app/account/webhooks", {"url": "https://example.org/hook", "topics": "insight", "once": "n-3"}),
        ("/app/account/channels", {"kind": "ntfy", "topics": "insight", "address": "a-topic-nobody-guesses"}),
    ):
        answer = await reader.http.post(path, data=form, headers=door)
        assert answer.status_code in (200, 303), (path, answer.text)
    await reader.http.get("/v1/account/export")  # leaves a line among the deeds
    await owner.execute("update webhook_endpoint set endpoint_id = $1", ENDPOINT)
    await owner.execute(
        "insert into webhook_message (message_id, endpoint_id, account_id, topic, event_ref, body, state, n_attempts)"
        " select gen_random_uuid(), endpoint_id, account_id, 'insight', 'ins-' || state, '{}', state, 10"
        " from webhook_endpoint, unnest(array['dead', 'pending']) as state"
    )
    return reader


@pytest.fixture
async def browser():
    binary = find_chromium()
    if binary is None:
        pytest.skip("no Chromium is installed (Debian package chromium)")
    async with Chromium.started(binary) as chromium:
        yield chromium


@pytest.fixture
async def tab(browser: Chromium) -> Page:
    return await browser.open()
