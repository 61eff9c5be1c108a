"""Turns a listing's words into comparable tokens: folding, aliases, districts, stems. Pure.

Law: what is taken out of the text is kept as something typed (a district), never lost; what stays is a bag of stems
in which two venues' spellings of one thing are the same token.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from agent.core.matching.words import ALIASES, EMPTY, STATES, SYNONYMS

# Letters NFKD leaves alone.
_LETTERS: Final = str.maketrans(
    {
        "\u0131": "i", "ø": "o", "ł": "l", "ß": "ss", "đ": "d", "æ": "ae", "œ": "oe",
        "\u2013": "-", "\u2014": "-", "\u2212": "-", "\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"',
        "≥": ">=", "≤": "<=", "\u00a0": " ", "*": " ",
    }
)  # fmt: skip
# One pass for all: forty patterns one after the other were half the cost of reading a listing.
_ALIAS: Final = re.compile(rf"(?<!\w)(?:{'|'.join(f'({phrase})' for phrase, _ in ALIASES)})(?!\w)")
_TOKEN: Final = re.compile(r"[a-z0-9]+")
_POSSESSIVE: Final = re.compile(r"'s\b|(?<=s)'")
# Two capital letters, or the spelled-out state: "AZ-2", "AK-AL", "Texas 18th congressional district".
_DISTRICT: Final = re.compile(rf"\b({'|'.join(code.upper() for code in STATES.values())})-?\s?(\d{{1,2}}|AL)\b")
_SPELLED_DISTRICT: Final = re.compile(
    rf"\b({'|'.join(sorted(STATES, key=len, reverse=True))})(?:'s)? (\d{{1,2}})(?:st|nd|rd|th)"
    r"(?: congressional)? district\b",
    re.IGNORECASE,
)
_LONG_STATES: Final = re.compile(rf"\b(?:{'|'.join(sorted(STATES, key=len, reverse=True))})\b")
_MIN_STEM: Final = 4  # "gas" and "us" keep their s


def fold(text: str) -> str:
    """Lower case without accents, typographic signs as plain ones."""
    text = text.lower().translate(_LETTERS)
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in text if not unicodedata.combining(char)).translate(_LETTERS)
    return " ".join(text.split())


def take_districts(text: str) -> tuple[str, frozenset[str]]:
    """The text without its congressional districts, and those as "tx-18"; padding with zeros is gone."""
    found = set[str]()

    def coded(match: re.Match[str]) -> str:
        number = match[2]
        found.add(f"{match[1].lower()}-{'al' if number == 'AL' else int(number)}")
        return " "

    def spelled(match: re.Match[str]) -> str:
        found.add(f"{STATES[match[1].lower()]}-{int(match[2])}")
        return " "

    text = _DISTRICT.sub(coded, text)
    if "istrict" in text:
        text = _SPELLED_DISTRICT.sub(spelled, text)
    return text, frozenset(found)


def states(folded: str) -> frozenset[str]:
    """The US states a folded text names; "West Virginia" is not also Virginia."""
    return frozenset(STATES[name] for name in _LONG_STATES.findall(folded))


def canonical(folded: str) -> str:
    """Folded text with every known other name of a thing replaced by its one name here."""
    return _ALIAS.sub(lambda match: ALIASES[(match.lastindex or 1) - 1][1], folded)


def tokens(text: str) -> list[str]:
    """The stems of canonical text that carry meaning, in order."""
    stems = map(stem, _TOKEN.findall(_POSSESSIVE.sub("", text)))
    return [word for word in stems if word not in EMPTY]


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """One form for a word's plural and for its synonyms."""
    word = SYNONYMS.get(word, word)
    if len(word) > _MIN_STEM and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-3] + "y" if word.endswith("ies") else word[:-1]
    return SYNONYMS.get(word, word)


def one_slip(left: str, right: str) -> bool:
    """Whether two long words differ by one letter changed, left out or put in: "Walish" and "Walsh"."""
    if left[0] != right[0] or min(len(left), len(right)) < 5 or abs(len(left) - len(right)) > 1:
        return False
    if len(left) > len(right):
        left, right = right, left
    at = next((index for index, char in enumerate(left) if char != right[index]), len(left))
    return left[at + (len(left) == len(right)) :] == right[at + 1 :]
