"""Thresholds of the detectors: each has a default, a reason and limits, and settings may turn it. Pure.

Law: nothing is turned silently. A name nobody knows, a number outside its limits and a value of the wrong kind are
each a sentence; the wiring refuses to start with any of them.
"""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

Knobs = Mapping[str, bool | float]  # one [patterns.NAME] table
T = TypeVar("T")
SWITCH = "enabled"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a threshold may be, and why it is what it is."""

    why: str
    low: float
    high: float


def knob(default: float, why: str, *, low: float = 0.0, high: float = math.inf) -> Any:
    """A threshold as a field of a detector; whole where its default is whole."""
    return field(default=default, metadata={"knob": Limits(why, low, high)})


def knobs(thing: object) -> dict[str, Field[Any]]:
    """The thresholds of a detector by name; none where it is no dataclass of ours."""
    if not is_dataclass(thing):
        return {}
    return {found.name: found for found in fields(thing) if "knob" in found.metadata}


def faults(path: str, thing: object, table: Knobs) -> list[str]:
    """Everything wrong with one table, in words."""
    known, told = knobs(thing), list[str]()
    for name, value in table.items():
        if name == SWITCH:
            if not isinstance(value, bool):
                told.append(f"{path}.{name}: must be true or false, not {value!r}")
        elif name not in known:
            told.append(f"{path}.{name}: no such threshold{suggestion(name, [*known, SWITCH])}")
        else:
            told += _value_faults(f"{path}.{name}", known[name], value)
    return told


def turned(thing: T, table: Knobs) -> T:
    """The same detector with other thresholds. The table has no faults."""
    known = knobs(thing)
    values = {
        name: int(value) if isinstance(known[name].default, int) else float(value)
        for name, value in table.items()
        if name in known
    }
    if not values:
        return thing
    changed: T = replace(thing, **values)  # type: ignore[type-var]  # only a dataclass has thresholds
    return changed


def suggestion(name: str, known: Iterable[str]) -> str:
    """What was probably meant, as the end of a sentence."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def unknown_tables(tables: Mapping[str, Knobs], names: Sequence[str]) -> list[str]:
    """Tables for detectors that do not exist."""
    return [f"patterns.{name}: no such detector{suggestion(name, names)}" for name in tables if name not in names]


def _value_faults(path: str, found: Field[Any], value: float) -> list[str]:
    limits: Limits = found.metadata["knob"]
    if isinstance(value, bool) or not math.isfinite(value):
        return [f"{path}: must be a number, not {value!r}"]
    if isinstance(found.default, int) and value != int(value):
        return [f"{path}: must be a whole number, not {value!r}"]
    if not limits.low <= value <= limits.high:
        bounds = f"at least {limits.low:g}" + ("" if math.isinf(limits.high) else f" and at most {limits.high:g}")
        return [f"{path}: must be {bounds}, not {value:g}"]
    return []
