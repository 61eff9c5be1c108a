"""A day in short: which of our findings a digest speaks of, where our rules let it place them, and how it reads. Pure.

Law: a digest is made of what we worked out ourselves; a model orders and words it. A market it was not told of is
dropped, one our own insight does not carry is never a top pick, one named twice counts once, the careful list first.
Every number a reader sees is ours. Texts come in as plain words. Called by the digest job.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.core.arbitrage.shown import per_contract, summary
from agent.core.market import spread
from sync.records import (
    Arbitrage,
    Digest,
    DigestArbitrage,
    DigestMarket,
    Insight,
    Market,
    Pattern,
    Quote,
    Recommendation,
)

# Enough to choose from, and a prompt of some 3,000 tokens: the free plan's minute holds 8,000, the answer included.
MOST_INSIGHTS, MOST_PATTERNS, MOST_FORECASTS = 12, 6, 6
LEAST_DISAGREEMENT = 0.05  # between our forecast and the price; less is inside spread and fees
MOST_TOP, MOST_AVOID, MOST_WATCH, MOST_ARBITRAGE = 5, 5, 8, 5  # a reader has one minute

_BOLD = (Recommendation.STRONG_BET, Recommendation.GOOD_BET)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~-])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What we know of one market today."""

    alias: str
    market: Market
    title: str  # the venue's, as plain words
    quote: Quote | None = None
    insight: Insight | None = None  # the newest that has not expired
    pattern: Pattern | None = None  # the strongest
    forecast: float | None = None  # price-blind

    @property
    def is_bet(self) -> bool:
        """Whether our own insight, after our rules, says so."""
        return self.insight is not None and self.insight.actionable and self.insight.recommendation in _BOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class Mentions:
    """What a model wants said: (alias, why), each list in its order."""

    top: Sequence[tuple[str, str]]
    avoid: Sequence[tuple[str, str]]
    watch: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What is said, and how many mentions were not usable."""

    top: tuple[DigestMarket, ...]
    avoid: tuple[DigestMarket, ...]
    watch: tuple[DigestMarket, ...]
    n_dropped: int


def newest_insights(insights: Iterable[Insight], now: datetime) -> dict[str, Insight]:
    """The newest insight of each market that is still worth reading."""
    newest = dict[str, Insight]()
    for insight in sorted(insights, key=lambda i: (i.created_at, i.insight_id)):
        newest[insight.market_key] = insight
    return {key: insight for key, insight in newest.items() if insight.expires_at > now}


def strongest_patterns(patterns: Iterable[Pattern]) -> dict[str, Pattern]:
    """The strongest pattern of each market, the strongest market first."""
    best = dict[str, Pattern]()
    for pattern in sorted(patterns, key=lambda p: (-p.score, -p.detected_at.timestamp(), p.pattern_id)):
        best.setdefault(pattern.market_key, pattern)
    return best


def choose(
    insights: Mapping[str, Insight],
    patterns: Mapping[str, Pattern],
    forecasts: Mapping[str, float],
    quotes: Mapping[str, Quote],
) -> list[str]:
    """Keys of the markets worth a line: what was explained, what stood out, where we disagree with the price."""
    explained = sorted(insights, key=lambda key: (not insights[key].actionable, -insights[key].confidence, key))
    chosen = dict.fromkeys(explained[:MOST_INSIGHTS])
    chosen |= dict.fromkeys([key for key in patterns if key not in chosen][:MOST_PATTERNS])
    gaps = {
        key: abs(forecast - mid) for key, forecast in forecasts.items() if (mid := _mid(quotes.get(key))) is not None
    }
    apart = sorted((key for key in gaps if gaps[key] >= LEAST_DISAGREEMENT), key=lambda key: (-gaps[key], key))
    return list(chosen | dict.fromkeys([key for key in apart if key not in chosen][:MOST_FORECASTS]))


def place(mentions: Mentions, findings: Sequence[Finding]) -> Placed:
    """Each mention where our rules let it stand."""
    known = {finding.alias: finding for finding in findings}
    lists: dict[str, list[DigestMarket]] = {"avoid": [], "top": [], "watch": []}
    most = {"avoid": MOST_AVOID, "top": MOST_TOP, "watch": MOST_WATCH}
    wanted = [("avoid", *m) for m in mentions.avoid] + [("top", *m) for m in mentions.top]
    wanted += [("watch", *m) for m in mentions.watch]
    n_dropped = 0
    for name, alias, why in wanted:
        finding = known.pop(alias, None)  # gone once it was named
        home, reason = (name, None) if finding is None else _home(name, finding)
        if finding is None or len(lists[home]) >= most[home]:
            n_dropped += 1
            continue
        lists[home].append(_entry(finding, why, reason))
    return Placed(
        top=tuple(lists["top"]), avoid=tuple(lists["avoid"]), watch=tuple(lists["watch"]), n_dropped=n_dropped
    )


def _home(wanted: str, finding: Finding) -> tuple[str, str | None]:
    """Where a mention belongs, and why that is not where the model put it."""
    if wanted != "top" or finding.is_bet:
        return wanted, None
    if finding.insight is None:
        return "watch", "not a top pick: nothing of ours has judged it"
    if finding.insight.recommendation is Recommendation.AVOID:
        return "avoid", "not a top pick: our own verdict is AVOID"
    doubt = "; ".join(finding.insight.clamps) or f"our own verdict is {finding.insight.recommendation.value}"
    return "watch", f"not a top pick: {doubt}"


def _entry(finding: Finding, why: str, moved: str | None) -> DigestMarket:
    insight, quote = finding.insight, finding.quote
    return DigestMarket(
        market_key=finding.market.market_key,
        title=finding.title,
        why=why,
        url=finding.market.url,
        recommendation=None if insight is None else insight.recommendation,
        confidence=None if insight is None else insight.confidence,
        insight_id=None if insight is None else insight.insight_id,
        bid=None if quote is None else quote.bid,
        ask=None if quote is None else quote.ask,
        probability_yes=finding.forecast,
        moved=() if moved is None else (moved,),
    )


def _mid(quote: Quote | None) -> float | None:
    """A middle that means something: a forecast is not far from a price nobody quotes."""
    if quote is None or quote.mid is None or spread(quote.bid, quote.ask) is None:
        return None
    return quote.mid


def arbitrage_line(one: Arbitrage) -> DigestArbitrage:
    """What pays for certain, in one line of our own figures."""
    return DigestArbitrage(
        market_keys=tuple(leg.market_key for leg in one.legs),
        summary=summary(one),
        net_edge=round(float(per_contract(one)), 6),
    )


def render_markdown(digest: Digest) -> str:
    """The digest for people: our headings, our numbers, and the words as text that cannot become markup."""
    parts = [f"# {digest.day}: {digest.sentiment.value.lower()}", _escaped(digest.summary)]
    for heading, entries, none in (
        ("Top picks", digest.top_picks, "None today."),
        ("Avoid", digest.avoid, "None."),
        ("Watch", digest.watch, "Nothing."),
    ):
        parts.append(f"## {heading}\n\n" + ("\n".join(map(_line, entries)) or none))
    legs = [f"- {_escaped(a.summary)} (net {a.net_edge:.3f} a contract)" for a in digest.arbitrage]
    parts.append("## Arbitrage\n\n" + ("\n".join(legs) or "None found."))
    parts.append(
        f"{digest.n_considered} markets considered. Information, not advice. {_escaped(digest.model)},"
        f" {digest.created_at:%Y-%m-%d %H:%M} UTC."
    )
    return "\n\n".join(parts) + "\n"


def _line(entry: DigestMarket) -> str:
    numbers = [
        None if entry.bid is None else f"bid {entry.bid:.3f}",
        None if entry.ask is None else f"ask {entry.ask:.3f}",
        None if entry.probability_yes is None else f"our forecast {entry.probability_yes:.2f}",
        None
        if entry.recommendation is None
        else f"{entry.recommendation.value.replace('_', ' ')} {entry.confidence} %",
    ]
    shown = ", ".join(number for number in numbers if number is not None)
    moved = "".join(f" ({_escaped(reason)})" for reason in entry.moved)
    return f"- **{_escaped(entry.title)}** {shown}{': ' if shown else ''}{_escaped(entry.why)}{moved}"


def _escaped(text: str) -> str:
    """One line of text in which no sign means anything to Markdown."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
