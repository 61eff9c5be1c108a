"""Which models we know: names, retirements, prices, what they can be asked. Pure.

Law: configuration names models, this table only explains them. A name of the old price list is an alias, a retired
model is replaced and the replacement is said in words, what is no chat model is left out in words, an unknown model is
allowed and priced as the dearest known. Prices are US dollars per million tokens as of PRICES_AS_OF until the service's
own list says otherwise (listing.py); costs are integer nano-dollars, rounded up.
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
    "deepseek-r1-distill-llama-70b": ("in 2025", "openai/gpt-oss-120b"),
    "gemma2-9b-it": ("in 2025", "openai/gpt-oss-20b"),
    "qwen-qwq-32b": ("in 2025", "openai/gpt-oss-120b"),
}
_SEARCHES = "it searches the web, where a blind forecaster would find the price, and knows no JSON schema"
_NO_CHAT = {  # what the service also offers and we cannot ask
    "meta-llama/llama-prompt-guard-2-22m": "a classifier of 512 tokens",
    "meta-llama/llama-prompt-guard-2-86m": "a classifier of 512 tokens",
    "groq/compound": _SEARCHES,
    "groq/compound-mini": _SEARCHES,
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
    as_of: str = PRICES_AS_OF  # stored with each call, so that a cost can be explained later

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
    efforts: tuple[str, ...] = ()  # what reasoning_effort may say; none: the parameter is left out
    context_tokens: int = 131_072  # prompt and answer together
    max_completion_tokens: int = 65_536

    def effort(self, wanted: str) -> str | None:
        """The effort to ask for, where the model knows such a one."""
        return wanted if wanted in self.efforts else None


def _price(prompt: str, cached: str, completion: str) -> Price:
    return Price(Decimal(prompt), Decimal(cached), Decimal(completion))


FREE = Price(Decimal(0), Decimal(0), Decimal(0), "own server")  # bills nobody

_EFFORTS = ("low", "medium", "high")
_20B, _120B = _price("0.075", "0.0375", "0.30"), _price("0.15", "0.075", "0.60")
_GUARD, _QWEN_38, _QWEN_36 = (
    _price("0.075", "0.037", "0.30"),
    _price("0.80", "0.40", "4.00"),
    _price("0.60", "0.30", "3.00"),
)
_STRICT, _LOOSE = JsonMode.STRICT, JsonMode.BEST_EFFORT  # only the two gpt-oss models decode under a schema

_KNOWN = {
    profile.model: profile
    for profile in (
        Profile("openai/gpt-oss-20b", _20B, _STRICT, efforts=_EFFORTS),
        Profile("openai/gpt-oss-120b", _120B, _STRICT, efforts=_EFFORTS),
        Profile("openai/gpt-oss-safeguard-20b", _GUARD, _LOOSE),  # whether it takes an effort is not documented
        # Sources differ on the last 30 tokens of its context: the smaller number never fails.
        Profile(
            "qwen/qwen3.8-27b", _QWEN_38, _LOOSE, efforts=_EFFORTS, context_tokens=131_042, max_completion_tokens=16_384
        ),
        # Knows only "none" and "default": left out, which is the default.
        Profile("qwen/qwen3.6-27b", _QWEN_36, _LOOSE, max_completion_tokens=16_384),
    )
}
_DEAREST = max((profile.price for profile in _KNOWN.values()), key=lambda price: price.completion)


def profile_of(model: str) -> Profile:
    """The profile of a model id; an unknown one gets the dearest price and the most careful capabilities."""
    return _KNOWN.get(model) or Profile(model, _DEAREST, JsonMode.BEST_EFFORT, max_completion_tokens=8_192)


def chain_of(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Real ids for configured names, in order and each once, and what had to be changed, in words."""
    models, notes = list[str](), list[str]()
    for name in names:
        model = _ALIASES.get(name.strip(), name.strip())
        if model in _RETIRED:
            day, successor = _RETIRED[model]
            notes.append(f"model {name}: shut down {day}, using {successor}")
            model = successor
        if model in _NO_CHAT:
            notes.append(f"model {name}: left out: {_NO_CHAT[model]}")
        elif model and model not in models:
            models.append(model)
    return tuple(models), tuple(notes)
