"""The OpenAPI document: committed, current, and true of every answer, whatever is asked."""

import asyncio
import json
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as budget

from cloudapi.app import create_app
from cloudapi.keys import N_RANDOM_BYTES, make_key
from cloudapi.queries.accounts import save_key
from cloudapi.reference import render
from cloudapi.settings import CloudSettings
from cloudapi.tiers import Tier
from tests.integration.cloud.conftest import Clock, Replica, running
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import make_one_of_each

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "openapi.json"
ENDLESS = "/v1/live"  # a stream has no body to look at: tests/integration/cloud/test_live.py
OUTSIDE = ("/v1/billing", "/webhooks", "/mail")  # need a server of somebody else
PUBLIC = ("/health", "/healthz", "/readyz", "/metrics")
LOGINS = "/v1/auth/"
N_EXAMPLES = 5  # a route and mode; more by night


async def test_committed_document_is_current() -> None:
    """A reader's client is made from it: `oddsd-cloud openapi > docs/openapi.json`."""
    app = create_app(CloudSettings.load(database_url="postgresql://localhost/none"))

    assert DOCUMENT.read_text(encoding="utf-8") == render(app)


class Served:
    """A replica in a thread of its own, with one of each record and a key that may all."""

    def __init__(self, dsn: str, edge_dsn: str) -> None:
        self.dsn, self.edge_dsn = dsn, edge_dsn
        self.key = make_key(secrets.token_bytes(N_RANDOM_BYTES))
        self.url = ""
        self.is_ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._is_over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def start(self) -> None:
        self._thread.start()
        assert self.is_ready.wait(20)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join(20)
        self._loop.close()

    async def _serve(self) -> None:
        owner, edge = await asyncpg.connect(self.dsn), await asyncpg.connect(self.edge_dsn)
        await save_key(owner, key=self.key, name="fuzz", tier=Tier.PRO, scopes=("manage", "read"))
        hand = HandEdge(edge)
        await hand.hello()
        await hand.send(make_one_of_each())
        async with running(CloudSettings.load(database_url=self.dsn), {}, Clock()) as replica:
            self._uncount(replica)
            self.url = replica.url
            self.is_ready.set()
            await self._is_over.wait()
        await owner.close(timeout=5)
        await edge.close(timeout=5)

    def _uncount(self, replica: Replica) -> None:
        async def nothing(*_: object, **__: object) -> None:
            """Limits are another test's business."""

        replica.services.limiter.hit = nothing  # type: ignore[method-assign]


@pytest.fixture
def served(dsns: tuple[str, str]) -> Iterator[Served]:
    service = Served(*dsns)
    service.start()
    yield service
    service.stop()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_answer_is_as_the_document_says(served: Served) -> None:
    """Valid and invalid questions to every route: no 500, no undocumented status, no other shape than written."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    checks = pytest.importorskip("schemathesis.specs.openapi.checks")
    modes = schemathesis.GenerationMode
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    document["paths"] = {
        path: item for path, item in document["paths"].items() if path != ENDLESS and not path.startswith(OUTSIDE)
    }
    faults: list[str] = []

    for found in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = found.ok()
        path = operation.path
        excluded = [checks.ignored_auth]
        if path in PUBLIC or path.startswith(LOGINS):
            # Nothing can be asked wrongly of those without parameters; a wrong password is a valid question.
            excluded += [checks.negative_data_rejection, checks.positive_data_acceptance]
        for mode in (modes.POSITIVE, modes.NEGATIVE):

            @budget(
                max_examples=N_EXAMPLES, deadline=None, database=None, derandomize=True,
                suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
            )  # fmt: skip
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: object) -> None:
                answer = case.call(base_url=served.url, headers={"authorization": f"Bearer {served.key}"})
                # Who gets in is walked route by route in test_api.py; here the key is a plain header.
                case.validate_response(answer, excluded_checks=excluded)  # noqa: B023  asked at once, below

            try:
                ask()
            except (Exception, BaseExceptionGroup) as exc:  # noqa: BLE001  all faults at once
                faults.append(f"{operation.label} {mode.name}: {exc}"[:800])

    assert not faults, "\n\n".join(faults)
