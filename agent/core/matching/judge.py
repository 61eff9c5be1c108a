"""Compares two readings: how the questions relate, and which side of one is which side of the other. Pure.

Law: EQUIVALENT only when every part agrees and no word is left over; a doubt is UNCLEAR, never equal. `yes_maps_to`
says what A's YES is on B, and the relation speaks of that side: an inverted pair is EQUIVALENT to B's NO. Texts alone
decide here; the published rules may still differ, which is for the judge of rules to find. facts: exchanges.md 5.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from agent.core.matching.amounts import Range
from agent.core.matching.moments import Window
from agent.core.matching.reading import Reading
from agent.core.matching.text import one_slip
from agent.core.matching.words import STAGES, TOUCHES
from sync.records import Relation, YesMapsTo


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict over one pair, with what it stands on."""

    relation: Relation
    yes_maps_to: YesMapsTo = YesMapsTo.UNCLEAR
    reasons: tuple[str, ...] = ()  # what differs or stays open, in words
    by_time: bool = False  # an implication, and it is their deadlines that make it one

    @property
    def equal(self) -> bool:
        """The same question, the same way round; an inverted pair is not."""
        return self.relation is Relation.EQUIVALENT and self.yes_maps_to is YesMapsTo.YES

    def seen_from_b(self) -> "Judgement":
        """The same verdict with the listings' places changed."""
        if self.yes_maps_to is YesMapsTo.NO:  # A implies not B is B implies not A: the contraposition
            return self
        return replace(self, relation=_IMPLICATIONS.get(self.relation, self.relation))


_FIXTURE_DAYS: Final = timedelta(days=1)  # evening games end on the next day in UTC
_SAME_DAYS: Final = timedelta(days=3)  # market-lens blocks at three days outside sports and weather
_NO_DIFFERENCE: Final = (Relation.EQUIVALENT, False)
_IMPLICATIONS: Final = {Relation.A_IMPLIES_B: Relation.B_IMPLIES_A, Relation.B_IMPLIES_A: Relation.A_IMPLIES_B}


def judge(a: Reading, b: Reading) -> Judgement:
    """How the question of A relates to the question of B."""
    for reason in _rejections(a, b):
        return Judgement(Relation.DIFFERENT, reasons=(reason,))
    inverted, relation, reasons = False, Relation.EQUIVALENT, list[str]()
    for part, turned, reason in (_numbers(a, b), _days(a, b), _sides(a, b), _directions(a, b)):
        if part is Relation.DIFFERENT:
            return Judgement(part, reasons=(reason,))
        inverted |= turned
        relation = _joined(relation, part)
        reasons += [reason] if reason else []
    doubts = list(_doubts(a, b))
    left, right = _leftovers(a, b)
    stages = (left | right) & STAGES
    if stages == left | right != frozenset() and relation is Relation.EQUIVALENT:
        return Judgement(Relation.OVERLAP, reasons=(f"another stage of the same thing: {_list(stages)}",))
    if doubts or relation is Relation.UNCLEAR:
        return Judgement(Relation.UNCLEAR, reasons=(*doubts, *reasons))
    if inverted and (_can_both_happen(a) or _days(a, b)[0] is not Relation.EQUIVALENT):
        return Judgement(Relation.OVERLAP, reasons=(*reasons, "both can happen before the deadline"))
    if a.negated:  # P implies Q turns into: not Q implies not P
        relation = _IMPLICATIONS.get(relation, relation)
    flipped = inverted ^ (a.negated != b.negated)
    by_time = relation in _IMPLICATIONS and _days(a, b)[0] in _IMPLICATIONS
    return Judgement(relation, YesMapsTo.NO if flipped else YesMapsTo.YES, tuple(reasons), by_time)


def _can_both_happen(reading: Reading) -> bool:
    """Above and below a level are opposites at one instant; within a stretch of time a price can be both."""
    return bool(reading.words & TOUCHES) or any(window.start != window.end for window in reading.moments.windows)


