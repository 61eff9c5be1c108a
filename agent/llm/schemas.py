"""What a model may answer: hand-written strict JSON schemas and the records that check them again.

Law: the schema is for the decoder, the struct is for us; neither is trusted alone. Every object forbids further
properties and requires all it has, bounds are checked here because strict decoding does not know them, and the
reasoning fields stand before the verdict. Ids are enums of this request's aliases, so none can be invented.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from sync.records import Percent, Position, Recommendation, Relation, Sentiment, TimeSensitivity, YesMapsTo

ALIAS = "M1"  # one market per call; more get M2, M3 …

# Strict decoding refuses these; bounds live in the structs.
_UNSUPPORTED = frozenset(
    {"minimum", "maximum", "pattern", "format", "minLength", "maxLength", "minItems", "maxItems", "default", "title"}
)
_UNSUPPORTED_AT_ROOT = frozenset({"anyOf", "oneOf", "not", "enum"})

ForecastProbability = Annotated[float, msgspec.Meta(ge=0.01, le=0.99)]


class ModelReply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every answer."""


class MarketReply(ModelReply, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer about one market; `market` is the alias it speaks of."""

    market: str


class AnalysisReply(MarketReply, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pattern read by a model, before our rules look at it."""

    reasoning: str
    what_happened: str
    why_it_matters: str
    edge_explanation: str
    risk_factors: list[str]
    leave_it_if: str
    recommendation: Recommendation
    confidence: Percent
    one_liner: str
    suggested_position: Position
    time_sensitivity: TimeSensitivity


class ForecastReply(MarketReply, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price-blind forecast: the steps, then one number that is never combined with anything."""

    time_left: str
    status_quo: str
    base_rate: str
    case_no: str
    case_yes: str
    probability_yes: ForecastProbability
    confidence: Percent


class DigestMention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One market in a digest, by alias, and why it stands there."""

    market: str
    why: str


class DigestReply(ModelReply, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A day's findings put in order, before our rules place them."""

    reasoning: str
    top_picks: list[DigestMention]
    avoid: list[DigestMention]
    watch: list[DigestMention]
    sentiment: Sentiment
    summary: str


class DifferenceKind(StrEnum):
    """In what two rules texts can part."""

    DEADLINE = "deadline"
    TIMEZONE = "timezone"
    THRESHOLD = "threshold"
    TIE = "tie"
    SOURCE = "source"
    SCOPE = "scope"
    VOID = "void"  # cancelled, postponed, annulled
    EARLY_CLOSE = "early_close"


class SaidDifference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where two rules texts part, in their own words."""

    kind: DifferenceKind
    quote_a: str
    quote_b: str


class RulesReply(ModelReply, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two rules texts compared, before code looks the quotes up. It has no field for a price or a profit."""

    condition_a: str
    condition_b: str
    differences: list[SaidDifference]
    reasoning: str
    relation: Relation
    yes_maps_to: YesMapsTo


R = TypeVar("R", bound=ModelReply)


@dataclass(frozen=True)
class ReplySchema(Generic[R]):
    """One kind of answer, with the call settings that suit it."""

    name: str
    json_schema: dict[str, Any]
    reply: type[R]
    aliases: tuple[str, ...]
    max_completion_tokens: int  # reasoning tokens included; too few cuts the JSON, too many eat the minute's limit
    temperature: float
    effort: str
    shape: dict[str, Any] | None = None  # the schema without the request's own aliases, where they vary

    def __post_init__(self) -> None:
        """Refuse a schema the service would answer with 400. Raises: ValueError."""
        faults = strict_faults(self.json_schema)
        if faults:
            raise ValueError(f"schema {self.name}: {'; '.join(faults)}")

    @cached_property
    def version(self) -> str:
        """Changes with any change of the schema; part of every stored row."""
        text = msgspec.json.encode(self.shape or self.json_schema, order="sorted")
        return f"{self.name}@{hashlib.sha256(text).hexdigest()[:8]}"


def strict_faults(schema: dict[str, Any], path: str = "$") -> list[str]:
    """Everything in a schema that strict mode refuses, one sentence each."""
    faults = [f"{path}: {word} is not supported" for word in sorted(_UNSUPPORTED & schema.keys())]
    if path == "$":
        faults += [f"$: {word} at the root" for word in sorted(_UNSUPPORTED_AT_ROOT & schema.keys())]
        if schema.get("type") != "object":
            faults.append("$: the root is not an object")
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            faults.append(f"{path}: additionalProperties is not false")
        if sorted(schema.get("required", [])) != sorted(properties):
            faults.append(f"{path}: required is not exactly the properties")
        for name, inner in properties.items():
            faults += strict_faults(inner, f"{path}.{name}")
    if schema.get("type") == "array":
        faults += strict_faults(schema.get("items", {}), f"{path}[]")
    return faults


def object_of(properties: dict[str, Any]) -> dict[str, Any]:
    """A strict object: every property required, nothing beside them."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def text_of(description: str) -> dict[str, Any]:
    """A text; its length is cut after parsing, strict decoding knows no bounds."""
    return {"type": "string", "description": description}


def enum_of(values: Any) -> dict[str, Any]:
    """One of these words."""
    return {"type": "string", "enum": [str(value) for value in values]}


_PERCENT = {"type": "integer", "description": "0 to 100"}

ANALYSIS = ReplySchema(
    name="analysis",
    json_schema=object_of(
        {
            "market": enum_of([ALIAS]),
            "reasoning": text_of("What the pattern most likely means, in at most five sentences."),
            "what_happened": text_of("What the pattern shows, in one or two plain sentences."),
            "why_it_matters": text_of("What it says about the question, or that it says nothing."),
            "edge_explanation": text_of("Why the price could be wrong, or why it is not."),
            "risk_factors": {"type": "array", "items": text_of("One risk, in a few words."), "description": "1 to 5."},
            "leave_it_if": text_of("When the reader should leave this market alone, in one sentence."),
            "recommendation": enum_of(Recommendation),
            "confidence": _PERCENT,
            "one_liner": text_of("One plain sentence for a notification."),
            "suggested_position": enum_of(Position),
            "time_sensitivity": enum_of(TimeSensitivity),
        }
    ),
    reply=AnalysisReply,
    aliases=(ALIAS,),
    max_completion_tokens=2_000,
    temperature=0.2,
    effort="low",
)

FORECAST = ReplySchema(
    name="forecast",
    json_schema=object_of(
        {
            "market": enum_of([ALIAS]),
            "time_left": text_of("How long until the question is decided."),
            "status_quo": text_of("What happens if nothing changes."),
            "base_rate": text_of("How often things of this kind happen in such a time."),
            "case_no": text_of("A short story that ends in NO."),
            "case_yes": text_of("A short story that ends in YES."),
            "probability_yes": {"type": "number", "description": "0.01 to 0.99"},
            "confidence": _PERCENT,
        }
    ),
    reply=ForecastReply,
    aliases=(ALIAS,),
    max_completion_tokens=1_200,
    temperature=0.3,  # one sample: near the middle of what the model believes
    effort="medium",
)


RULES = ReplySchema(
    name="rules",
    json_schema=object_of(
        {
            "condition_a": text_of("The clause of A's rules that decides, word for word."),
            "condition_b": text_of("The clause of B's rules that decides, word for word."),
            "differences": {
                "type": "array",
                "items": object_of(
                    {
                        "kind": enum_of(DifferenceKind),
                        "quote_a": text_of("A's words, word for word."),
                        "quote_b": text_of("B's words, word for word."),
                    }
                ),
                "description": "Everything in which they can pay differently; none if nothing can.",
            },
            "reasoning": text_of("In which worlds they part, in at most four sentences."),
            "relation": enum_of(Relation),
            "yes_maps_to": enum_of(YesMapsTo),
        }
    ),
    reply=RulesReply,
    aliases=(),
    max_completion_tokens=2_000,
    temperature=0.2,
    effort="low",
)


def _mentions(aliases: Sequence[str], description: str) -> dict[str, Any]:
    item = object_of({"market": enum_of(aliases), "why": text_of("One plain sentence, from what you were given.")})
    return {"type": "array", "items": item, "description": description}


def _digest_shape(aliases: Sequence[str]) -> dict[str, Any]:
    return object_of(
        {
            "reasoning": text_of("What the day was about and which findings matter, in at most six sentences."),
            "top_picks": _mentions(aliases, "At most 5, the best first; none is a good answer."),
            "avoid": _mentions(aliases, "At most 5."),
            "watch": _mentions(aliases, "At most 8: nothing to do yet, worth a look tomorrow."),
            "sentiment": enum_of(Sentiment),
            "summary": text_of("Two or three plain sentences for somebody with one minute."),
        }
    )


_DIGEST_SHAPE = _digest_shape([ALIAS])


def digest_schema(aliases: Sequence[str]) -> ReplySchema[DigestReply]:
    """The shape of one day's digest: it can speak of these aliases only."""
    return ReplySchema(
        name="digest",
        json_schema=_digest_shape(aliases),
        reply=DigestReply,
        aliases=tuple(aliases),
        max_completion_tokens=2_500,
        temperature=0.2,
        effort="low",
        shape=_DIGEST_SHAPE,
    )
