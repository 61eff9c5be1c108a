"""Feeds recorded series through today's rules: snapshots, patterns, forecasts, benchmark, scores; offline, repeatable.

Law: the clock is the recording's and only moves forward; nothing is random and nothing is asked of anybody, so two
replays of the same recordings under the same rules end with the same digest. Only experiments without a model take
part: what a model said then cannot be asked today. The database of a replay is its own and never travels.
"""

import hashlib
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from agent.core.ensemble import TrackRecord
from agent.core.movement import ENDED
from agent.core.patterns.base import Detector, Guard
from agent.core.record import GENESIS_HASH
from agent.experiments.base import ExperimentResult, SightedContext, SightedExperiment
from agent.experiments.coin import Coin
from agent.experiments.longshot_fader import LongshotFader
from agent.experiments.market_prior import MarketPrior
from agent.jobs.benchmark import benchmark_job
from agent.jobs.collect import detect
from agent.jobs.horizons import horizons_job
from agent.jobs.runner import JobSpec, Runner
from agent.llm.gateway import Reply
from agent.llm.prompt import Prompt
from agent.llm.schemas import ModelReply, ReplySchema
from agent.replay.series import Series
from agent.store.db import Store
from agent.store.markets import save_markets
from agent.store.predictions import append_predictions, load_head, name_chain
from agent.store.quotes import save_quotes
from sync.records import Market, Prediction, Quote

# Recordings do not say when their markets close, so no window can choose: each market is forecast again weekly.
FORECAST_EVERY = timedelta(days=7)
HOUR = timedelta(hours=1)
CHAIN = "replay"

R = TypeVar("R", bound=ModelReply)
EXPERIMENTS: tuple[SightedExperiment, ...] = (MarketPrior(), Coin(), LongshotFader())


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay did. `digest` names everything it left behind but ids that are drawn."""

    series: tuple[str, ...]
    first_at: datetime
    last_at: datetime
    looks: int
    markets: int
    quotes: int  # rows that were news
    patterns: int
    predictions: int
    checks: int
    marks: int
    marks_missing: int
    scores: int
    scores_excluded: int
    record_head: str
    digest: str


@dataclass(slots=True)
class Frame:
    """Everything seen at one moment, over all series."""

    quotes: dict[str, Quote] = field(default_factory=dict)
    markets: dict[str, Market] = field(default_factory=dict)


class SimulatedClock:
    """Stands where the replay is."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The recording's present."""
        return self.now


def frames(series: Iterable[Series], start: datetime | None, end: datetime | None) -> dict[datetime, Frame]:
    """All looks of all series within [start, end], in order of time; a market that ended stays so."""
    found: dict[datetime, Frame] = defaultdict(Frame)
    for one in series:
        ended_at = {market.market_key: market.fetched_at for market in one.endings}
        for history in one.histories:
            over = ended_at.get(history.market.market_key)
            for quote in history.quotes:
                if over is None or quote.fetched_at < over:
                    frame = found[quote.fetched_at]
                    frame.quotes[quote.market_key] = quote
                    frame.markets[quote.market_key] = msgspec.structs.replace(
                        history.market, fetched_at=quote.fetched_at
                    )
        for market in one.endings:
            found[market.fetched_at].markets[market.market_key] = market
    return {at: found[at] for at in sorted(found) if (start is None or at >= start) and (end is None or at <= end)}


async def replay(
    store: Store,
    clock: SimulatedClock,
    looks: Mapping[datetime, Frame],
    *,
    names: Sequence[str],
    detectors: Sequence[Detector],
    guard: Guard,
) -> Replayed:
    """Run every look through the house. The store's clock is `clock`."""
    async with store.write() as tx:
        await name_chain(tx, CHAIN)  # it is part of what is hashed
    runner, counts = _runner(store, clock), Counter[str]()
    forecast_at: dict[str, datetime] = {}
    next_pass = next(iter(looks))
    for at, frame in looks.items():
        clock.now = at
        counts["quotes"] += await _collect(store, frame)
        found = await detect(store, detectors, at, guard)
        if found.save is not None:
            async with store.write() as tx:
                await found.save(tx)
        counts["patterns"] += found.value
        await _forecast(store, frame, at, forecast_at)
        job = "benchmark" if at >= next_pass else "horizons"
        if job == "benchmark":
            next_pass = at.replace(minute=0, second=0, microsecond=0) + HOUR
        result = await runner.run(job, at)
        if result.state != "ok":
            raise RuntimeError(f"replay: {job} at {at:%Y-%m-%d %H:%M}: {result.reason}")
        counts.update(result.counts)
    moments = list(looks)
    head = await load_head(store.reader)
    return Replayed(
        series=tuple(names),
        first_at=moments[0],
        last_at=moments[-1],
        looks=len(moments),
        markets=await store.reader.fetch_value("SELECT count(*) FROM markets"),
        quotes=counts["quotes"],
        patterns=counts["patterns"],
        predictions=head.seq,
        checks=counts["checks"],
        marks=counts["marks"],
        marks_missing=counts["missing"],
        scores=counts["scores"],
        scores_excluded=counts["excluded"],
        record_head=head.record_hash,
        digest=await digest(store),
    )


