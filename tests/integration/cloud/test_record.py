"""The record as the cloud serves it: anyone with a key can verify it with the published rule."""

from typing import Any

import msgspec

from agent.core.record import GENESIS, head_after, link, verify
from cloudapi.tiers import Tier
from sync.records import Prediction
from tests.integration.cloud.edge import HandEdge, encode
from tests.integration.cloud.made import NOW, make_prediction
from tests.integration.cloud.test_api import Replica, land


def chained(n: int, chain: str | None) -> list[Prediction]:
    """A sound record of n predictions."""
    head, records = GENESIS, list[Prediction]()
    for i in range(n):
        draft = make_prediction(
            prediction_id=f"{chain}-{i}",
            chain=chain,
            probability_yes=0.1 + i / 7,
            initial_seen_at=NOW,
            experiment=f"e{i}",
        )
        records.append(link(draft, head))
        head = head_after(records[-1])
    return records


async def fetched(replica: Replica, **params: Any) -> list[Prediction]:
    """The whole record, page by page."""
    found, begin = list[Prediction](), 1
    while begin is not None:
        page = (await replica.get("/v1/record", params={"from": begin, "limit": 2, **params})).json()
        found += msgspec.convert(page["data"], list[Prediction])
        begin = page["next_from"]
    return found


async def test_the_record_that_landed_verifies_to_its_head(edge: HandEdge, replica: Replica) -> None:
    """Fields, floats and times come back as they were hashed: the reader needs nothing but the rule."""
    await land(edge, replica, chained(5, "one"))

    (head,) = (await replica.get("/v1/record/head", tier=Tier.BASIC)).json()["data"]
    records = await fetched(replica)

    assert verify(records) is None
    assert (head["seq"], head["record_hash"], head["complete"]) == (5, records[-1].record_hash, True)
    assert head["chain"] == "one"


async def test_two_edges_have_a_record_each(edge: HandEdge, replica: Replica) -> None:
    """The numbers of a second machine begin at one again; neither breaks the other's chain."""
    await land(edge, replica, chained(3, "one"))
    await land(edge, replica, chained(2, "two"))

    heads = (await replica.get("/v1/record/head")).json()["data"]

    assert {head["chain"]: head["seq"] for head in heads} == {"one": 3, "two": 2}
    assert verify(await fetched(replica, chain="one")) is None
    assert verify(await fetched(replica, chain="two")) is None


async def test_a_record_with_a_hole_says_so(edge: HandEdge, replica: Replica) -> None:
    """What waits for its turn is no lie: the head is told, and that not all before it is here."""
    records = chained(4, "one")
    await land(edge, replica, [records[0], records[1], records[3]])

    (head,) = (await replica.get("/v1/record/head")).json()["data"]
    fault = verify(await fetched(replica))

    assert (head["seq"], head["complete"]) == (4, False)
    assert fault is not None
    assert fault.seq == 3


async def test_an_edit_in_the_cloud_is_found(edge: HandEdge, replica: Replica, owner: Any) -> None:
    """Whoever holds the cloud's database can still not change a forecast unseen."""
    await land(edge, replica, chained(4, "one"))
    await owner.execute("update prediction set probability_yes = 0.99 where chain_seq = 2")

    fault = verify(await fetched(replica))

    assert fault is not None
    assert fault.seq == 2


async def test_a_field_the_cloud_does_not_know_is_served_all_the_same(edge: HandEdge, replica: Replica) -> None:
    """A newer edge hashes more than this cloud can name; its record must verify here too."""
    await edge.hello()
    (row,) = msgspec.json.decode(encode([make_prediction(chain="one")]))
    receipt = await edge.send_text(msgspec.json.encode([row | {"mood": "calm"}]).decode(), 1)
    await replica.landed(receipt["inserted"])

    (served,) = (await replica.get("/v1/record")).json()["data"]

    assert served["mood"] == "calm"


async def test_the_record_is_part_of_the_tiers_that_read_predictions(edge: HandEdge, replica: Replica) -> None:
    """It is made of forecasts; its head is for everyone with a key."""
    await land(edge, replica, chained(1, "one"))

    assert (await replica.get("/v1/record", tier=Tier.BASIC)).status_code == 403
    assert (await replica.get("/v1/record?from=0")).status_code == 422
    assert (await replica.get("/v1/record/head", tier=None)).status_code == 401
