"""Digest: one page a day made of our own findings, in a model's order and under our rules. At 08:00 UTC.

Law: one a UTC day, kept and sent under the day's key. The model is told our one-line summaries and numbers, never the
text of a market's rules; what comes back is tidied, weeded of markets it was not told of and placed by `core/digest`.
Arbitrage is reckoned, never asked. No findings, no model, no valid answer: no digest, the run says so, and the day's
second slot tries once more.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import structlog
import uuid_utils
from msgspec.structs import replace

from agent.core import digest as digests
from agent.core.digest import Finding, Mentions
from agent.core.instants import to_the_ms
from agent.jobs.context import Job, RunContext, Unit
from agent.llm.budget import Purpose
from agent.llm.gateway import Gateway, Reply
from agent.llm.prompt import Prompt, render_digest
from agent.llm.safety import TITLE_CHARS, known_numbers, mark_unverified, new_marker, tidy
from agent.llm.schemas import DigestMention, DigestReply, digest_schema
from agent.store.arbitrage import load_active
from agent.store.db import Store
from agent.store.digests import load_digest, load_recent_forecasts, save_digest
from agent.store.insights import load_insights_since
from agent.store.markets import load_markets
from agent.store.patterns import load_patterns_since
from agent.store.quotes import load_latest_quotes
from agent.store.tx import Tx
from sync.records import Arbitrage, Digest

WINDOW = timedelta(hours=24)
ABOVE = 50  # pattern score; as for an analysis
SUMMARY_CHARS, WHY_CHARS = 600, 240

log = structlog.get_logger("digest")


def digest_job(store: Store, gateway: Gateway) -> Job:
    """Wire the job."""

    async def digest(ctx: RunContext, slot: datetime) -> None:
        ctx.count(considered=0, written=0, dropped=0, skipped=0)
        day = slot.date()
        if ctx.now.date() != day:
            _skip(ctx, f"the digest of {day} would come on {ctx.now.date()}")
        elif await load_digest(store.reader, day) is not None:
            _skip(ctx, f"{day} has its digest")
        elif not ctx.mine("job:digest"):
            _skip(ctx, "another host writes it")
        elif not (findings := await gather(store, ctx.now)):
            _skip(ctx, "nothing was found in the last 24 h")
        elif (reason := await gateway.unready_reason(Purpose.DIGEST)) is not None:
            _skip(ctx, reason)
            if gateway.off_reason is None:
                ctx.partial(f"no digest for {day}: {reason}")
        else:
            value = await ctx.step(
                f"digest:{slot.isoformat()}", lambda: _written(store, gateway, findings, day, ctx.run_id)
            )
            ctx.count(considered=len(findings), written=1, dropped=value["n_dropped"])

    return digest


def _skip(ctx: RunContext, reason: str) -> None:
    ctx.count(skipped=1)
    log.info("no digest", action="digest_skipped", reason=reason)


async def gather(store: Store, now: datetime) -> list[Finding]:
    """What the last day brought, as far as it is worth a line."""
    since = now - WINDOW
    insights = digests.newest_insights(await load_insights_since(store.reader, since), now)
    patterns = digests.strongest_patterns(await load_patterns_since(store.reader, since, ABOVE))
    forecasts = await load_recent_forecasts(store.reader, since)
    priced = await load_latest_quotes(store.reader, forecasts)
    chosen = digests.choose(insights, patterns, forecasts, priced)
    markets = await load_markets(store.reader, chosen)
    quotes = await load_latest_quotes(store.reader, chosen)
    return [
        Finding(
            alias=f"M{number}",
            market=markets[key],
            title=tidy(markets[key].title, TITLE_CHARS),
            quote=quotes.get(key),
            insight=insights.get(key),
            pattern=patterns.get(key),
            forecast=forecasts.get(key),
        )
        for number, key in enumerate((key for key in chosen if key in markets), start=1)
    ]


async def _written(store: Store, gateway: Gateway, findings: Sequence[Finding], day: date, run_id: str) -> Unit:
    """Ask for the day's order. Raises: AnalysisError."""
    prompt = render_digest(findings, now=to_the_ms(store.clock()), marker=new_marker())
    schema = digest_schema([finding.alias for finding in findings])
    reply = await gateway.complete(Purpose.DIGEST, schema, prompt, run_id=run_id)
    arbitrage = await load_active(store.reader)
    digest = compose(reply, findings, prompt, day=day, now=to_the_ms(store.clock()), arbitrage=arbitrage)

    async def save(tx: Tx) -> None:
        await save_digest(tx, digest)

    value = {"digest_id": digest.digest_id, "n_dropped": digest.n_dropped, "cost_usd": str(reply.cost_usd)}
    return Unit(value, save)


def compose(
    reply: Reply[DigestReply],
    findings: Sequence[Finding],
    prompt: Prompt,
    *,
    day: date,
    now: datetime,
    arbitrage: Sequence[Arbitrage] = (),
) -> Digest:
    """The model's order with our rules and our numbers."""
    said, known = reply.value, known_numbers([prompt.user])

    def words(text: str, limit: int) -> str:
        return mark_unverified(tidy(text, limit), known)

    def mentions(items: Sequence[DigestMention]) -> list[tuple[str, str]]:
        return [(item.market, words(item.why, WHY_CHARS)) for item in items]

    asked = Mentions(top=mentions(said.top_picks), avoid=mentions(said.avoid), watch=mentions(said.watch))
    placed = digests.place(asked, findings)
    digest = Digest(
        digest_id=str(uuid_utils.uuid7()),
        day=day,
        created_at=now,
        sentiment=said.sentiment,
        summary=words(said.summary, SUMMARY_CHARS),
        top_picks=placed.top,
        avoid=placed.avoid,
        watch=placed.watch,
        arbitrage=tuple(digests.arbitrage_line(one) for one in arbitrage[: digests.MOST_ARBITRAGE]),
        markdown="",
        n_considered=len(findings),
        n_dropped=placed.n_dropped,
        model=reply.model,
        prompt_version=reply.prompt_version,
        cost_usd=reply.cost_usd,
    )
    return replace(digest, markdown=digests.render_markdown(digest))