def _runner(store: Store, clock: SimulatedClock) -> Runner:
    jobs = {"benchmark": benchmark_job(store), "horizons": horizons_job(store)}
    specs = [
        JobSpec(name=name, run=job, schedule="0 * * * *", missed="none", timeout_s=600) for name, job in jobs.items()
    ]
    return Runner(store, clock, specs, {})


async def _collect(store: Store, frame: Frame) -> int:
    """Store a look as collect does; returns how many quotes were news."""
    async with store.write() as tx:
        saved = await save_markets(tx, list(frame.markets.values()))
        stored = await save_quotes(tx, list(frame.quotes.values()), saved.ids)
    return stored.n_stored


async def _forecast(store: Store, frame: Frame, at: datetime, forecast_at: dict[str, datetime]) -> None:
    """What the experiments say of the markets whose turn it is."""
    made = list[Prediction]()
    versions = {experiment.name: experiment.version for experiment in EXPERIMENTS}
    track = TrackRecord([], now=at)  # the references learn nothing
    context = SightedContext(
        now=at, run_day=at.date(), results={}, door=_NoDoor(), quote=None, track=track, versions=versions
    )
    for key, quote in sorted(frame.quotes.items()):
        before = forecast_at.get(key)
        if quote.mid is None or (before is not None and at - before < FORECAST_EVERY):
            continue
        market = frame.markets[key]
        if market.status in ENDED:
            continue
        forecast_at[key] = at
        for experiment in EXPERIMENTS:
            said = await experiment.run(market, replace(context, quote=quote))
            if isinstance(said, ExperimentResult) and said.probability_yes is not None:
                made.append(_prediction(experiment, market, quote, said.probability_yes, at))
    if made:
        async with store.write() as tx:
            await append_predictions(tx, made)


class _NoDoor:
    """No model can be asked for the past."""

    async def complete(self, schema: ReplySchema[R], prompt: Prompt, *, step: str = "") -> Reply[R]:
        """Raises: RuntimeError."""
        del schema, prompt
        raise RuntimeError(f"a replay asks no model {step}".rstrip())


def _prediction(
    experiment: SightedExperiment, market: Market, quote: Quote, probability: float, at: datetime
) -> Prediction:
    """A forecast with an id that is the same in every replay: the record's head depends on it."""
    name = f"{market.market_key}|{experiment.name}|{experiment.version}|{at.isoformat()}"
    return Prediction(
        prediction_id=str(uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4)),
        market_key=market.market_key,
        experiment=experiment.name,
        experiment_version=experiment.version,
        run_day=at.date(),
        probability_yes=probability,
        saw_price=experiment.saw_price,
        predicted_at=at,
        initial_price=quote.mid,
        initial_bid=quote.bid,
        initial_ask=quote.ask,
        initial_seen_at=at,
        chain_seq=0,
        previous_hash=GENESIS_HASH,
        record_hash="",
    )


# Everything a rule decided, in an order of its own; ids that are drawn and the sender's business are left out.
_LEFT_BEHIND = (
    "SELECT id, market_key, status, end_time, digest FROM markets ORDER BY id",
    "SELECT * FROM quotes ORDER BY market_id, fetched_at",
    """SELECT m.market_key, p.detector, p.detected_at, p.score, CAST(p.body AS TEXT) ->> 'evidence'
    FROM patterns p JOIN markets m ON m.id = p.market_id ORDER BY 1, 2, 3""",
    "SELECT chain_seq, record_hash, state FROM predictions ORDER BY 1",
    "SELECT * FROM checks ORDER BY 1, 2",
    "SELECT * FROM marks ORDER BY 1, 2",
    "SELECT * FROM scores ORDER BY 1",
    "SELECT checked_at, json_remove(CAST(body AS TEXT), '$.pass_id') FROM benchmark_passes ORDER BY 1",
)


async def digest(store: Store) -> str:
    """SHA-256 over what the replay left behind."""
    found = hashlib.sha256()
    for sql in _LEFT_BEHIND:
        for row in await store.reader.fetch(sql):
            found.update(repr(tuple(row)).encode())
    return found.hexdigest()


def render(found: Replayed) -> Iterator[str]:
    """In words, a line at a time."""
    yield f"{found.looks:,} looks from {found.first_at:%Y-%m-%d %H:%M} to {found.last_at:%Y-%m-%d %H:%M} UTC"
    yield f"series: {', '.join(found.series)}"
    yield f"{found.markets:,} markets, {found.quotes:,} quotes stored, {found.patterns:,} patterns"
    yield f"{found.predictions:,} predictions, {found.checks:,} checks"
    yield f"{found.marks:,} horizons read, {found.marks_missing:,} of them without a usable quote"
    yield f"{found.scores:,} scored, {found.scores_excluded:,} of them excluded"
    yield f"record head {found.record_head}"
    yield f"digest      {found.digest}"
