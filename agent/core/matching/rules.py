"""What a comparison of two rules texts is worth, and who has the last word on a pair. Pure.

Law: a model's word on rules counts only where its quotes stand in both texts and a second sample, asked with the places
changed, says the same; anything less is UNCLEAR. The operator's list stands above it, the texts' own verdict below it,
and where texts and rules disagree on which side is which, nobody is believed. facts: scoring.md 6.3.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.core.matching.judge import Judgement
from agent.core.matching.text import fold
from sync.records import JudgedBy, Market, Relation, RuleDifference, YesMapsTo

LEAST_QUOTE = 12  # characters: "yes" and "the market" stand in every text
MOST_DIFFERENCES = 8
NOT_COMPARED = "their rules were not compared by anyone"
_TURNED = {Relation.A_IMPLIES_B: Relation.B_IMPLIES_A, Relation.B_IMPLIES_A: Relation.A_IMPLIES_B}
_SIDED = frozenset((Relation.EQUIVALENT, Relation.A_IMPLIES_B, Relation.B_IMPLIES_A))
_SIDES = frozenset((YesMapsTo.YES, YesMapsTo.NO))


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesSample:
    """What one reading of two rules texts came to; A and B as the pair has them."""

    relation: Relation
    yes_maps_to: YesMapsTo
    condition_a: str  # the words that decide, quoted
    condition_b: str
    differences: tuple[RuleDifference, ...] = ()

    def turned(self) -> "RulesSample":
        """The same reading with the places changed."""
        return RulesSample(
            # A implies not B is B implies not A
            relation=self.relation if self.yes_maps_to is YesMapsTo.NO else _TURNED.get(self.relation, self.relation),
            yes_maps_to=self.yes_maps_to,
            condition_a=self.condition_b,
            condition_b=self.condition_a,
            differences=tuple(
                RuleDifference(kind=one.kind, quote_a=one.quote_b, quote_b=one.quote_a) for one in self.differences
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesVerdict:
    """What the samples agree on, or why they do not."""

    relation: Relation
    yes_maps_to: YesMapsTo
    reasons: tuple[str, ...]
    differences: tuple[RuleDifference, ...]
    model: str
    prompt_version: str


@dataclass(frozen=True, slots=True)
class Word:
    """What the operator's list says of a pair."""

    allowed: bool
    inverted: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """The last word on a pair."""

    judgement: Judgement
    by: JudgedBy
    rules: RulesVerdict | None = None  # where they had it


def rules_hash(a: bytes, b: bytes) -> str:
    """Identity of what the judge of rules is shown, out of both markets' `shown_digest`."""
    return hashlib.blake2b(a + b, digest_size=16).hexdigest()


def shown_digest(market: Market) -> bytes:
    """Identity of a market's part in it: a change of any of these words asks for a new verdict."""
    shown = (
        market.title, market.event_title, market.proposition, market.outcome_labels, market.category,
        market.rules_text,
    )  # fmt: skip
    return hashlib.blake2b(json.dumps(shown).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def verdict(
    samples: Sequence[RulesSample], rules_a: str, rules_b: str, *, model: str, prompt_version: str
) -> RulesVerdict:
    """What the samples are worth together.

    Args:
        samples: at least two, with A and B in the pair's own places.
        rules_a, rules_b: the texts as published; quotes must stand in them word for word.
    """
    reasons = [doubt for sample in samples if (doubt := _doubt(sample, rules_a, rules_b)) is not None]
    first = samples[0]
    said = {(sample.relation, sample.yes_maps_to) for sample in samples}
    if not reasons and len(said) > 1:
        told = " and ".join(sorted(f"{relation} ({side})" for relation, side in said))
        reasons.append(f"two readings of the rules differ: {told}")
    unsure = bool(reasons) or len(samples) < 2
    differences = () if unsure else tuple(dict.fromkeys(one for sample in samples for one in sample.differences))
    return RulesVerdict(
        relation=Relation.UNCLEAR if unsure else first.relation,
        yes_maps_to=YesMapsTo.UNCLEAR if unsure else first.yes_maps_to,
        reasons=tuple(reasons) or (f"rules compared: they differ in {len(differences)} points",),
        differences=differences[:MOST_DIFFERENCES],
        model=model,
        prompt_version=prompt_version,
    )


def decide(texts: Judgement, rules: RulesVerdict | None, word: Word | None) -> Decided:
    """Who is believed: the operator, then the rules, then the texts alone."""
    if word is not None:
        return Decided(_operators(word), JudgedBy.OPERATOR)
    if rules is None:
        reasons = (*texts.reasons, NOT_COMPARED) if texts.relation in _SIDED else texts.reasons
        return Decided(replace(texts, reasons=reasons), JudgedBy.TEXT)
    if texts.yes_maps_to in _SIDES and rules.yes_maps_to in _SIDES and texts.yes_maps_to is not rules.yes_maps_to:
        reasons = (*texts.reasons, "titles and rules disagree on which side is which")
        return Decided(Judgement(Relation.UNCLEAR, reasons=reasons), JudgedBy.RULES, rules)
    by_time = texts.by_time and rules.relation is texts.relation
    judgement = Judgement(rules.relation, rules.yes_maps_to, (*texts.reasons, *rules.reasons), by_time)
    return Decided(judgement, JudgedBy.RULES, rules)


def _operators(word: Word) -> Judgement:
    note = () if word.note is None else (word.note,)
    if not word.allowed:
        return Judgement(Relation.DIFFERENT, reasons=("forbidden by the operator's list", *note))
    side = YesMapsTo.NO if word.inverted else YesMapsTo.YES
    return Judgement(Relation.EQUIVALENT, side, ("on the operator's list", *note))


def _doubt(sample: RulesSample, rules_a: str, rules_b: str) -> str | None:
    """Why a sample cannot be believed; None where it can."""
    if sample.relation in _SIDED and sample.yes_maps_to not in _SIDES:
        return "a reading of the rules names a relation and not its side"
    quotes = [(sample.condition_a, sample.condition_b)]
    quotes += [(one.quote_a, one.quote_b) for one in sample.differences]
    if all(_stands(quote_a, rules_a) and _stands(quote_b, rules_b) for quote_a, quote_b in quotes):
        return None
    return "a reading of the rules quotes words that do not stand in them"


def _stands(quote: str, text: str) -> bool:
    """Word for word, but for capitals, spacing and the forms of quotation marks."""
    folded = fold(quote)
    return len(folded) >= LEAST_QUOTE and folded in fold(text)
