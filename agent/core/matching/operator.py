"""The operator's list of pairs: which are the same question whatever we think, and which are not. Pure.

Law: an entry is either whole or left out with a sentence; one bad line never takes the others with it; a pair named on
both lists is forbidden. A market is named by its key, its ticker or its condition id.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agent.core.matching.rules import Word
from sync.records import Venue

PairKeys = tuple[str, str]  # (Kalshi's market key, Polymarket's)

_LISTS: Final = ("allow", "deny")
_FIELDS: Final[Mapping[str, Mapping[str, type]]] = {
    "allow": {"kalshi": str, "polymarket": str, "inverted": bool, "note": str},
    "deny": {"kalshi": str, "polymarket": str, "note": str},
}


@dataclass(frozen=True, slots=True)
class PairList:
    """What the list says, and what of it could not be used, a sentence each."""

    words: Mapping[PairKeys, Word] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


def read_pair_list(table: Mapping[str, Any]) -> PairList:
    """Read the decoded file."""
    faults = [f"{name}: no such list; the lists are [[allow]] and [[deny]]" for name in table if name not in _LISTS]
    words = dict[PairKeys, Word]()
    for name in _LISTS:
        entries = table.get(name, [])
        if not isinstance(entries, list):
            faults.append(f"{name}: not a list; write each pair under [[{name}]]")
            continue
        for number, entry in enumerate(entries, start=1):
            fault = _fault(name, entry)
            if fault is not None:
                faults.append(f"{name} {number}: {fault}")
                continue
            keys = (market_key(Venue.KALSHI, entry["kalshi"]), market_key(Venue.POLYMARKET, entry["polymarket"]))
            if name == "deny" and keys in words:
                faults.append(f"deny {number}: the pair is on the other list too; it counts as forbidden")
            words[keys] = Word(name == "allow", entry.get("inverted", False), entry.get("note"))
    return PairList(words, tuple(faults))


def market_key(venue: Venue, word: str) -> str:
    """The key of a market named by its key or by the venue's own id."""
    return word if word.startswith(f"{venue.value}:") else f"{venue.value}:{word}"


def _fault(name: str, entry: Any) -> str | None:
    """What is wrong with an entry, in words."""
    if not isinstance(entry, dict):
        return "not a table"
    fields = _FIELDS[name]
    for key, value in entry.items():
        if key not in fields:
            return f"{key}: no such field; the fields are {', '.join(fields)}"
        if not isinstance(value, fields[key]) or value == "":
            return f"{key}: {value!r:.60} is not {'true or false' if fields[key] is bool else 'a text'}"
    missing = [key for key in ("kalshi", "polymarket") if key not in entry]
    return f"{' and '.join(missing)} missing" if missing else None
