"""Two sides that meet: "A vs B", "A at B", and whom of the two a question is about. Pure.

Law: a bare "A vs B" asks who wins and nothing else; sides are the same when one name's words are all in the other's
("Carabelli" in "Camilo Ugo Carabelli") and the squads agree (an academy is another team than its club).
"""

import re
from dataclasses import dataclass
from typing import Final

from agent.core.matching.text import tokens
from agent.core.matching.words import CLUB, SQUAD

_VERSUS: Final = re.compile(r"(?P<a>[^:?|]+?) (?:vs?\.?|versus|@) (?P<b>[^:?|]+)")
_AT: Final = re.compile(
    r"^(?!will |who |what |which )(?P<a>[^:?|\d]{2,30}?) at (?!most |least )(?P<b>[^:?|\d]{2,40}?)"
    r"(?=:| winner| total|\?|\||$)"
)
_BEFORE_A: Final = re.compile(r"^.*(?:\bin the |\bwill |: |\bbetween the |\bthe winner of )")
_AFTER_B: Final = re.compile(
    r" (?:match|winner|total|be|the|in the|in (?:set|map|game)|on|series|game|lol|cs2|cod|valorant|dota|stanley|cup"
    r"|first|\d+(?:st|nd))\b.*$| -.*$"
)
_PERIOD: Final = re.compile(
    r"\b(?:(?P<kind>set|map|game|quarter|half|inning|period|week) (?P<n>\d)"
    r"|(?P<n2>1st|2nd|3rd|4th|first|second|third|fourth|1|2)[ -]?(?P<kind2>half|quarter|inning|period|set|map|h)\b)"
)
_ORDER: Final = {"first": 1, "second": 2, "third": 3, "fourth": 4}
_MIN_PREFIX: Final = 4  # "Lyon" begins "Lyonnais"


@dataclass(frozen=True, slots=True)
class Fixture:
    """Who meets whom, as the words of their names."""

    first: frozenset[str]
    second: frozenset[str]

    @property
    def words(self) -> frozenset[str]:
        """All words of both names."""
        return self.first | self.second

    def same_way(self, other: "Fixture") -> bool | None:
        """True: the same two sides in the same order; False: in the other order; None: not the same two."""
        if same_side(self.first, other.first) and same_side(self.second, other.second):
            return True
        if same_side(self.first, other.second) and same_side(self.second, other.first):
            return False
        return None

    def side_of(self, words: frozenset[str]) -> int | None:
        """Which side (1, 2) some words speak of; None where they speak of both or of neither."""
        about = [bool(words & (side - other)) for side, other in ((self.first, self.second), (self.second, self.first))]
        return None if about[0] == about[1] else 1 if about[0] else 2


def same_side(left: frozenset[str], right: frozenset[str]) -> bool:
    """Whether two names can be one team or player."""
    if not left or not right or (left ^ right) & SQUAD:
        return False
    small, large = (left, right) if len(left) <= len(right) else (right, left)
    return all(word in large or _begins(word, large) for word in small)


def take_period(text: str) -> tuple[str, frozenset[str]]:
    """The text without "set 1", "1st half", "game 2"; and those as "set 1". A numbered game of a series is a map."""
    found = set[str]()

    def take(match: re.Match[str]) -> str:
        kind = match["kind"] or match["kind2"]
        raw = match["n"] or match["n2"]
        number = int(raw[0]) if raw[0].isdigit() else _ORDER[raw]
        found.add(f"{ {'game': 'map', 'h': 'half'}.get(kind, kind) } {number}")
        return " "

    return _PERIOD.sub(take, text), frozenset(found)


def find_fixture(text: str) -> tuple[Fixture | None, str]:
    """The fixture a canonical text names, and the text without the phrase that names it."""
    match = _VERSUS.search(text) or _AT.search(text)
    if match is None:
        return None, text
    first = _BEFORE_A.sub("", match["a"])
    second = _AFTER_B.sub("", f"{match['b']} ").strip()
    fixture = Fixture(_name(first), _name(second))
    if not fixture.first or not fixture.second or fixture.first == fixture.second:
        return None, text
    start = match.start("a") + len(match["a"]) - len(first)
    end = match.start("b") + len(second)
    return fixture, f"{text[:start]} {text[end:]}"


def _name(text: str) -> frozenset[str]:
    words = frozenset(tokens(text))
    return words - CLUB or words


def _begins(word: str, others: frozenset[str]) -> bool:
    return len(word) >= _MIN_PREFIX and any(
        len(other) >= _MIN_PREFIX and (other.startswith(word) or word.startswith(other)) for other in others
    )
