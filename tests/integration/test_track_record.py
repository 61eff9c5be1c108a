"""What routing and the ensemble believe of a forecaster: his resolved forecasts, as the benchmark counts them."""

from datetime import datetime, timedelta

import pytest

from agent.store.experiments import load_past
from sync.records import MarketStatus, Resolution
from tests.factories import NOON
from tests.integration.bench_house import Bench

ENDS = NOON + timedelta(days=1)


@pytest.mark.parametrize("stated", [ENDS, ENDS + timedelta(days=30)], ids=["as it said", "before it said"])
async def test_what_was_said_in_a_markets_last_hour_is_no_record(store, clock, stated: datetime):
    """The price, the news and the answer are one thing by then; the benchmark leaves such a forecast out as well."""
    bench = Bench(store, clock)
    await bench.market(0.60, close_time=stated)
    await bench.predict(0.75)
    clock.forward(hours=23, minutes=1)
    await bench.predict(0.99, prediction_id="late", experiment="other")
    await bench.run()
    clock.forward(hours=3)
    ended = {"close_time": ENDS, "closed_time": ENDS, "resolution": Resolution.YES, "resolution_value": 1.0}
    await bench.market(status=MarketStatus.RESOLVED, **ended)

    assert [past.probability for past in await load_past(store.reader)] == [0.75]
