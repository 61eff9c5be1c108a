"""Hostile text on its way in, untrusted text on its way out. Pure but for the random marker.

Law: what strangers wrote reaches a model only cleaned, cut and inside a fence whose marker is new for each request;
what a model wrote reaches people only without markup, links we did not give it, and mentions, and a sentence with a
number that nobody supplied is marked. Asking a model to ignore instructions is not a defence; this and the clamps are.
"""

import json
import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

TITLE_CHARS = 300
TEXT_CHARS = 4_000  # rules as published; the rest is cut with a note

UNVERIFIED = " (unverified)"
MOST_LAYERS = 5  # of tags within tags; honest text has none
_NO_TAG_SIGNS = str.maketrans("", "", "<>[]|#:")

_ROLE_TAGS = re.compile(
    r"<\|[^|>\n]{0,40}\|>"  # <|im_start|>, <|channel|>
    r"|</?\s*(?:system|assistant|user|developer|tool|instructions?|think)\b[^>\n]{0,80}>"
    r"|\[/?INST\]|<</?SYS>>"
    r"|^\s*#{1,6}\s*(?:system|assistant|developer|instructions?)\b\s*:?",
    re.IGNORECASE | re.MULTILINE,
)
_LINE_ROLE = re.compile(r"^[ \t]*(?:system|assistant|developer)[ \t]*:", re.IGNORECASE | re.MULTILINE)
_MARKDOWN_LINK = re.compile(r"!?\[([^\]\n]{0,200})\]\([^)\n]{0,500}\)")  # bounded: 20,000 brackets took 0.4 s
_URL = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_TAG = re.compile(r"<[^<>\n]{1,200}>")
_MENTION = re.compile(r"@(?=\w)")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
_SENTENCE = re.compile(r"[^.!?\n]+(?:\.\d[^.!?\n]*)*[.!?]*\s*|\n")
_SMALL_COUNT = 10  # "two reasons", "3 legs": counts and list numbers say nothing about a price


class _Visible(dict[int, int | None]):
    """Which characters stay, asked once for each: looking every character up was two thirds of a prompt's time."""

    def __missing__(self, code: int) -> int | None:
        kept = code if chr(code) in "\n\t" or unicodedata.category(chr(code))[0] != "C" else None
        if code <= 0xFFFF:  # strangers choose the texts: the memory of their characters has an end
            self[code] = kept
        return kept


_VISIBLE = _Visible()


def new_marker() -> str:
    """A fence marker no text can contain by intent: 64 random bits, new for each request."""
    return f"DATA-{secrets.token_hex(8)}"


def clean(text: str, limit: int) -> str:
    """Text without control, zero-width, bidi and private characters and role tags, cut to `limit` characters."""
    visible = unicodedata.normalize("NFC", text).translate(_VISIBLE)
    visible = _without_roles(visible).strip()
    if len(visible) <= limit:
        return visible
    return f"{visible[:limit].rstrip()} [cut: {len(visible) - limit} more characters]"


def _without_roles(text: str) -> str:
    """Until nothing changes, for taking a tag out may close another around it; a text that goes on like that is built
    to (thousands of layers held the loop for a second), and loses every sign that can open or close a tag."""
    for _ in range(MOST_LAYERS):
        before, text = text, _LINE_ROLE.sub("", _ROLE_TAGS.sub("", text))
        if text == before:
            return text
    return _LINE_ROLE.sub("", _ROLE_TAGS.sub("", text.translate(_NO_TAG_SIGNS)))


def fence(marker: str, fields: Mapping[str, object]) -> str:
    """Third-party fields as one JSON value between two marker lines; the marker cannot occur inside."""
    body = json.dumps({k: v for k, v in fields.items() if v is not None}, ensure_ascii=False, indent=0)
    return f"{marker}\n{body.replace(marker, '')}\n{marker}"


def tidy(text: str, limit: int) -> str:
    """What a model wrote, as plain words: no control characters, tags, links or live mentions, cut to `limit`."""
    plain = _MARKDOWN_LINK.sub(r"\1", clean(text, limit * 4))
    plain = _TAG.sub("", _URL.sub("[link removed]", plain)).replace("](", "] (")
    plain = " ".join(_MENTION.sub("@\u200b", plain).replace("`", "'").split())
    return plain if len(plain) <= limit else f"{plain[: limit - 1].rstrip()}…"


def mark_unverified(text: str, known: Sequence[float]) -> str:
    """The text with UNVERIFIED behind each sentence that holds a number nobody supplied.

    Args:
        known: what `known_numbers` made of everything supplied.
    """
    sentences = _SENTENCE.findall(text)
    return "".join(_marked(sentence) if _has_unknown(sentence, known) else sentence for sentence in sentences).strip()


def _marked(sentence: str) -> str:
    body = sentence.rstrip()
    return f"{body}{UNVERIFIED}{sentence[len(body) :] or ' '}"


def known_numbers(supplied: Iterable[str | float]) -> tuple[float, ...]:
    """Every number an answer may repeat: as it is, as a fraction, in percent or in cents, or as what is left to one.

    Args:
        supplied: our numbers, and the texts the model was given.
    """
    known = list[float]()
    for item in supplied:
        if isinstance(item, str):
            known += (value for _, value in _numbers(item))
        else:
            value = abs(float(item))
            known += [value, value * 100]
            if value <= 1:
                known += [1 - value, (1 - value) * 100]
    return tuple(dict.fromkeys(known))


def _numbers(text: str) -> Iterable[tuple[int, float]]:
    """(decimals, value) of each number in a text."""
    for found in _NUMBER.findall(text):
        digits = found.replace(",", "")
        yield len(digits.partition(".")[2]), float(digits)


def _has_unknown(sentence: str, known: Sequence[float]) -> bool:
    for decimals, value in _numbers(sentence):
        if decimals == 0 and value <= _SMALL_COUNT:
            continue
        tolerance = 0.5 * 10.0**-decimals + 1e-9
        if not any(abs(value - number) <= tolerance for number in known):
            return True
    return False
