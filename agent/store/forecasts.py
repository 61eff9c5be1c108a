"""What each experiment made of each market on each day, and the answered steps inside it.

Law: a made forecast is never replaced; whatever else was noted (skipped, failed, left out) gives way to what is known
now. A step is kept when it is answered, long before its forecast is made.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Literal, NamedTuple, Self

import msgspec

from agent.core.instants import from_ms, to_ms
from agent.store.tx import Reader, Row, Tx

State = Literal["made", "skipped", "failed", "left_out"]

_KEY = "market_key = ? AND experiment = ? AND version = ? AND model = ? AND run_day = ?"


class ForecastKey(NamedTuple):
    """One forecast: (market, experiment, version, model, day) is unique. `model` is '' where none is asked."""

    market_key: str
    experiment: str
    version: str
    model: str
    run_day: str

    @property
    def text(self) -> str:
        """As a part of a unit's key."""
        return ":".join(self)


class ForecastRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one forecast."""

    key: ForecastKey
    job: str
    run_id: str
    state: State
    noted_at: datetime
    reason: str | None = None
    retriable: bool = False
    body: bytes | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """The row as stored."""
        return cls(
            key=ForecastKey(row["market_key"], row["experiment"], row["version"], row["model"], row["run_day"]),
            job=row["job"],
            run_id=row["run_id"],
            state=row["state"],
            noted_at=from_ms(row["noted_at"]),
            reason=row["reason"],
            retriable=bool(row["retriable"]),
            body=row["body"],
        )


class StepRow(msgspec.Struct, frozen=True, kw_only=True):
    """One answered step."""

    key: ForecastKey
    step: str
    answered_by: str
    prompt_version: str
    cost_usd: str
    call_id: str
    prompt: str
    reply: bytes
    answered_at: datetime


async def save_forecasts(tx: Tx, rows: Iterable[ForecastRow]) -> None:
    """Write down what became of forecasts."""
    await tx.execute_many(
        "INSERT INTO forecasts (market_key, experiment, version, model, run_day, job, run_id, state, reason, retriable,"
        " noted_at, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (market_key, experiment, version, model, run_day) DO UPDATE SET job = excluded.job,"
        " run_id = excluded.run_id, state = excluded.state, reason = excluded.reason, retriable = excluded.retriable,"
        " noted_at = excluded.noted_at, body = excluded.body WHERE forecasts.state <> 'made'",
        [
            (*r.key, r.job, r.run_id, r.state, r.reason, int(r.retriable), to_ms(r.noted_at), r.body)
            for r in rows
        ],
    )  # fmt: skip


async def load_forecasts(reader: Reader, market_keys: Sequence[str], run_day: date) -> dict[ForecastKey, ForecastRow]:
    """Everything noted about these markets on a day."""
    rows = await reader.fetch(
        "SELECT * FROM forecasts WHERE run_day = ? AND market_key IN (SELECT value FROM json_each(?))",
        (run_day.isoformat(), json.dumps(list(market_keys))),
    )
    found = [ForecastRow.from_row(row) for row in rows]
    return {row.key: row for row in found}


async def load_last_forecasts(reader: Reader, market_key: str) -> list[ForecastRow]:
    """What became of a market's forecasts on the last day it had any."""
    rows = await reader.fetch(
        "SELECT * FROM forecasts WHERE market_key = :market AND run_day ="
        " (SELECT max(run_day) FROM forecasts WHERE market_key = :market) ORDER BY experiment, version, model",
        {"market": market_key},
    )
    return [ForecastRow.from_row(row) for row in rows]


async def save_step(tx: Tx, step: StepRow) -> None:
    """Keep an answered step; one that was asked for again replaces it."""
    await tx.execute(
        "INSERT OR REPLACE INTO forecast_steps (market_key, experiment, version, model, run_day, step, answered_by,"
        " prompt_version, cost_usd, call_id, prompt, reply, answered_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *step.key, step.step, step.answered_by, step.prompt_version, step.cost_usd, step.call_id, step.prompt,
            step.reply, to_ms(step.answered_at),
        ),
    )  # fmt: skip


async def load_steps(reader: Reader, key: ForecastKey) -> list[StepRow]:
    """The answered steps of a forecast, in the order they were answered."""
    rows = await reader.fetch(f"SELECT * FROM forecast_steps WHERE {_KEY} ORDER BY answered_at, step", key)
    return [
        StepRow(
            key=key,
            step=row["step"],
            answered_by=row["answered_by"],
            prompt_version=row["prompt_version"],
            cost_usd=row["cost_usd"],
            call_id=row["call_id"],
            prompt=row["prompt"],
            reply=row["reply"],
            answered_at=from_ms(row["answered_at"]),
        )
        for row in rows
    ]


async def prune_forecasts(tx: Tx, before: date) -> int:
    """Delete what was noted and answered before a day; the record keeps every prediction. Returns how many rows."""
    day = (before.isoformat(),)
    n_steps = await tx.execute("DELETE FROM forecast_steps WHERE run_day < ?", day)
    return n_steps + await tx.execute("DELETE FROM forecasts WHERE run_day < ?", day)
