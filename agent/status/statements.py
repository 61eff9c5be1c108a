"""The form in which the house speaks of itself: levels, statements, sections. Pure.

Law: a statement that is not ok says why and what to do; `bad` asks for both, `fine` has no room for them.
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

SEPARATOR = " · "  # between the parts of a statement


class Level(StrEnum):
    """How bad a thing is. Ordered: ok, degraded, critical."""

    OK = "ok"
    DEGRADED = "degraded"
    CRITICAL = "critical"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One statement. `key` is stable, for machines; `why` and `advice` belong to a level that is not ok."""

    key: str
    level: Level
    text: str
    why: str | None = None
    advice: str | None = None


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """The statements about one room; as bad as its worst line."""

    name: str
    level: Level
    lines: tuple[Line, ...]


def worst(levels: Iterable[Level]) -> Level:
    """The worst of some levels; ok where there are none."""
    return max(levels, key=list(Level).index, default=Level.OK)


def fine(key: str, *texts: str | None) -> Line:
    """A statement that asks for nothing; parts that are None are left out."""
    return Line(key=key, level=Level.OK, text=SEPARATOR.join(text for text in texts if text))


def bad(key: str, level: Level, *texts: str | None, why: str, advice: str) -> Line:
    """A statement somebody should read, with the reason and what to do."""
    return Line(key=key, level=level, text=SEPARATOR.join(text for text in texts if text), why=why, advice=advice)


def section(name: str, lines: list[Line]) -> Section:
    """The lines under one name."""
    return Section(name=name, level=worst(line.level for line in lines), lines=tuple(lines))
