"""Pairs: which questions are asked on both venues? Three minutes after each collect.

Law: texts decide first, and deterministically; a model is asked about rules only, for few pairs, once for each wording;
the operator's list stands above both. The first match after a start works in a thread, tick by tick only what changed
is read. Without a model the texts' verdicts stand and say that nobody compared the rules.
"""

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec
import structlog
import uuid_utils

from agent.core.arbitrage.find import rough_gap
from agent.core.matching.candidates import Candidate, Matcher
from agent.core.matching.judge import Judgement
from agent.core.matching.operator import PairKeys, PairList, read_pair_list
from agent.core.matching.rules import Decided, RulesVerdict, Word, decide, rules_hash, shown_digest
from agent.jobs.context import Job, RunContext, Unit
from agent.jobs.rules import compared, rules_version
from agent.llm.budget import Purpose
from agent.llm.gateway import Gateway
from agent.store.db import Store
from agent.store.matches import (
    load_changed,
    load_matches,
    load_rules_verdicts,
    load_unlisted,
    save_matches,
    save_rules_verdict,
)
from agent.store.quotes import load_latest_quotes
from agent.store.tx import Tx
from sync.records import JudgedBy, Market, Match, Relation, YesMapsTo

PAGE = 1_000  # listings read into the matcher at a time: some 0.2 s of a thread
OVERLAP = timedelta(minutes=20)  # a page fetched before the last look may have been stored after it
PROVEN = (Relation.EQUIVALENT, Relation.A_IMPLIES_B, Relation.B_IMPLIES_A)
WITHDRAWN = "the listings do not ask the same any more"
NEARER = "another listing is nearer to one of them"

_decode = msgspec.json.Decoder(Market).decode
log = structlog.get_logger("pairs")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """How much is worth asking about, and where the operator's list is."""

    list_path: Path
    per_run: int = 5  # pairs whose rules are compared, two calls each; the day's share pays about 25
    least_score: float = 0.5  # of words in common, for a pair the texts leave in doubt
    least_gap: float = 0.02  # before fees, for a pair the texts call proven


class Listings:
    """What the matcher knows, kept between runs, with the identity of what a judge of rules would be shown."""

    def __init__(self) -> None:
        self.matcher = Matcher()
        self._shown: dict[str, bytes] = {}
        self._ruled: set[str] = set()  # whose rules are published
        self._since: datetime | None = None

    async def look(self, store: Store, now: datetime) -> int:
        """Take in what changed since the last look, or everything. Returns: how many texts were new."""
        n_read, after = 0, 0
        while True:
            bodies, after = await load_changed(store.reader, self._since, after, PAGE)
            if not bodies:
                break
            n_read += await asyncio.to_thread(self._take_in, bodies)
        if self._since is not None:
            gone = await load_unlisted(store.reader, self._since)
            await asyncio.to_thread(self.matcher.update, [], gone)
        self._since = now - OVERLAP
        return n_read

    def _take_in(self, bodies: Sequence[bytes]) -> int:
        markets = [_decode(body) for body in bodies]
        self._shown |= {market.market_key: shown_digest(market) for market in markets}
        self._ruled.difference_update(market.market_key for market in markets)
        self._ruled |= {market.market_key for market in markets if market.rules_text}
        return self.matcher.update(markets)

    def rules_hash(self, keys: PairKeys) -> str | None:
        """Identity of what a judge would be shown of a pair the matcher named; None where a side has no rules."""
        if not self._ruled.issuperset(keys):
            return None
        return rules_hash(self._shown[keys[0]], self._shown[keys[1]])


class Pairing:
    """The job, with what it remembers between its runs."""

    def __init__(self, store: Store, gateway: Gateway, options: PairOptions) -> None:
        self._store, self._gateway, self._options = store, gateway, options
        self._listings, self._words = Listings(), PairList()
        self._asked: set[tuple[date, str]] = set()  # today, by what was shown: no valid answer, or none yet

    async def __call__(self, ctx: RunContext, slot: datetime) -> None:
        """Read what is new, decide every pair, store what changed."""
        store, now = self._store, ctx.now
        words = self._words = await asyncio.to_thread(read_list, self._options.list_path, self._words)
        for fault in words.faults:
            ctx.partial(f"{self._options.list_path.name}: {fault}")
        ctx.count(read=await self._listings.look(store, now))
        candidates = {keys_of(one): one for one in await asyncio.to_thread(self._listings.matcher.candidates)}
        hashes = {keys: digest for keys in candidates if (digest := self._listings.rules_hash(keys)) is not None}
        known = dict(await load_rules_verdicts(store.reader, set(hashes.values()), rules_version()))
        news = await self._compare(ctx, candidates, hashes, known)
        matches = await asyncio.to_thread(judged, candidates, hashes, {**known, **news}, words.words, now=now)
        changed = changes(matches, await load_matches(store.reader), now)
        n_changed = await ctx.step(f"pairs:{slot.isoformat()}", lambda: _saved(changed, news, now))
        ctx.count(candidates=len(candidates), compared=len(news), changed=n_changed)
        ctx.count(equivalent=sum(one.relation is Relation.EQUIVALENT for one in matches))

    async def _compare(
        self,
        ctx: RunContext,
        candidates: Mapping[PairKeys, Candidate],
        hashes: Mapping[PairKeys, str],
        known: Mapping[str, RulesVerdict],
    ) -> Mapping[str, RulesVerdict]:
        """Ask about the pairs that are worth it most, each wording once; none without a model."""
        today = ctx.now.date()
        self._asked = {(day, digest) for day, digest in self._asked if day == today}
        open_ones = {
            keys: one
            for keys, one in candidates.items()
            if one.mutual_best
            and keys not in self._words.words
            and (digest := hashes.get(keys)) is not None
            and digest not in known
            and (today, digest) not in self._asked
        }
        chosen = await _most_worth_asking(self._store, open_ones, self._options)
        if not chosen:
            return {}
        if (reason := await self._gateway.unready_reason(Purpose.MATCHING)) is not None:
            ctx.count(uncompared=len(chosen))
            log.info("rules not compared", action="rules_not_compared", n=len(chosen), reason=reason)
            return {}
        self._asked |= {(today, hashes[keys]) for keys in chosen}
        return await compared(ctx, self._store, self._gateway, {keys: hashes[keys] for keys in chosen})


