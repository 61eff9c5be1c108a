"""What a model may answer: hand-written strict JSON schemas and the records that check them again.

Law: the schema is for the decoder, the struct is for us; neither is trusted alone. Every object forbids further
properties and requires all it has, bounds are checked here because strict decoding does not know them, and the
reasoning fields stand before the verdict. Ids are enums of this request's aliases, so none can be invented.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from sync.records import Percent, Position, Recommendation, Sentiment, TimeSensitivity

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
    edge_explanation: str
    risk_factors: list[str]
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


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}


def _enum(values: Any) -> dict[str, Any]:
    return {"type": "string", "enum": [str(value) for value in values]}


_PERCENT = {"type": "integer", "description": "0 to 100"}

ANALYSIS = ReplySchema(
    name="analysis",
    json_schema=_object(
        {
            "market": _enum([ALIAS]),
            "reasoning": _text("What the pattern most likely means, in at most five sentences."),
            "edge_explanation": _text("Why the price could be wrong, or why it is not."),
            "risk_factors": {"type": "array", "items": _text("One risk, in a few words."), "description": "1 to 5."},
            "recommendation": _enum(Recommendation),
            "confidence": _PERCENT,
            "one_liner": _text("One plain sentence for a notification."),
            "suggested_position": _enum(Position),
            "time_sensitivity": _enum(TimeSensitivity),
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
    json_schema=_object(
        {
            "market": _enum([ALIAS]),
            "time_left": _text("How long until the question is decided."),
            "status_quo": _text("What happens if nothing changes."),
            "base_rate": _text("How often things of this kind happen in such a time."),
            "case_no": _text("A short story that ends in NO."),
            "case_yes": _text("A short story that ends in YES."),
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


def _mentions(aliases: Sequence[str], description: str) -> dict[str, Any]:
    item = _object({"market": _enum(aliases), "why": _text("One plain sentence, from what you were given.")})
    return {"type": "array", "items": item, "description": description}


def _digest_shape(aliases: Sequence[str]) -> dict[str, Any]:
    return _object(
        {
            "reasoning": _text("What the day was about and which findings matter, in at most six sentences."),
            "top_picks": _mentions(aliases, "At most 5, the best first; none is a good answer."),
            "avoid": _mentions(aliases, "At most 5."),
            "watch": _mentions(aliases, "At most 8: nothing to do yet, worth a look tomorrow."),
            "sentiment": _enum(Sentiment),
            "summary": _text("Two or three plain sentences for somebody with one minute."),
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
