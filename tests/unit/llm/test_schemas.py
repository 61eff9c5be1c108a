"""Schemas that strict decoding accepts, and structs that check what it cannot."""

import msgspec
import pytest

from agent.llm.schemas import (
    ANALYSIS,
    FORECAST,
    AnalysisReply,
    DigestReply,
    ForecastReply,
    ReplySchema,
    digest_schema,
    strict_faults,
)
from sync.records import Position, Recommendation, Sentiment, TimeSensitivity

SCHEMAS = [ANALYSIS, FORECAST, digest_schema(["M1", "M2"])]
ANALYSIS_ANSWER = {
    "market": "M1",
    "reasoning": "r",
    "what_happened": "h",
    "why_it_matters": "m",
    "leave_it_if": "l",
    "edge_explanation": "e",
    "risk_factors": ["a"],
    "recommendation": "CAUTION",
    "confidence": 55,
    "one_liner": "o",
    "suggested_position": "WAIT",
    "time_sensitivity": "DAYS",
}
FORECAST_ANSWER = {
    "market": "M1",
    "time_left": "t",
    "status_quo": "s",
    "base_rate": "b",
    "case_no": "n",
    "case_yes": "y",
    "probability_yes": 0.2,
    "confidence": 55,
}


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: s.name)
def test_schemas_pass_the_strict_rules(schema):
    """A violation is a 400 before the model runs; a missing additionalProperties was the commonest of all."""
    assert strict_faults(schema.json_schema) == []


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda s: s.name)
def test_schema_and_struct_have_the_same_fields(schema):
    """The decoder's shape and ours must not drift apart, nor the vocabularies."""
    properties = schema.json_schema["properties"]

    assert list(properties) == list(schema.reply.__struct_fields__)
    for name, vocabulary in {
        "recommendation": Recommendation,
        "suggested_position": Position,
        "time_sensitivity": TimeSensitivity,
        "sentiment": Sentiment,
    }.items():
        if name in properties:
            assert properties[name]["enum"] == [item.value for item in vocabulary]


def test_reasoning_stands_before_the_verdict():
    """With constrained decoding the order of fields is the order of thought."""
    analysis, forecast = list(ANALYSIS.json_schema["properties"]), list(FORECAST.json_schema["properties"])

    assert analysis.index("reasoning") < analysis.index("recommendation") < analysis.index("confidence")
    assert forecast.index("case_yes") < forecast.index("probability_yes")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ({"additionalProperties": True}, "additionalProperties"),
        ({"required": ["gone"]}, "required"),
        ({"anyOf": []}, "anyOf at the root"),
        ({"type": "array", "items": {}}, "not an object"),
        ({"properties": {"a": {"type": "integer", "minimum": 0}}, "required": ["a"]}, "$.a: minimum"),
        (
            {"properties": {"a": {"type": "array", "items": {"type": "string", "maxLength": 3}}}, "required": ["a"]},
            "$.a[]: maxLength",
        ),
    ],
)
def test_a_schema_the_service_would_refuse_is_refused_here(spoil, words):
    """Our own bug must show when the program starts, not as a 400 in the night."""
    spoilt = {"type": "object", "properties": {}, "required": [], "additionalProperties": False} | spoil

    with pytest.raises(ValueError, match="schema x") as caught:
        ReplySchema(
            name="x",
            json_schema=spoilt,
            reply=AnalysisReply,
            aliases=("M1",),
            max_completion_tokens=1,
            temperature=0,
            effort="low",
        )
    assert words in str(caught.value)


def test_a_changed_schema_is_another_version():
    """Stored rows must tell which shape was asked for."""
    assert ANALYSIS.version != FORECAST.version
    assert ANALYSIS.version.startswith("analysis@")


@pytest.mark.parametrize(
    "spoil",
    [
        {"confidence": 101},
        {"confidence": -1},
        {"confidence": "55"},
        {"confidence": True},
        {"confidence": 55.5},
        {"recommendation": "BUY"},
        {"suggested_position": "yes"},
        {"risk_factors": "none"},
        {"price": 0.4},
    ],
)
def test_an_analysis_outside_the_rules_is_no_answer(spoil):
    """Ranges, vocabularies and types are checked here again; nothing is bent into shape."""
    msgspec.convert(ANALYSIS_ANSWER, AnalysisReply)

    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(ANALYSIS_ANSWER | spoil), type=AnalysisReply)


@pytest.mark.parametrize("probability", [0, 0.005, 0.995, 1, 20, -0.1, "0.2", None, True])
def test_a_forecast_outside_one_to_ninety_nine_percent_is_no_answer(probability):
    """Certainty is a mistake, percent a misunderstanding; neither is turned into a number."""
    msgspec.convert(FORECAST_ANSWER, ForecastReply)

    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(FORECAST_ANSWER | {"probability_yes": probability}), type=ForecastReply)


def test_a_digest_can_name_only_the_markets_of_its_request():
    """Under strict decoding an invented alias cannot be written at all."""
    lists = digest_schema(["M1", "M2"]).json_schema["properties"]

    for name in ("top_picks", "avoid", "watch"):
        assert lists[name]["items"]["properties"]["market"]["enum"] == ["M1", "M2"]
    assert list(lists).index("reasoning") < list(lists).index("top_picks") < list(lists).index("sentiment")


def test_the_number_of_markets_does_not_make_a_digest_another_version():
    """Else every day would be a version of its own and none could be compared."""
    assert digest_schema(["M1"]).version == digest_schema(["M1", "M2", "M3"]).version


@pytest.mark.parametrize(
    "spoil",
    [
        {"sentiment": "EUPHORIC"},
        {"top_picks": ["M1"]},
        {"avoid": [{"market": "M1"}]},
        {"watch": [{"market": "M1", "why": "w", "price": 0.4}]},
        {"summary": None},
        {"tip": "buy"},
    ],
)
def test_a_digest_outside_the_rules_is_no_answer(spoil):
    """The lists' entries are checked as closely as everything else."""
    good = {"reasoning": "r", "top_picks": [{"market": "M1", "why": "w"}], "avoid": [], "watch": [], "sentiment": "CALM",
            "summary": "s"}  # fmt: skip
    msgspec.convert(good, DigestReply)

    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(good | spoil), type=DigestReply)