def pairs_job(store: Store, gateway: Gateway, options: PairOptions) -> Job:
    """Wire the job."""
    return Pairing(store, gateway, options)


_UNSEEN = Judgement(Relation.UNCLEAR)


def read_list(path: Path, last_good: PairList) -> PairList:
    """The operator's list as the file has it now; a file that cannot be read leaves the last list standing."""
    try:
        return read_pair_list(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return PairList()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        return PairList(last_good.words, (f"cannot be read, the last list stands: {exc}",))


def keys_of(candidate: Candidate) -> PairKeys:
    """The pair as the operator's list and the store name it."""
    return candidate.kalshi_key, candidate.polymarket_key


def _text_verdict(candidate: Candidate) -> Judgement:
    """The texts' word; two listings can only be one question if neither has a nearer one."""
    judgement = candidate.judgement
    if judgement.relation is Relation.EQUIVALENT and not candidate.mutual_best:
        return Judgement(Relation.UNCLEAR, reasons=(*judgement.reasons, NEARER))
    return judgement


async def _most_worth_asking(
    store: Store, candidates: Mapping[PairKeys, Candidate], options: PairOptions
) -> list[PairKeys]:
    """First the proven pairs whose prices stand apart, the widest gap first; then those in doubt, the nearest first."""
    proven = [keys for keys, one in candidates.items() if one.judgement.relation in PROVEN]
    quotes = await load_latest_quotes(store.reader, {key for keys in proven for key in keys})
    gaps = dict[PairKeys, float]()
    for keys in proven:
        a, b = (quotes.get(key) for key in keys)
        gap = None if a is None or b is None else rough_gap(candidates[keys].judgement, a, b)
        if gap is not None and gap >= options.least_gap:
            gaps[keys] = gap
    doubtful = [
        keys
        for keys, one in candidates.items()
        if one.judgement.relation is Relation.UNCLEAR and one.score >= options.least_score
    ]
    ordered = sorted(gaps, key=lambda keys: (-gaps[keys], keys))
    ordered += sorted(doubtful, key=lambda keys: (-candidates[keys].score, keys))
    return ordered[: options.per_run]


def judged(
    candidates: Mapping[PairKeys, Candidate],
    hashes: Mapping[PairKeys, str],
    verdicts: Mapping[str, RulesVerdict],
    words: Mapping[PairKeys, Word],
    *,
    now: datetime,
) -> list[Match]:
    """The last word on every pair somebody would look for: proven by texts, or judged by rules or operator. Pure."""
    found = list[Match]()
    for keys in candidates.keys() | words.keys():
        candidate, digest = candidates.get(keys), hashes.get(keys)
        texts = _UNSEEN if candidate is None else _text_verdict(candidate)
        decided = decide(texts, None if digest is None else verdicts.get(digest), words.get(keys))
        if decided.by is not JudgedBy.TEXT or decided.judgement.relation in PROVEN:
            score = None if candidate is None else round(candidate.score, 6)
            found.append(_match(keys, decided, score, digest, now))
    return found


def _match(keys: PairKeys, decided: Decided, score: float | None, digest: str | None, now: datetime) -> Match:
    judgement, rules = decided.judgement, decided.rules
    return Match(
        match_id=str(uuid_utils.uuid7()),
        kalshi_key=keys[0],
        polymarket_key=keys[1],
        relation=judgement.relation,
        yes_maps_to=judgement.yes_maps_to,
        judged_by=decided.by,
        judged_at=now,
        score=score,
        by_time=judgement.by_time,
        reasons=judgement.reasons,
        differences=() if rules is None else rules.differences,
        rules_hash=None if rules is None else digest,
        model=None if rules is None else rules.model,
        prompt_version=None if rules is None else rules.prompt_version,
    )


def changes(matches: Sequence[Match], held: Sequence[Match], now: datetime) -> list[Match]:
    """What is new against the last verdicts, and what none of our sources says any more. Pure."""
    before = {(one.kalshi_key, one.polymarket_key): one for one in held}
    found = list[Match]()
    for one in matches:
        last = before.pop((one.kalshi_key, one.polymarket_key), None)
        if last is None or msgspec.structs.replace(one, match_id=last.match_id, judged_at=last.judged_at) != last:
            found.append(one)
    withdrawn = (one for one in before.values() if one.relation is not Relation.DIFFERENT)
    return found + [_withdrawn(one, now) for one in withdrawn]


def _withdrawn(match: Match, now: datetime) -> Match:
    return Match(
        match_id=str(uuid_utils.uuid7()),
        kalshi_key=match.kalshi_key,
        polymarket_key=match.polymarket_key,
        relation=Relation.DIFFERENT,
        yes_maps_to=YesMapsTo.UNCLEAR,
        judged_by=JudgedBy.TEXT,
        judged_at=now,
        reasons=(WITHDRAWN,),
    )


async def _saved(changed: Sequence[Match], news: Mapping[str, RulesVerdict], now: datetime) -> Unit:
    async def save(tx: Tx) -> None:
        for digest, verdict in news.items():
            await save_rules_verdict(tx, digest, verdict, now)
        await save_matches(tx, changed)

    return Unit(len(changed), save)
