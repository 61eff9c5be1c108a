"""One market, its predictions and a clock, with the benchmark's jobs over a real store."""

from datetime import timedelta

from agent.jobs.benchmark import benchmark_job
from agent.jobs.horizons import horizons_job
from agent.jobs.reports import reports_job
from agent.jobs.runner import JobSpec, Runner, RunResult
from agent.store.checks import load_checks_between
from agent.store.db import Store
from agent.store.markets import save_markets
from agent.store.marks import load_marks
from agent.store.predictions import append_predictions
from agent.store.quotes import save_quotes
from sync.records import Check, Horizon, Mark
from tests.conftest import ManualClock
from tests.factories import make_market, make_prediction, make_quote


class Bench:
    """What happens to one market, and what the benchmark made of it."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock, self.began = store, clock, clock.now
        jobs = {"benchmark": benchmark_job(store), "horizons": horizons_job(store), "reports": reports_job(store)}
        specs = [
            JobSpec(name=name, run=job, schedule="10 * * * *", missed="latest", timeout_s=60)
            for name, job in jobs.items()
        ]
        self.runner = Runner(store, clock, specs, {})

    async def market(self, mid: float | None = None, **over: object) -> None:
        """What a collection finds now: the market, and a book of two cents around `mid` if one is given."""
        async with self.store.write() as tx:
            saved = await save_markets(tx, [make_market(fetched_at=self.clock(), **over)])
            if mid is not None:
                quote = make_quote(fetched_at=self.clock(), bid=round(mid - 0.01, 2), ask=round(mid + 0.01, 2))
                await save_quotes(tx, [quote], saved.ids)

    async def predict(self, *probabilities: float, initial_price: float = 0.60, **over: object) -> None:
        """Register a prediction for each probability."""
        async with self.store.write() as tx:
            await append_predictions(tx, [
                make_prediction(**{
                    "prediction_id": f"p{n}", "model": f"model-{n}", "probability_yes": p, "confidence": 60,
                    "initial_price": initial_price, "predicted_at": self.clock(),
                    "initial_bid": round(initial_price - 0.01, 2), "initial_ask": round(initial_price + 0.01, 2),
                } | over)
                for n, p in enumerate(probabilities)
            ])  # fmt: skip

    async def run(self, job: str = "benchmark") -> RunResult:
        """One pass."""
        return await self.runner.run(job, self.clock())

    async def checks(self) -> list[Check]:
        """What is stored, in order of time."""
        return await load_checks_between(self.store.reader, self.began - timedelta(days=9), self.clock.now)

    async def marks(self, place: int = 1) -> dict[Horizon, Mark]:
        """The marks of one prediction, by its place in the record."""
        return (await load_marks(self.store.reader, [place])).get(place, {})
