"""What tests of the prediction jobs share: markets put into a store, and a fresh process's runner over it."""

from datetime import UTC, datetime

from agent.experiments.registry import Registry
from agent.jobs.predict import Predictor
from agent.jobs.predict_window import BATCH, DAILY, PredictOptions
from agent.jobs.runner import JobSpec, Runner
from agent.llm.gateway import Gateway
from agent.llm.options import GatewayOptions
from agent.store.markets import save_markets
from agent.store.quotes import save_quotes
from tests.factories import make_market, make_quote

A_WEEK_ON = datetime(2026, 11, 28, 18, 0, tzinfo=UTC)
BOTH = ("openai/gpt-oss-20b", "openai/gpt-oss-120b")


async def save_open(store, keys, *, close_time=A_WEEK_ON, quotes=None, **market) -> None:
    """Open markets with a quote each."""
    async with store.write() as tx:
        saved = await save_markets(tx, [make_market(market_key=k, close_time=close_time, **market) for k in keys])
        await save_quotes(tx, [make_quote(market_key=k) for k in keys] if quotes is None else quotes, saved.ids)


def runner_of(store, clock, predictor) -> Runner:
    """Both jobs, as the house has them."""
    jobs = {DAILY: predictor.daily, BATCH: predictor.batch}
    specs = [JobSpec(name=n, run=j, schedule="0 7 * * *", missed="all", timeout_s=60) for n, j in jobs.items()]
    return Runner(store, clock, specs, {}, jitter=lambda: 0.0)


class House:
    """Gateway, jobs and runner for one experiment set; everything is made anew by each `async with`."""

    def __init__(
        self, store, clock, groq, *, names=("market_prior", "single_model"), options=None, experiments=None, **over
    ):
        self.store, self.clock = store, clock
        self.registry = Registry.load(names) if experiments is None else Registry(experiments)
        self.options = options or PredictOptions()
        self.gateway = Gateway(store, GatewayOptions(**{"api_key": "k", "base_url": groq.url, **over}))

    async def __aenter__(self):
        await self.gateway.__aenter__()
        self.predictor = Predictor(self.store, self.registry, self.gateway, self.options)
        self.runner = runner_of(self.store, self.clock, self.predictor)
        return self

    async def __aexit__(self, *exc):
        await self.gateway.__aexit__(*exc)

    async def run(self, job=DAILY, trigger="hand"):
        """One run now."""
        return await self.runner.run(job, self.clock.now, trigger)
