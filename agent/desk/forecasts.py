"""Everything kept of some markets' forecasts on a day: results, reasons, and each step's prompt and answer.

Law: for debugging a run, by whoever may ask the daemon; prompts hold third-party text and stay on this machine.
"""

from datetime import date, datetime
from typing import Any, ClassVar

import msgspec

from agent.desk.base import Ask, Desk
from agent.store.forecasts import load_forecasts, load_steps


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One answered question."""

    step: str
    answered_by: str
    prompt_version: str
    cost_usd: str
    answered_at: datetime
    prompt: str
    reply: Any


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one forecast."""

    market_key: str
    experiment: str
    version: str
    model: str
    run_day: str
    state: str
    reason: str | None
    forecast: Any  # as it is kept; None unless made
    steps: tuple[Step, ...]


class AskForecasts(Ask[list[Artifact]], frozen=True, kw_only=True):
    """Of these markets, on this UTC day."""

    verb: ClassVar[str] = "forecasts"
    answer_type: ClassVar[Any] = list[Artifact]
    market_keys: tuple[str, ...]
    run_day: date

    async def answer(self, desk: Desk) -> list[Artifact]:
        """Never fails: a market nobody forecast has none."""
        reader, found = desk.store.reader, list[Artifact]()
        for key, row in (await load_forecasts(reader, self.market_keys, self.run_day)).items():
            steps = [
                Step(
                    step=step.step,
                    answered_by=step.answered_by,
                    prompt_version=step.prompt_version,
                    cost_usd=step.cost_usd,
                    answered_at=step.answered_at,
                    prompt=step.prompt,
                    reply=msgspec.json.decode(step.reply),
                )
                for step in await load_steps(reader, key)
            ]
            found.append(
                Artifact(
                    **key._asdict(),
                    state=row.state,
                    reason=row.reason,
                    forecast=None if row.body is None else msgspec.json.decode(row.body),
                    steps=tuple(steps),
                )
            )
        return found
