"""What a day's model calls cost, by purpose and model.

Law: the figures are the books' own, nothing is estimated here; money of calls under way is shown apart, at its worst
case, because the cap counts it.
"""

from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from agent.desk.base import Ask, Desk
from agent.store.llm_calls import Spending, load_spending
from agent.store.tx import Reader

_NANO = Decimal("1e-9")


class SpendLine(msgspec.Struct, frozen=True, kw_only=True):
    """One purpose's use of one model."""

    purpose: str
    model: str
    n_calls: int
    n_failed: int
    n_tokens: int
    spent_usd: Decimal
    reserved_usd: Decimal  # of calls under way, at worst


class DaySpend(msgspec.Struct, frozen=True, kw_only=True):
    """One UTC day."""

    day: date
    cap_usd: Decimal
    spent_usd: Decimal
    reserved_usd: Decimal
    n_calls: int
    lines: tuple[SpendLine, ...]


class AskSpend(Ask[DaySpend], frozen=True, kw_only=True):
    """Today's where no day is given."""

    verb: ClassVar[str] = "spend"
    answer_type: ClassVar[Any] = DaySpend
    day: date | None = None

    async def answer(self, desk: Desk) -> DaySpend:
        """Never fails: a day nobody worked has no lines."""
        day = self.day or desk.now.date()
        return await load_day_spend(desk.store.reader, day, cap_usd=desk.settings.ai_daily_cap_usd)


async def load_day_spend(reader: Reader, day: date, *, cap_usd: Decimal) -> DaySpend:
    """The books of a UTC day."""
    lines = tuple(_line(row) for row in await load_spending(reader, day.isoformat()))
    return DaySpend(
        day=day,
        cap_usd=cap_usd,
        spent_usd=sum((line.spent_usd for line in lines), Decimal(0)),
        reserved_usd=sum((line.reserved_usd for line in lines), Decimal(0)),
        n_calls=sum(line.n_calls for line in lines),
        lines=lines,
    )


def _line(row: Spending) -> SpendLine:
    return SpendLine(
        purpose=row.purpose,
        model=row.model,
        n_calls=row.n_calls,
        n_failed=row.n_failed,
        n_tokens=row.n_tokens,
        spent_usd=row.spent_nano * _NANO,
        reserved_usd=row.reserved_nano * _NANO,
    )


def render(found: DaySpend) -> str:
    """The day as a small table."""
    under_way = f", {found.reserved_usd:.6f} of it at worst under way" if found.reserved_usd else ""
    total = found.spent_usd + found.reserved_usd
    head = f"{found.day} (UTC): {total:.6f} USD of {found.cap_usd:.2f} in {found.n_calls} calls{under_way}"
    if not found.lines:
        return head
    rows = [("purpose", "model", "calls", "failed", "tokens", "USD")]
    rows += [
        (line.purpose, line.model, str(line.n_calls), str(line.n_failed), f"{line.n_tokens:,}", f"{line.spent_usd:.6f}")
        for line in found.lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join([head, "", *(_spread(row, widths) for row in rows)])


def _spread(row: tuple[str, ...], widths: list[int]) -> str:
    words = [text.ljust(width) for text, width in zip(row[:2], widths[:2], strict=True)]
    numbers = [text.rjust(width) for text, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join(words + numbers).rstrip()