def _rejections(a: Reading, b: Reading) -> Iterator[str]:
    """What makes two questions different for certain, one sentence each."""
    if a.districts != b.districts:
        yield f"districts: {_list(a.districts)} against {_list(b.districts)}"
    if a.states and b.states and a.states != b.states:  # "West Virginia" has every word of "Virginia"
        yield f"states: {_list(a.states)} against {_list(b.states)}"
    if a.periods != b.periods:
        yield f"parts of the game: {_list(a.periods)} against {_list(b.periods)}"
    if a.amounts.mentions != b.amounts.mentions:
        yield f"numbers: {_list(a.amounts.mentions)} against {_list(b.amounts.mentions)}"
    if len(a.amounts.ranges) != len(b.amounts.ranges):
        yield "a threshold on one side only"
    mine, theirs = a.moments.years or a.ticker_years, b.moments.years or b.ticker_years
    if mine and theirs and mine.isdisjoint(theirs):
        yield f"years: {_list(mine)} against {_list(theirs)}"
    if a.fixture and b.fixture and a.fixture.same_way(b.fixture) is None:
        yield "other sides meet"
    if (a.bare_versus and b.words) or (b.bare_versus and a.words):
        yield "a bare 'A vs B' asks who wins and nothing else"
    left, right = (words - STAGES for words in _leftovers(a, b))
    if left and right:
        yield f"words: {_list(left)} against {_list(right)}"


def _doubts(a: Reading, b: Reading) -> Iterator[str]:
    """What one listing says and the other does not."""
    left, right = _leftovers(a, b)
    if left or right:
        yield f"only one side says: {_list(left or right)}"
    if (a.fixture is None) != (b.fixture is None):
        yield "only one side says who meets whom"


def _leftovers(a: Reading, b: Reading) -> tuple[frozenset[str], frozenset[str]]:
    """The words each side has that the other neither says nor has around it, misspellings aside."""
    left = a.words - b.words - b.context
    right = b.words - a.words - a.context
    if not left or not right or not a.words & b.words:
        return left, right
    slips = [(one, two) for one in left for two in right if one_slip(one, two)]
    return left - {one for one, _ in slips}, right - {two for _, two in slips}


def _numbers(a: Reading, b: Reading) -> tuple[Relation, bool, str]:
    """Compares thresholds: same, turned round, one inside the other, apart."""
    if not a.amounts.ranges:
        return (*_NO_DIFFERENCE, "")
    if len(a.amounts.ranges) > 1:
        same = set(a.amounts.ranges) == set(b.amounts.ranges)
        return (Relation.EQUIVALENT if same else Relation.DIFFERENT), False, "" if same else "thresholds differ"
    mine, theirs = a.amounts.ranges[0], b.amounts.ranges[0]
    if not mine.fits(theirs):
        return Relation.DIFFERENT, False, "thresholds in different units"
    return _compare_ranges(mine, theirs)


def _compare_ranges(mine: Range, theirs: Range) -> tuple[Relation, bool, str]:
    if mine.same(theirs):
        return (*_NO_DIFFERENCE, "")
    if mine.apart(theirs):
        return _compare_apart(mine, theirs)
    if mine.within(theirs):
        return Relation.A_IMPLIES_B, False, "A's numbers are all among B's"
    if theirs.within(mine):
        return Relation.B_IMPLIES_A, False, "B's numbers are all among A's"
    return Relation.OVERLAP, False, "thresholds share some numbers only"


def _compare_apart(mine: Range, theirs: Range) -> tuple[Relation, bool, str]:
    """Two ranges without a common number: opposites where they meet at one threshold."""
    outside = theirs.complement()
    if outside is not None and mine.same(outside):
        return Relation.EQUIVALENT, True, "the same threshold from the other side"
    if outside is not None and mine.complement() is not None and {mine.low, mine.high} == {theirs.low, theirs.high}:
        return Relation.A_IMPLIES_B, True, "the same threshold from the other side, and neither has the tie"
    return Relation.DIFFERENT, False, "thresholds have no number in common"


def _days(a: Reading, b: Reading) -> tuple[Relation, bool, str]:
    """Compares what the texts say about time, then the ends the venues state."""
    mine, theirs = a.moments.windows, b.moments.windows
    if len(mine) > 1 or len(theirs) > 1:
        same = set(mine) == set(theirs)
        return (Relation.EQUIVALENT if same else Relation.UNCLEAR), False, "" if same else "several dates"
    if mine and theirs:
        return _compare_windows(mine[0], theirs[0])
    if mine:
        relation, reason = _against_end(mine[0], b)
        return relation, False, reason
    if theirs:
        relation, reason = _against_end(theirs[0], a)
        return {Relation.A_IMPLIES_B: Relation.B_IMPLIES_A}.get(relation, relation), False, reason
    return _compare_due(a, b)


