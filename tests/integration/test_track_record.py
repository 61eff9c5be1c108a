"""What routing and the ensemble believe of a forecaster: his resolved forecasts, as the benchmark counts them."""

from datetime import timedelta

from agent.store.experiments import load_past
from sync.records import MarketStatus, Resolution
from tests.factories import NOON
from tests.integration.bench_house import Bench

ENDS = NOON + timedelta(days=1)


async def resolve(bench: Bench, **over: object) -> None:
    ended = {"status": MarketStatus.RESOLVED, "resolution": Resolution.YES, "resolution_value": 1.0}
    await bench.market(**{"close_time": ENDS, "closed_time": ENDS} | ended | over)


async def test_what_was_said_in_the_last_hour_is_no_record(store, clock):
    """The price, the news and the answer are one thing by then; the benchmark leaves such a forecast out as well."""
    bench = Bench(store, clock)
    await bench.market(0.60, close_time=ENDS)
    await bench.predict(0.75)
    clock.forward(hours=23, minutes=1)
    await bench.predict(0.99, prediction_id="late", experiment="other")
    await bench.run()
    clock.forward(hours=3)
    await resolve(bench)

    assert [past.probability for past in await load_past(store.reader)] == [0.75]


async def test_a_market_that_ended_early_had_its_last_hour_then(store, clock):
    """What it said of its end when it was asked about is one end, what came is the other."""
    bench = Bench(store, clock)
    await bench.market(0.60, close_time=ENDS + timedelta(days=30))
    await bench.predict(0.75)
    clock.forward(hours=23, minutes=1)
    await bench.predict(0.99, prediction_id="late", experiment="other")
    await bench.run()
    clock.forward(hours=3)
    await resolve(bench)

    assert [past.probability for past in await load_past(store.reader)] == [0.75]
