"""One call to a model as plain values: what goes out, what comes back. Pure.

Law: nothing here belongs to an SDK, so the gateway can be tested against anything that answers a `Call`. What a call
can cost at most is computed here: every token is at least one byte, so bytes bound the prompt from above.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from agent.llm.models import JsonMode, Price
from agent.llm.prompt import Prompt
from agent.llm.schemas import ReplySchema

_FRAME_TOKENS = 300  # the chat template around our words; measured templates stay below 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request, before it is one."""

    model: str
    system: str
    user: str
    response_format: dict[str, Any]
    max_completion_tokens: int
    temperature: float
    effort: str | None  # None: the model or server does not know the parameter

    @property
    def most_tokens(self) -> int:
        """A prompt size that cannot be exceeded: for the budget."""
        return len(self._text().encode("utf-8", "replace")) + _FRAME_TOKENS

    @property
    def n_chars(self) -> int:
        """Characters of the prompt, which an estimate turns into tokens."""
        return len(self._text())

    @property
    def prompt_hash(self) -> str:
        """Identity of what was asked."""
        return hashlib.sha256(self._text().encode("utf-8", "replace")).hexdigest()

    def worst_cost_nano(self, price: Price) -> int:
        """What this call costs if it uses all it may."""
        return price.cost_nano(
            prompt_tokens=self.most_tokens, cached_tokens=0, completion_tokens=self.max_completion_tokens
        )

    def _text(self) -> str:
        return f"{self.system}\n{self.user}\n{json.dumps(self.response_format)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the service counted them; reasoning is part of the completion."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RawReply:
    """What came back, unread."""

    text: str
    finish_reason: str
    usage: Usage | None
    headers: Mapping[str, str]


class Wire(Protocol):
    """Something that makes calls."""

    async def send(self, call: Call) -> RawReply:
        """Make one call. Raises: CallFailed."""

    async def list_models(self) -> bytes:
        """The service's own list of models, as it came. Raises: CallFailed."""

    async def close(self) -> None:
        """Let go of the connections."""


def response_format(schema: ReplySchema[Any], mode: JsonMode) -> dict[str, Any]:
    """How to ask for this shape in a mode."""
    if mode is JsonMode.JSON_OBJECT:
        return {"type": "json_object"}
    inner = {"name": schema.name, "strict": mode is JsonMode.STRICT, "schema": schema.json_schema}
    return {"type": "json_schema", "json_schema": inner}


def system_words(prompt: Prompt, schema: ReplySchema[Any], mode: JsonMode) -> str:
    """The system text; where the service does not enforce the shape, the schema is spelled out in it."""
    if mode is JsonMode.STRICT:
        return prompt.system
    return f"{prompt.system}\nThe JSON schema of the answer (answer with such an object, not with the schema):\n" + (
        json.dumps(schema.json_schema)
    )
