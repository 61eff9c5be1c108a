"""Which forecaster is asked about which market: the best of its category, a share for the others, none for the retired.

Pure. Law: only those that cost money are routed, references always run; price-blind and informed ones are compared
among their own kind; a decision has a reason in words and can be repeated, for chance is a hash. A new version is a
newcomer. Called by the prediction jobs.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from agent.core.ensemble import MIN_EVENTS, Author, Past, shrunk, skill

WORSE_BY = 2.0  # standard errors, clustered by event: one in forty by chance
ALWAYS_HALF = 0.25  # the Brier score of one who knows nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How forecasters are chosen; the settings give them, with reasons."""

    share: float = 0.25  # of the markets, for those that are not the best of their kind
    retire_after: int = 200  # resolved forecasts, of at least MIN_EVENTS events
    pinned: frozenset[str] = frozenset()  # experiments that always run


@dataclass(frozen=True, slots=True)
class Arm:
    """A forecaster that could be asked."""

    author: Author
    saw_price: bool


class Assignment(NamedTuple):
    """Whether an arm is asked about a market, and why."""

    runs: bool
    reason: str


class Router:
    """The rules over one past. Reckons standings once."""

    def __init__(self, arms: Iterable[Arm], past: Sequence[Past], rules: Rules) -> None:
        self._rules = rules
        self._arms = list(arms)
        self._rows: Mapping[Author, list[Past]] = {
            arm.author: [row for row in past if row.author == arm.author] for arm in self._arms
        }
        self._best: dict[tuple[bool, str | None], Author | None] = {}
        self.retired = {
            author: why
            for kind in (False, True)
            for author, why in _retired([a.author for a in self._of_kind(kind)], self._rows, rules).items()
        }

    def assign(self, arm: Arm, *, market_key: str, category: str | None, day: date) -> Assignment:
        """Whether to ask an arm about a market."""
        name = arm.author.experiment
        if self.is_pinned(arm.author):
            return Assignment(True, "pinned by the settings")
        if (why := self.retired.get(arm.author)) is not None:
            return Assignment(False, f"retired: {why}")
        best, where = self._best_in(category, saw_price=arm.saw_price), f"in {category}" if category else "so far"
        if best is None:
            return Assignment(True, "nobody of its kind is measured yet")
        if best == arm.author:
            return Assignment(True, f"the best of its kind {where}")
        rank = f"{best.experiment} {best.model or ''}".rstrip()
        if in_share(f"{name}|{arm.author.version}|{arm.author.model}", market_key, day, self._rules.share):
            return Assignment(True, f"within its share of {self._rules.share:.0%}, beside {rank}")
        return Assignment(False, f"outside its share of {self._rules.share:.0%}; the best {where} is {rank}")

    def is_measured(self, author: Author) -> bool:
        """Whether any forecast of it has resolved: one that gives findings only has none."""
        return bool(self._rows.get(author))

    def is_pinned(self, author: Author) -> bool:
        """Whether the settings say that it always runs."""
        return author.experiment in self._rules.pinned

    def _of_kind(self, saw_price: bool) -> list[Arm]:
        return [arm for arm in self._arms if arm.saw_price is saw_price]

    def _best_in(self, category: str | None, *, saw_price: bool) -> Author | None:
        key = (saw_price, category)
        if key not in self._best:
            candidates = [a.author for a in self._of_kind(saw_price) if a.author not in self.retired]
            self._best[key] = best_of(candidates, self._rows, category)
        return self._best[key]


def best_of(authors: Iterable[Author], rows: Mapping[Author, Sequence[Past]], category: str | None) -> Author | None:
    """The author with the largest edge over the market, in a category where anybody has enough events there, else over
    all; None where nobody has.

    An edge of a category is pulled to the author's own over all, and that to none.
    """
    overall = {author: skill(rows[author]) for author in authors}
    local = {author: skill(r for r in rows[author] if r.category == category) for author in overall}
    if category is not None:
        ranked = {a: shrunk(s, shrunk(overall[a], 0.0)) for a, s in local.items() if s.n_events >= MIN_EVENTS}
        if ranked:
            return _highest(ranked)
    ranked = {author: shrunk(s, 0.0) for author, s in overall.items() if s.n_events >= MIN_EVENTS}
    return _highest(ranked) if ranked else None


def _highest(ranked: Mapping[Author, float]) -> Author:
    return max(ranked, key=lambda author: (ranked[author], author.experiment, author.version, author.model or ""))


def in_share(name: str, market_key: str, day: date, share: float) -> bool:
    """Whether a market falls into somebody's share on a day: the same answer whoever asks, whenever."""
    drawn = hashlib.sha256(f"{name}|{market_key}|{day.isoformat()}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") / 2**64 < share


def _retired(authors: Sequence[Author], rows: Mapping[Author, Sequence[Past]], rules: Rules) -> dict[Author, str]:
    """Who has shown to be worse than the best of the kind, or than saying one half; the best itself stays."""
    best, found = best_of(authors, rows, None), dict[Author, str]()
    for author in authors:
        mine = rows[author]
        if len(mine) < rules.retire_after:
            continue
        against_half = [(row.event_key, (row.probability - row.outcome) ** 2 - ALWAYS_HALF) for row in mine]
        if (behind := _behind(against_half)) is not None:
            found[author] = f"its Brier score is {behind:.3f} above that of always one half, after {len(mine)} resolved"
        elif best is not None and best != author:
            pairs = _paired(mine, rows[best])
            if len(pairs) >= rules.retire_after and (behind := _behind(pairs)) is not None:
                who = f"{best.experiment} {best.model or ''}".rstrip()
                found[author] = (
                    f"its Brier score is {behind:.3f} above that of {who} on the same {len(pairs)} questions"
                )
    return found


def _paired(mine: Sequence[Past], theirs: Sequence[Past]) -> list[tuple[str, float]]:
    """(event, how much worse we were) on the questions both answered on the same day."""
    answered = {(row.market_key, row.predicted_at.date()): row for row in theirs}
    pairs = list[tuple[str, float]]()
    for row in mine:
        if (other := answered.get((row.market_key, row.predicted_at.date()))) is not None:
            worse = (row.probability - row.outcome) ** 2 - (other.probability - other.outcome) ** 2
            pairs.append((row.event_key, worse))
    return pairs


def _behind(pairs: Sequence[tuple[str, float]]) -> float | None:
    """How much worse on average, where that is beyond WORSE_BY standard errors; None where it is not, or too early."""
    events = defaultdict[str, list[float]](list)
    for event, worse in pairs:
        events[event].append(worse)
    if len(events) < MIN_EVENTS:
        return None
    means = [math.fsum(values) / len(values) for values in events.values()]
    mean = math.fsum(means) / len(means)
    error = math.sqrt(math.fsum((m - mean) ** 2 for m in means) / (len(means) - 1) / len(means))
    return mean if mean > WORSE_BY * error else None
