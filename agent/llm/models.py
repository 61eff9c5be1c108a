"""Which models we know: names, retirements, prices, what they can be asked. Pure.

Law: configuration names models, this table only explains them. A name of the old price list is an alias, a retired
model is replaced and the replacement is said in words, an unknown model is allowed and priced as the dearest known.
Prices are US dollars per million tokens as of PRICES_AS_OF; costs are integer nano-dollars, rounded up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

PRICES_AS_OF = "2026-11"

_ALIASES = {  # labels of the old price list, never API ids
    "gpt-oss-20b-128k": "openai/gpt-oss-20b",
    "gpt-oss-120b-128k": "openai/gpt-oss-120b",
    "qwen3-32b-131k": "qwen/qwen3-32b",
    "llama-4-scout-17bx16e-128k": "meta-llama/llama-4-scout-17b-16e-instruct",
}
_RETIRED = {  # model: (day it was shut down, what does its work now)
    "qwen/qwen3-32b": ("2026-07-17", "openai/gpt-oss-120b"),
    "meta-llama/llama-4-scout-17b-16e-instruct": ("2026-07-17", "openai/gpt-oss-120b"),
    "meta-llama/llama-4-maverick-17b-128e-instruct": ("2026-03-09", "openai/gpt-oss-120b"),
    "llama-3.3-70b-versatile": ("2026-08-16", "openai/gpt-oss-120b"),
    "llama-3.1-8b-instant": ("2026-08-16", "openai/gpt-oss-20b"),
}


class JsonMode(StrEnum):
    """How a model can be held to a schema, the strongest first."""

    STRICT = "strict"  # constrained decoding: form is certain, length is not
    BEST_EFFORT = "best_effort"
    JSON_OBJECT = "json_object"  # JSON of any shape; the schema is only text in the prompt

    @property
    def weaker(self) -> "JsonMode | None":
        """The next mode down the ladder."""
        return {JsonMode.STRICT: JsonMode.BEST_EFFORT, JsonMode.BEST_EFFORT: JsonMode.JSON_OBJECT}.get(self)


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens: prompt, cached prompt, completion (reasoning included)."""

    prompt: Decimal
    cached: Decimal
    completion: Decimal

    def cost_nano(self, *, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> int:
        """Cost in nano-dollars, rounded up; cached tokens are part of the prompt tokens."""
        cached = min(max(cached_tokens, 0), prompt_tokens)
        # One dollar per million tokens is 1,000 nano-dollars per token.
        nano = 1000 * (
            (prompt_tokens - cached) * self.prompt + cached * self.cached + completion_tokens * self.completion
        )
        return int(nano.to_integral_value(ROUND_CEILING))


@dataclass(frozen=True, slots=True)
class Profile:
    """What we know of one model."""

    model: str
    price: Price
    json_mode: JsonMode
    reasons: bool  # takes reasoning_effort and include_reasoning
    max_completion_tokens: int


def _price(prompt: str, cached: str, completion: str) -> Price:
    return Price(Decimal(prompt), Decimal(cached), Decimal(completion))


FREE = _price("0", "0", "0")  # a server of one's own bills nobody

_KNOWN = {
    profile.model: profile
    for profile in (
        Profile("openai/gpt-oss-20b", _price("0.075", "0.0375", "0.30"), JsonMode.STRICT, True, 65_536),
        Profile("openai/gpt-oss-120b", _price("0.15", "0.075", "0.60"), JsonMode.STRICT, True, 65_536),
        Profile("qwen/qwen3.8-27b", _price("0.80", "0.40", "4.00"), JsonMode.BEST_EFFORT, True, 16_384),
        Profile("qwen/qwen3.6-27b", _price("0.60", "0.30", "3.00"), JsonMode.BEST_EFFORT, False, 16_384),
    )
}
_DEAREST = max((profile.price for profile in _KNOWN.values()), key=lambda price: price.completion)


def profile_of(model: str) -> Profile:
    """The profile of a model id; an unknown one gets the dearest price and the most careful capabilities."""
    return _KNOWN.get(model) or Profile(model, _DEAREST, JsonMode.BEST_EFFORT, False, 8_192)


def chain_of(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Real ids for configured names, in order and each once, and what had to be changed, in words."""
    models, notes = list[str](), list[str]()
    for name in names:
        model = _ALIASES.get(name.strip(), name.strip())
        if model in _RETIRED:
            day, successor = _RETIRED[model]
            notes.append(f"model {name}: shut down {day}, using {successor}")
            model = successor
        if model and model not in models:
            models.append(model)
    return tuple(models), tuple(notes)
