"""Credits: what predictions on demand cost, what a tier gives each month, and booking both.

Law: one credit per model, taken when a session is accepted and given back in the transaction that ends a model without
a forecast; a month's credits are booked once, when they are first looked for; nothing is spent that is not there,
whatever runs at once. What is not used stays.
"""

import uuid
from datetime import datetime

from cloudapi.auth import Caller
from cloudapi.db import Connection
from cloudapi.errors import NotEnoughCredits
from cloudapi.queries import credits as ledger
from cloudapi.tiers import ENTITLEMENTS, Tier

CREDITS_PER_MODEL = 1


async def grant_month(connection: Connection, caller: Caller, now: datetime) -> None:
    """Book this month's credits of the caller's tier, if they are not. A better tier brings the difference."""
    account_id, month = caller.account_id, f"{now:%Y-%m}"
    for tier, amount in _steps(caller):
        await ledger.move(connection, account_id, amount, "grant", f"month:{month}:{tier}")


def _steps(caller: Caller) -> list[tuple[str, int]]:
    """What each tier up to the caller's adds to the one below it."""
    found, before = list[tuple[str, int]](), 0
    for tier in Tier:
        if (more := ENTITLEMENTS[tier].credits_per_month - before) > 0:
            found.append((tier, more))
        before = ENTITLEMENTS[tier].credits_per_month
        if tier == caller.tier:
            break
    return found


async def charge(
    connection: Connection, caller: Caller, session_id: uuid.UUID, models: tuple[str, ...], now: datetime
) -> int:
    """Take the credits of a session's models. Returns: what is left. Raises: NotEnoughCredits, nothing being taken."""
    await grant_month(connection, caller, now)
    left = 0
    for model in models:
        balance = await ledger.move(
            connection,
            caller.account_id,
            -CREDITS_PER_MODEL,
            "charge",
            f"charge:{session_id}:{model}",
            session_id=session_id,
        )
        if balance is None:
            has = await ledger.load_balance(connection, caller.account_id) + models.index(model) * CREDITS_PER_MODEL
            needs = CREDITS_PER_MODEL * len(models)
            raise NotEnoughCredits(f"{len(models)} models cost {needs} credits; this account has {has}.")
        left = balance
    return left
