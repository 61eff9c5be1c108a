"""What is known of models between two starts: the service's last list, and the JSON mode experience taught.

Law: a row is what was last heard or learnt, with its date; who reads it decides how old is too old.
"""

import msgspec

from agent.store.tx import Reader, Tx


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One model; None where nothing is known. Prices are exact texts, US dollars per million tokens; times in ms."""

    model: str
    listed: int | None = None
    active: int | None = None
    price_prompt: str | None = None
    price_cached: str | None = None
    price_completion: str | None = None
    prices_as_of: str | None = None
    context_tokens: int | None = None
    max_completion_tokens: int | None = None
    listed_at: int | None = None
    json_mode: str | None = None
    json_mode_at: int | None = None
    json_mode_reason: str | None = None


_LISTED = (
    "listed", "active", "price_prompt", "price_cached", "price_completion", "prices_as_of", "context_tokens",
    "max_completion_tokens", "listed_at",
)  # fmt: skip


async def save_listed(tx: Tx, rows: list[ModelRow]) -> None:
    """Replace what the service's list says of these models; what was learnt about them stays."""
    columns, marks = ", ".join(_LISTED), ", ".join(f":{name}" for name in _LISTED)
    news = ", ".join(f"{name} = excluded.{name}" for name in _LISTED)
    await tx.execute_many(
        f"INSERT INTO llm_models (model, {columns}) VALUES (:model, {marks}) ON CONFLICT (model) DO UPDATE SET {news}",
        [msgspec.to_builtins(row) for row in rows],
    )


async def save_json_mode(tx: Tx, model: str, *, mode: str, at_ms: int, reason: str) -> None:
    """Remember that a model is asked in a weaker mode from now on."""
    await tx.execute(
        "INSERT INTO llm_models (model, json_mode, json_mode_at, json_mode_reason) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (model) DO UPDATE SET json_mode = excluded.json_mode, json_mode_at = excluded.json_mode_at,"
        " json_mode_reason = excluded.json_mode_reason",
        (model, mode, at_ms, reason),
    )


async def load_models(reader: Reader) -> dict[str, ModelRow]:
    """Every model anything is known of, by id."""
    return {row["model"]: ModelRow(**dict(row)) for row in await reader.fetch("SELECT * FROM llm_models")}
