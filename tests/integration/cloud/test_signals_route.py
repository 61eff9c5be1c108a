"""GET /v1/signals: pro alone, what still stands, newest first, never without the record."""

from datetime import timedelta

import msgspec

from cloudapi.tiers import Tier
from sync.records import Signal, SignalKind
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.made import NOW, make_signal
from tests.integration.cloud.test_api import land


async def test_a_signal_is_served_as_it_came_with_its_record(edge: HandEdge, replica: Replica) -> None:
    """One definition of a record: what the edge sealed is what a reader gets."""
    signal = make_signal()
    await land(edge, replica, [signal])

    body = (await replica.get("/v1/signals")).content

    (shown,) = msgspec.json.decode(body)["data"]
    assert msgspec.convert(shown, Signal) == signal
    assert shown["record"]["state"] == "TOO_EARLY"


async def test_signals_are_for_pro(edge: HandEdge, replica: Replica) -> None:
    """A size beside a forecast is for those who read the record: refused below, with the tier that would do."""
    await land(edge, replica, [make_signal()])

    assert (await replica.get("/v1/signals")).status_code == 200
    for tier in (Tier.BASIC, Tier.PREMIUM):
        refused = await replica.get("/v1/signals", tier=tier)
        assert refused.status_code == 403
        assert "pro" in refused.json()["detail"]


async def test_signals_are_narrowed_and_page_newest_first(edge: HandEdge, replica: Replica) -> None:
    """What has expired is asked for by name; a cursor belongs to its filters."""
    found = [make_signal(signal_id=f"sig-{i}", created_at=NOW - timedelta(minutes=i)) for i in range(4)]
    fast = make_signal(signal_id="sig-f", signal_kind=SignalKind.CONVERGENCE_ACCELERATING, experiment="other",
                       market_key="kalshi:KXSUN-26", created_at=NOW - timedelta(hours=1))  # fmt: skip
    gone = make_signal(signal_id="sig-g", created_at=NOW - timedelta(days=2), expires_at=NOW - timedelta(days=1))
    await land(edge, replica, [*found, fast, gone])

    async def ids(query: str) -> list[str]:
        return [row["signal_id"] for row in (await replica.get(f"/v1/signals?{query}")).json()["data"]]

    first = (await replica.get("/v1/signals?limit=3")).json()
    rest = (await replica.get(f"/v1/signals?limit=3&cursor={first['next_cursor']}")).json()
    assert [row["signal_id"] for row in first["data"] + rest["data"]] == ["sig-0", "sig-1", "sig-2", "sig-3", "sig-f"]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert await ids("expired=true&limit=100") == ["sig-0", "sig-1", "sig-2", "sig-3", "sig-f", "sig-g"]
    assert await ids("kind=CONVERGENCE_ACCELERATING") == ["sig-f"]
    assert await ids("market=kalshi:KXSUN-26") == ["sig-f"]
    assert await ids("experiment=other") == ["sig-f"]
    refused = await replica.get(f"/v1/signals?limit=3&expired=true&cursor={first['next_cursor']}")
    assert refused.status_code == 400