def _compare_windows(mine: Window, theirs: Window) -> tuple[Relation, bool, str]:
    if mine.year_open or theirs.year_open:
        mine, theirs = mine.yearless(), theirs.yearless()
    if mine == theirs:
        return (*_NO_DIFFERENCE, "")
    if mine.start is None and theirs.start is None and mine.end is not None and theirs.end is not None:
        relation = Relation.A_IMPLIES_B if mine.end < theirs.end else Relation.B_IMPLIES_A
        return relation, False, f"deadlines: {mine.end} against {theirs.end}"
    low, high = date.min, date.max
    if (mine.end or high) < (theirs.start or low) or (theirs.end or high) < (mine.start or low):
        return Relation.DIFFERENT, False, "days have nothing in common"
    if mine.end == theirs.end:
        return Relation.UNCLEAR, False, "a window against a deadline with the same end"
    return Relation.OVERLAP, False, "days overlap in part"


def _against_end(window: Window, other: Reading) -> tuple[Relation, str]:
    """A stated window against a listing that states only its end; the window's side counts as A."""
    if window.end is None or window.year_open:
        return Relation.UNCLEAR, "a date on one side only"
    soft = window.start is None and window.end.month == 12 and window.end.day == 31
    if soft and window.end.year in other.moments.years:
        return Relation.EQUIVALENT, ""
    end = other.due or other.end
    if end is None:
        return Relation.UNCLEAR, "a date on one side only"
    if abs(end - window.end) <= _SAME_DAYS:
        return Relation.EQUIVALENT, ""
    if window.start is None and end > window.end:
        return Relation.A_IMPLIES_B, f"a deadline {window.end} against an end {end}"
    return Relation.UNCLEAR, f"a date {window.end} against an end {end}"


def _compare_due(a: Reading, b: Reading) -> tuple[Relation, bool, str]:
    """Questions that name no day but belong to one, as goals in a game do, are the same only on the same day."""
    if a.day is not None and b.day is not None:
        same = a.day == b.day
    elif a.day is not None or b.day is not None:
        day, due = (a.day, b.due) if a.day is not None else (b.day, a.due)
        same = day is None or due is None or day <= due <= day + _FIXTURE_DAYS
    elif (a.fixture or b.fixture) and a.due is not None and b.due is not None:
        same = abs(a.due - b.due) <= _FIXTURE_DAYS
    else:
        same = True
    if same:
        return (*_NO_DIFFERENCE, "")
    return Relation.DIFFERENT, False, f"expected on {a.day or a.due} against {b.day or b.due}"


def _sides(a: Reading, b: Reading) -> tuple[Relation, bool, str]:
    """Whom of the two sides a YES is about."""
    if a.fixture is None or b.fixture is None:
        return (*_NO_DIFFERENCE, "")
    if a.subject is None and b.subject is None:
        about_both = bool(a.amounts.ranges or a.amounts.mentions or a.words)
        return (Relation.EQUIVALENT if about_both else Relation.UNCLEAR), False, ""
    if a.subject is None or b.subject is None:
        return Relation.UNCLEAR, False, "only one side says whom it is about"
    aligned = (a.subject == b.subject) == (a.fixture.same_way(b.fixture) is True)
    if aligned:
        return (*_NO_DIFFERENCE, "")
    if a.words or b.words or a.amounts.ranges:
        return Relation.DIFFERENT, False, "about the other side"
    return Relation.EQUIVALENT, True, "the other side of the same meeting; a tie fits neither"


def _directions(a: Reading, b: Reading) -> tuple[Relation, bool, str]:
    if a.direction == b.direction:
        return (*_NO_DIFFERENCE, "")
    if a.direction is None or b.direction is None or a.direction[0] != b.direction[0]:
        return Relation.DIFFERENT, False, "directions differ"
    return Relation.EQUIVALENT, True, "the other direction"


def _joined(one: Relation, two: Relation) -> Relation:
    """Two parts of one question, both needed: the weaker statement, and nothing where they pull apart."""
    if one is Relation.EQUIVALENT or one is two:
        return two
    if two is Relation.EQUIVALENT:
        return one
    return Relation.UNCLEAR if Relation.UNCLEAR in (one, two) else Relation.OVERLAP


def _list(names: frozenset[str] | frozenset[int]) -> str:
    return ", ".join(sorted(map(str, names))) or "none"
