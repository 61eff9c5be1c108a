"""Compares the rules of pairs: two samples each, the second with the places changed, both kept by key.

Law: a sample is a unit, so none is paid twice; what both are worth is core/matching/rules' business. A pair whose
answer was not valid is asked again on another day at the earliest. Called by jobs/pairs.
"""

from collections.abc import Mapping

import msgspec

from agent.core.instants import to_the_ms
from agent.core.matching.operator import PairKeys
from agent.core.matching.rules import RulesSample, RulesVerdict, verdict
from agent.jobs.context import RunContext, Unit
from agent.llm.budget import Purpose
from agent.llm.gateway import Gateway
from agent.llm.prompt import render_rules, system_text
from agent.llm.safety import clean, new_marker, tidy
from agent.llm.schemas import RULES, RulesReply
from agent.store.db import Store
from agent.store.markets import load_markets
from sync.records import Market, RuleDifference

QUOTE_CHARS = 400  # of a rules text, shown beside the other side's
RULES_CHARS = 20_000  # what the venues' readers keep of one

_Ask = tuple[PairKeys, str, bool]  # the pair, the identity of its words, whether the places are changed


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One sample as it is kept: the reading in the pair's own places, and who read."""

    sample: RulesSample
    model: str


def rules_version() -> str:
    """Names prompt and schema together."""
    return f"{system_text('rules-v1').version}/{RULES.version}"


async def compared(
    ctx: RunContext, store: Store, gateway: Gateway, chosen: Mapping[PairKeys, str]
) -> dict[str, RulesVerdict]:
    """Verdicts by hash of the words compared; a pair without rules texts or without two valid samples has none."""
    markets = await load_markets(store.reader, {key for keys in chosen for key in keys})
    readable = {
        keys: digest for keys, digest in chosen.items() if all(_rules(markets.get(key)) is not None for key in keys)
    }
    asks: list[_Ask] = [(keys, digest, turned) for keys, digest in readable.items() for turned in (False, True)]
    outcomes = await ctx.map(
        asks,
        key=lambda ask: f"rules:{ask[1]}:{rules_version()}:{'ba' if ask[2] else 'ab'}:{ctx.now.date()}",
        fn=lambda ask: _sampled(store, gateway, (markets[ask[0][0]], markets[ask[0][1]]), ctx.run_id, turned=ask[2]),
        lane=gateway.models[0],
    )
    said = dict[str, list[Said]]()
    for (_, digest, _), outcome in zip(asks, outcomes, strict=True):
        if outcome.error is None:
            said.setdefault(digest, []).append(msgspec.convert(outcome.value, Said))
    return {
        digest: _verdict(said[digest], markets[keys[0]], markets[keys[1]])
        for keys, digest in readable.items()
        if len(said.get(digest, ())) > 1
    }


async def _sampled(store: Store, gateway: Gateway, pair: tuple[Market, Market], run_id: str, *, turned: bool) -> Unit:
    """Ask once. Raises: AnalysisError."""
    first, second = pair[::-1] if turned else pair
    prompt = render_rules(first, second, now=to_the_ms(store.clock()), marker=new_marker())
    reply = await gateway.complete(Purpose.MATCHING, RULES, prompt, market_key=pair[0].market_key, run_id=run_id)
    sample = _sample(reply.value)
    return Unit(msgspec.to_builtins(Said(sample=sample.turned() if turned else sample, model=reply.model)))


def _sample(said: RulesReply) -> RulesSample:
    return RulesSample(
        relation=said.relation,
        yes_maps_to=said.yes_maps_to,
        condition_a=said.condition_a,
        condition_b=said.condition_b,
        differences=tuple(
            RuleDifference(kind=one.kind.value, quote_a=one.quote_a, quote_b=one.quote_b) for one in said.differences
        ),
    )


def _verdict(said: list[Said], a: Market, b: Market) -> RulesVerdict:
    """What the samples are worth; the quotes a reader gets are plain words."""
    found = verdict(
        [one.sample for one in said],
        _rules(a) or "",
        _rules(b) or "",
        model=said[0].model,
        prompt_version=rules_version(),
    )
    tidied = tuple(
        RuleDifference(kind=one.kind, quote_a=tidy(one.quote_a, QUOTE_CHARS), quote_b=tidy(one.quote_b, QUOTE_CHARS))
        for one in found.differences
    )
    return RulesVerdict(
        relation=found.relation,
        yes_maps_to=found.yes_maps_to,
        reasons=found.reasons,
        differences=tidied,
        model=found.model,
        prompt_version=found.prompt_version,
    )


def _rules(market: Market | None) -> str | None:
    """The rules as a model is shown them: quotes are looked up in these words."""
    text = None if market is None or market.rules_text is None else clean(market.rules_text, RULES_CHARS)
    return text or None
