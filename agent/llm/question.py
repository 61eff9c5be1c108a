"""One question to whichever model answers it, and the request and the row it becomes. Pure.

Law: a request says only what its model and server are known to understand; a row names prompt and schema together, so
that a change of either is another version.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import uuid_utils

from agent.core.instants import to_ms
from agent.llm.calls import Call, response_format, system_words
from agent.llm.models import Price, Profile
from agent.llm.prompt import Prompt
from agent.llm.retries import Plan
from agent.llm.schemas import ModelReply, ReplySchema
from agent.store.llm_calls import CallRow

R = TypeVar("R", bound=ModelReply)


def prompt_version(prompt: Prompt, schema: ReplySchema[Any]) -> str:
    """Names prompt and schema together."""
    return f"{prompt.version}/{schema.version}"


@dataclass(frozen=True, slots=True)
class Question(Generic[R]):
    """What is asked, for what, on behalf of which market and run."""

    purpose: str
    schema: ReplySchema[R]
    prompt: Prompt
    market_key: str | None
    run_id: str | None

    @property
    def version(self) -> str:
        """Of prompt and schema."""
        return prompt_version(self.prompt, self.schema)

    def call(self, profile: Profile, plan: Plan, *, is_local: bool) -> Call:
        """The request to one model. Other servers than Groq are told nothing of reasoning: some refuse the word."""
        return Call(
            model=profile.model,
            system=system_words(self.prompt, self.schema, plan.mode),
            user=self.prompt.user,
            response_format=response_format(self.schema, plan.mode),
            max_completion_tokens=min(plan.max_completion_tokens, profile.max_completion_tokens),
            temperature=plan.temperature,
            effort=None if is_local else profile.effort(self.schema.effort),
        )

    def row(self, call: Call, price: Price, now: datetime) -> CallRow:
        """What is written down before the request is sent: its worst case in money and tokens."""
        return CallRow(
            call_id=str(uuid_utils.uuid7()),
            day=now.date().isoformat(),
            purpose=self.purpose,
            model=call.model,
            reserved_nano=call.worst_cost_nano(price),
            reserved_tokens=call.most_tokens + call.max_completion_tokens,
            prices_as_of=price.as_of,
            prompt_hash=call.prompt_hash,
            prompt_version=self.version,
            started_at=to_ms(now),
            market_key=self.market_key,
            run_id=self.run_id,
        )
