"""What a hundred insights take apart from the network: prompts built, answers read, clamped and tidied.

`python -m tests.bench.bench_llm` prints one JSON object. The baseline is what the same bytes cost at least: encoding
each prompt and decoding each answer as plain JSON.
"""

import asyncio
import json
import time
from collections.abc import Callable
from decimal import Decimal
from statistics import median
from typing import Any

from agent.core.clamps import Situation
from agent.core.digest import MOST_FORECASTS, MOST_INSIGHTS, MOST_PATTERNS, Finding
from agent.jobs.analyse import _insight
from agent.jobs.digest import compose
from agent.llm.answers import read
from agent.llm.calls import RawReply
from agent.llm.gateway import Reply
from agent.llm.models import JsonMode
from agent.llm.prompt import Prompt, render_analysis, render_digest
from agent.llm.safety import new_marker
from agent.llm.schemas import ANALYSIS, DigestMention, DigestReply
from sync.records import Sentiment
from tests.factories import NOON, make_insight, make_market, make_pattern, make_quote

N = 100
GOAL_MS = 100.0
ROUNDS = 15
RULES = "This market resolves to Yes if the committee lowers the target range at its meeting on the named day. " * 20
WORDS = "The move came with 12,500 traded and the book stands at 0.40 to 0.44, so little is left of it. " * 4
ANSWER = {
    "market": "M1", "reasoning": WORDS, "what_happened": WORDS, "why_it_matters": WORDS, "leave_it_if": WORDS,
    "edge_explanation": WORDS, "risk_factors": ["a thin book", "the next report"],
    "recommendation": "GOOD_BET", "confidence": 66, "one_liner": "The market moved on the report.",
    "suggested_position": "YES", "time_sensitivity": "HOURS",
}  # fmt: skip


async def measure() -> dict[str, Any]:
    """Median processor time of a hundred insights and of a full day's digest, beside plain JSON of the same bytes."""
    markets = [make_market(market_key=f"kalshi:K{n}", rules_text=RULES, title=f"Question {n}?") for n in range(N)]
    quote, pattern = make_quote(), make_pattern()
    raw = RawReply(text=json.dumps(ANSWER), finish_reason="stop", usage=None, headers={})

    def prompts() -> list[Prompt]:
        return [render_analysis(m, quote, pattern, forecast=0.6, now=NOON, marker=new_marker()) for m in markets]

    built = prompts()

    def answers() -> None:
        for market, prompt in zip(markets, built, strict=True):
            value = read(raw, ANALYSIS, JsonMode.STRICT, marker=prompt.marker)
            reply = Reply(value=value, model="m", prompt_version="v", cost_usd=Decimal(0), call_id="c")
            _insight(reply, pattern, Situation(market=market, quote=quote, seen_at=NOON, now=NOON), prompt)

    def plain() -> None:
        for prompt in built:
            json.dumps([prompt.system, prompt.user])
            json.loads(raw.text)

    build_ms, check_ms, plain_ms = _median_ms(prompts), _median_ms(answers), _median_ms(plain)
    return {
        "insights": N,
        "prompt_chars": len(built[0].user),
        "build_ms": build_ms,
        "validate_ms": check_ms,
        "total_ms": round(build_ms + check_ms, 2),
        "goal_ms": GOAL_MS,
        "goal_met": build_ms + check_ms < GOAL_MS,
        "plain_json_ms": plain_ms,
        "ratio": round((build_ms + check_ms) / plain_ms, 1),
        "digest_ms": _median_ms(_digest_round()),
    }


def _digest_round() -> Callable[[], object]:
    """A day with as many findings as a digest takes."""
    findings = [
        Finding(
            alias=f"M{n}",
            market=make_market(market_key=f"kalshi:K{n}"),
            title=f"Question {n}?",
            quote=make_quote(market_key=f"kalshi:K{n}"),
            insight=make_insight(market_key=f"kalshi:K{n}"),
            pattern=make_pattern(market_key=f"kalshi:K{n}"),
            forecast=0.6,
        )
        for n in range(MOST_INSIGHTS + MOST_PATTERNS + MOST_FORECASTS)
    ]
    said = [DigestMention(market=finding.alias, why=WORDS[:200]) for finding in findings]
    value = DigestReply(
        reasoning=WORDS,
        top_picks=said[:5],
        avoid=said[5:10],
        watch=said[10:18],
        sentiment=Sentiment.CALM,
        summary=WORDS,
    )
    reply = Reply(value=value, model="m", prompt_version="v", cost_usd=Decimal(0), call_id="c")

    def run() -> object:
        prompt = render_digest(findings, now=NOON, marker=new_marker())
        return compose(reply, findings, prompt, day=NOON.date(), now=NOON)

    return run


def _median_ms(run: Callable[[], object]) -> float:
    """Processor time: the neighbours on a shared machine are not ours to count."""
    times = list[float]()
    for _ in range(ROUNDS):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return round(median(times) * 1000, 2)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure())))
