"""Analyse: ask what the strongest fresh patterns mean, keep what our rules let stand. After each collect.

Law: one market per call, its best pattern only, never the same pattern twice, a bounded number per run. The insight
holds our numbers and the model's words, tidied and clamped; it is stored and sent off in the transaction that keeps
the paid result. Without a model the run is fine and says why it did nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog
import uuid_utils

from agent.core.clamps import Situation, Verdict, clamp, edge, expiry
from agent.core.instants import to_the_ms
from agent.core.selection import Question, Thresholds
from agent.core.signals import MAX_AGE
from agent.errors import AnalysisError
from agent.jobs.context import Job, RunContext, Unit
from agent.jobs.fees import FeeBook
from agent.jobs.selecting import select
from agent.llm.budget import Purpose
from agent.llm.gateway import Gateway, Reply
from agent.llm.prompt import Prompt, quote_numbers, render_analysis, system_text
from agent.llm.safety import known_numbers, mark_unverified, new_marker, tidy
from agent.llm.schemas import ANALYSIS, AnalysisReply
from agent.store.db import Store
from agent.store.insights import load_insights_since, save_insight
from agent.store.markets import load_markets
from agent.store.patterns import load_patterns_since
from agent.store.predictions import load_blind_forecasts
from agent.store.quotes import load_latest_quotes, load_seen_at
from agent.store.tx import Tx
from sync.records import Insight, Pattern, Position

ONE_LINER_CHARS, SENTENCES_CHARS, TEXT_CHARS, RISK_CHARS, MAX_RISKS = 160, 400, 1_500, 160, 5

log = structlog.get_logger("analyse")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyseOptions:
    """How much is worth asking about."""

    above: int = 50  # score; the requirement's line between noise and worth a look
    look_back: timedelta = timedelta(hours=6)  # an older pattern is in the price by now
    rest: timedelta = timedelta(hours=2)  # the same detector on the same market is not asked about again before
    per_run: int = 10  # bounds a run's time; the day's money is the gateway's business
    thresholds: Thresholds = field(default_factory=Thresholds)


def analyse_job(store: Store, gateway: Gateway, options: AnalyseOptions) -> Job:
    """Wire the job."""

    async def analyse(ctx: RunContext, slot: datetime) -> None:
        found = await load_patterns_since(store.reader, ctx.now - options.look_back, options.above)
        patterns = [pattern for pattern in found if ctx.mine(pattern.market_key)]
        # Kept, or a run cut off and begun again would choose as many once more beside those it has paid for.
        ids = await ctx.step(f"chosen:{slot.isoformat()}", lambda: _choice(store, patterns, options, ctx.now))
        by_id = {pattern.pattern_id: pattern for pattern in patterns}
        chosen = [by_id[one] for one in ids if one in by_id]
        ctx.count(patterns=len(patterns), analysed=0, failed=0, skipped=0)
        if not chosen:
            return
        if (reason := await gateway.unready_reason(Purpose.ANALYSIS)) is not None:
            _stand_aside(ctx, gateway, reason, len(chosen))
            return
        outcomes = await ctx.map(
            chosen,
            key=_key,
            fn=lambda pattern: _analysed(store, gateway, pattern, ctx.run_id),
            lane=gateway.models[0],
        )
        for outcome in outcomes:
            done = outcome.error is None
            ctx.count(analysed=int(done and not outcome.from_kept), failed=int(not done))

    return analyse


async def _choice(store: Store, patterns: Sequence[Pattern], options: AnalyseOptions, now: datetime) -> Unit:
    insights = await load_insights_since(store.reader, now - options.look_back)
    worth = await _worth_it(store, patterns, options, now)
    return Unit([pattern.pattern_id for pattern in choose(worth, insights, now=now, options=options)])


async def _worth_it(store: Store, patterns: Sequence[Pattern], options: AnalyseOptions, now: datetime) -> list[Pattern]:
    """The patterns of markets that pass the gates of selection."""
    markets = await load_markets(store.reader, {pattern.market_key for pattern in patterns})
    passed = await select(store, Question.ANALYSE, list(markets.values()), options.thresholds, now)
    keys = {market.market_key for market in passed}
    return [pattern for pattern in patterns if pattern.market_key in keys]


def choose(
    patterns: Sequence[Pattern], insights: Sequence[Insight], *, now: datetime, options: AnalyseOptions
) -> list[Pattern]:
    """The best pattern of each market that nobody explained yet, the highest score first. Pure."""
    explained = {insight.pattern_id for insight in insights}
    resting = {(i.market_key, i.detector) for i in insights if now - i.created_at < options.rest}
    best = dict[str, Pattern]()
    for pattern in sorted(patterns, key=lambda p: (-p.score, -p.detected_at.timestamp(), p.pattern_id)):
        if pattern.pattern_id not in explained and (pattern.market_key, pattern.detector) not in resting:
            best.setdefault(pattern.market_key, pattern)
    return list(best.values())[: options.per_run]


def _stand_aside(ctx: RunContext, gateway: Gateway, reason: str, n: int) -> None:
    """Leave the patterns for a later run: off is a choice, away or used up is a shortage."""
    ctx.count(skipped=n)
    log.info("analysis skipped", action="analysis_skipped", n=n, reason=reason)
    if gateway.off_reason is None:
        ctx.partial(f"{n} patterns wait: {reason}")


def _key(pattern: Pattern) -> str:
    return f"analyse:{pattern.pattern_id}:{system_text('analysis-v1').version}:{ANALYSIS.version}"


async def _analysed(store: Store, gateway: Gateway, pattern: Pattern, run_id: str) -> Unit:
    """Ask about one pattern. Raises: AnalysisError."""
    key, now = pattern.market_key, to_the_ms(store.clock())
    market = (await load_markets(store.reader, [key])).get(key)
    if market is None:
        raise AnalysisError(f"analysis of {key}: the market is not in the store")
    quote = (await load_latest_quotes(store.reader, [key])).get(key)
    forecast = (await load_blind_forecasts(store.reader, [key], since=now - MAX_AGE)).get(key)
    terms = (await FeeBook(store, {}).load([market], now)).get(key)
    seen_at = (await load_seen_at(store.reader, [key])).get(key)
    situation = Situation(market=market, quote=quote, seen_at=seen_at, now=now, forecast=forecast, fees=terms)
    edges = {side.value: edge(side, situation) for side in (Position.YES, Position.NO)}
    prompt = render_analysis(market, quote, pattern, forecast=forecast, now=now, marker=new_marker(), edges=edges)
    reply = await gateway.complete(Purpose.ANALYSIS, ANALYSIS, prompt, market_key=key, run_id=run_id)
    # The answer may have taken minutes: how old the book is counts from now.
    seen_at = (await load_seen_at(store.reader, [key])).get(key)
    situation = replace(situation, seen_at=seen_at, now=to_the_ms(store.clock()))
    insight = _insight(reply, pattern, situation, prompt)

    async def save(tx: Tx) -> None:
        await save_insight(tx, insight)

    return Unit({"insight_id": insight.insight_id, "cost_usd": str(reply.cost_usd)}, save)


def _insight(reply: Reply[AnalysisReply], pattern: Pattern, situation: Situation, prompt: Prompt) -> Insight:
    """The model's words with our rules and our numbers."""
    said, quote = reply.value, situation.quote
    numbers = [n for n in quote_numbers(quote).values() if n is not None]
    numbers += [n for n in pattern.evidence.values() if isinstance(n, int | float)]
    known = known_numbers([prompt.user, float(said.confidence), *numbers])

    def words(text: str, limit: int) -> str:
        return mark_unverified(tidy(text, limit), known)

    verdict = clamp(
        Verdict(
            recommendation=said.recommendation,
            position=said.suggested_position,
            sensitivity=said.time_sensitivity,
            confidence=said.confidence,
        ),
        situation,
    )
    return Insight(
        insight_id=str(uuid_utils.uuid7()),
        market_key=pattern.market_key,
        pattern_id=pattern.pattern_id,
        detector=pattern.detector,
        recommendation=verdict.recommendation,
        confidence=verdict.confidence,
        one_liner=words(said.one_liner, ONE_LINER_CHARS),
        reasoning=words(said.reasoning, TEXT_CHARS),
        what_happened=words(said.what_happened, SENTENCES_CHARS),
        why_it_matters=words(said.why_it_matters, SENTENCES_CHARS),
        leave_it_if=words(said.leave_it_if, SENTENCES_CHARS),
        edge_explanation=words(said.edge_explanation, TEXT_CHARS),
        risk_factors=tuple(words(risk, RISK_CHARS) for risk in said.risk_factors[:MAX_RISKS]),
        suggested_position=verdict.position,
        time_sensitivity=verdict.sensitivity,
        actionable=verdict.actionable,
        model=reply.model,
        prompt_version=reply.prompt_version,
        cost_usd=reply.cost_usd,
        created_at=situation.now,
        expires_at=expiry(verdict.sensitivity, situation.now, situation.market),
        clamps=verdict.clamps,
        bid=None if quote is None else quote.bid,
        ask=None if quote is None else quote.ask,
        probability_yes=situation.forecast,
        edge=edge(verdict.position, situation),
    )
