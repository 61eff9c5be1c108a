"""Forecasts made of forecasts: blending in log odds, weights by past skill, recalibration. Pure.

Law: whatever is said at an instant rests on outcomes known before it, and on nothing else; a small past changes
little, for every estimate is shrunk to what we believed without it. Skill is measured against the market's price on
the same rows, since question sets differ. Called by the ensemble experiment; routing.py decides who forecasts what.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

CLIP = 0.001  # a price of 0.3 cents is a price; beyond it log odds run away
START_WEIGHT = 0.10  # of the models against the price: what 200 resolved questions supported without research
WEIGHT_PRIOR_EVENTS = 200  # events at which what we measured counts as much as START_WEIGHT
MIN_EVENTS = 30  # fewer are "too early", here as in every report
SKILL_PRIOR_EVENTS = 50  # events at which a member's own skill counts as much as that of all members
SKILL_SCALE = 0.02  # of a Brier difference: twice as good a forecaster differs by several of these
PLATT_MIN_RESOLVED = 300  # below it recalibration hurts (averages were extremised in vain on 200 questions)
PLATT_PRIOR = 50.0  # resolved forecasts at which the fit counts as much as leaving everything as it is
FOLDS = 5
_GRID = tuple(step / 20 for step in range(21))
_REFIT_GROWTH = 1.05  # a past that grew by less than a twentieth is not fitted again


class Author(NamedTuple):
    """Who made a forecast. Another version is somebody else."""

    experiment: str
    version: str
    model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A resolved forecast beside the market's price of the same instant."""

    author: Author
    market_key: str
    event_key: str  # what makes forecasts dependent: counted once
    category: str | None
    saw_price: bool
    predicted_at: datetime
    known_at: datetime  # when the outcome was there for us to know
    probability: float
    market: float | None  # mid at predicted_at
    outcome: int  # 1 YES, 0 NO; a void market has none and is not here

    @property
    def edge(self) -> float | None:
        """The market's squared error minus ours; None where the book had no middle."""
        if self.market is None:
            return None
        return (self.market - self.outcome) ** 2 - (self.probability - self.outcome) ** 2


def logit(probability: float) -> float:
    """Log odds, clipped."""
    inside = min(1 - CLIP, max(CLIP, probability))
    return math.log(inside / (1 - inside))


def sigmoid(odds: float) -> float:
    """The probability of log odds."""
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))


def blend(parts: Iterable[tuple[float, float]]) -> float:
    """The weighted mean of probabilities in log odds.

    Args:
        parts: pairs (probability, weight); weights need not sum to one.
    Raises: ValueError if the weights sum to nothing or one is negative.
    """
    given = list(parts)
    total = math.fsum(weight for _, weight in given)
    if total <= 0 or any(weight < 0 for _, weight in given):
        raise ValueError(f"blend: weights {[weight for _, weight in given]}")
    return sigmoid(math.fsum(logit(probability) * weight for probability, weight in given) / total)


def known_before(past: Iterable[Past], moment: datetime) -> list[Past]:
    """What could be known at a moment: the only door through which outcomes come in."""
    return [row for row in past if row.known_at < moment and row.predicted_at < moment]


# Weights


@dataclass(frozen=True, slots=True)
class Skill:
    """Mean edge over the market, in Brier points: positive is better than the price."""

    edge: float
    n: int
    n_events: int


def skill(rows: Iterable[Past]) -> Skill:
    """The mean over events of each event's mean edge; 0 where nothing was measured."""
    events, n = defaultdict[str, list[float]](list), 0
    for row in rows:
        if (edge := row.edge) is not None:
            events[row.event_key].append(edge)
            n += 1
    means = [math.fsum(edges) / len(edges) for edges in events.values()]
    return Skill(math.fsum(means) / len(means) if means else 0.0, n, len(means))


def shrunk(own: Skill, prior: float, prior_events: int = SKILL_PRIOR_EVENTS) -> float:
    """An edge pulled to `prior`, the more the fewer events it rests on."""
    return (own.n_events * own.edge + prior_events * prior) / (own.n_events + prior_events)


def skill_weights(authors: Sequence[Author], past: Sequence[Past]) -> dict[Author, float]:
    """How much each counts among the others; equal without a past. They sum to one."""
    if not authors:
        return {}
    rows = {author: [row for row in past if row.author == author] for author in authors}
    pooled = skill(row for mine in rows.values() for row in mine).edge
    edges = {author: shrunk(skill(mine), pooled) for author, mine in rows.items()}
    best = max(edges.values())
    raw = {author: math.exp((edge - best) / SKILL_SCALE) for author, edge in edges.items()}
    total = math.fsum(raw.values())
    return {author: weight / total for author, weight in raw.items()}


class BlendWeight(NamedTuple):
    """How much the models count against the price, and on what that rests."""

    weight: float
    n_events: int
    reason: str


def blend_weight(pairs: Sequence[tuple[float, float, int, str]]) -> BlendWeight:
    """The weight of our forecasts beside the price, from resolved ones.

    Measured by leaving out a fifth of the events at a time: a weight above the start is only believed where the blend
    beats the price on events it was not chosen by.

    Args:
        pairs: (our probability, price, outcome, event) of resolved forecasts.
    """
    events = {event for _, _, _, event in pairs}
    if len(events) < MIN_EVENTS:
        return BlendWeight(START_WEIGHT, len(events), f"{len(events)} resolved events, too few to leave the start")
    losses = _losses(pairs)
    total = [math.fsum(column) for column in zip(*losses.values(), strict=True)]
    chosen = _lowest(total)
    held_out = math.fsum(fold[_lowest([t - f for t, f in zip(total, fold, strict=True)])] for fold in losses.values())
    reason = f"fitted on {len(events)} resolved events"
    fitted = _GRID[chosen]
    if fitted > START_WEIGHT and held_out >= total[0]:
        fitted, reason = START_WEIGHT, f"{reason}; held out, the blend did not beat the price"
    n = len(events)
    weight = (n * fitted + WEIGHT_PRIOR_EVENTS * START_WEIGHT) / (n + WEIGHT_PRIOR_EVENTS)
    return BlendWeight(weight, n, reason)


def _losses(pairs: Sequence[tuple[float, float, int, str]]) -> Mapping[int, list[float]]:
    """Squared error for each weight of the grid, summed by fold; each event counts once."""
    size = defaultdict[str, int](int)
    for *_, event in pairs:
        size[event] += 1
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0] * len(_GRID))
    for ours, price, outcome, event in pairs:
        at, to, fold = logit(price), logit(ours), sums[_fold(event)]
        for index, weight in enumerate(_GRID):
            fold[index] += (sigmoid(at + weight * (to - at)) - outcome) ** 2 / size[event]
    return sums


def _fold(event: str) -> int:
    return hashlib.sha256(event.encode()).digest()[0] % FOLDS


def _lowest(values: Sequence[float]) -> int:
    return min(range(len(values)), key=values.__getitem__)


# Recalibration


class Platt(NamedTuple):
    """logit(p) becomes slope * logit(p) + intercept."""

    slope: float = 1.0
    intercept: float = 0.0
    n: int = 0  # resolved forecasts it was fitted on; 0: left as it is

    def __call__(self, probability: float) -> float:
        """The recalibrated probability."""
        return probability if not self.n else sigmoid(self.slope * logit(probability) + self.intercept)


AS_IT_IS = Platt()


def fit_platt(pairs: Sequence[tuple[float, int]]) -> Platt:
    """Slope and intercept by Newton's method, pulled to "as it is" by a prior worth PLATT_PRIOR forecasts.

    Args:
        pairs: (probability, outcome). Below PLATT_MIN_RESOLVED of them nothing is changed.
    Source: Platt 1999; the pull is a ridge on the distance from (1, 0), in units of the information of one forecast.
    """
    if len(pairs) < PLATT_MIN_RESOLVED:
        return AS_IT_IS
    xs = [logit(probability) for probability, _ in pairs]
    spread = math.fsum(x * x for x in xs) / len(xs)
    pull_a, pull_b = PLATT_PRIOR * 0.25 * max(spread, 1e-6), PLATT_PRIOR * 0.25  # p (1 - p) is at most a quarter
    slope, intercept = 1.0, 0.0
    for _ in range(25):
        g_a, g_b = pull_a * (slope - 1), pull_b * intercept
        h_aa, h_ab, h_bb = pull_a, 0.0, pull_b
        for x, (_, outcome) in zip(xs, pairs, strict=True):
            p = sigmoid(slope * x + intercept)
            miss, width = p - outcome, p * (1 - p)
            g_a, g_b = g_a + miss * x, g_b + miss
            h_aa, h_ab, h_bb = h_aa + width * x * x, h_ab + width * x, h_bb + width
        size = h_aa * h_bb - h_ab * h_ab
        step_a, step_b = (h_bb * g_a - h_ab * g_b) / size, (h_aa * g_b - h_ab * g_a) / size
        slope, intercept = slope - step_a, intercept - step_b
        if abs(step_a) + abs(step_b) < 1e-9:
            break
    return Platt(max(slope, 0.0), intercept, len(pairs))


def walk_forward(rows: Sequence[Past]) -> list[float]:
    """Each forecast recalibrated by what was known before it was made; in the order given."""
    order = sorted(range(len(rows)), key=lambda i: rows[i].predicted_at)
    by_knowledge = sorted(rows, key=lambda row: row.known_at)
    known, fitted_on, platt, result = list[tuple[float, int]](), 0, AS_IT_IS, [0.0] * len(rows)
    for index in order:
        while len(known) < len(rows) and by_knowledge[len(known)].known_at < rows[index].predicted_at:
            learnt = by_knowledge[len(known)]
            known.append((learnt.probability, learnt.outcome))
        if len(known) >= max(PLATT_MIN_RESOLVED, fitted_on * _REFIT_GROWTH):
            platt, fitted_on = fit_platt(known), len(known)
        result[index] = platt(rows[index].probability)
    return result


class TrackRecord:
    """What is known at one instant of everybody's past. Remembers what it reckoned; changes nothing."""

    def __init__(self, past: Iterable[Past], *, now: datetime) -> None:
        self.past = known_before(past, now)
        self._platts: dict[Author, Platt] = {}
        self._weight: BlendWeight | None = None

    def platt(self, author: Author) -> Platt:
        """How to recalibrate an author's forecasts."""
        if author not in self._platts:
            pairs = [(row.probability, row.outcome) for row in self.past if row.author == author]
            self._platts[author] = fit_platt(pairs)
        return self._platts[author]

    def weights(self, authors: Sequence[Author]) -> dict[Author, float]:
        """How much each counts among the others."""
        return skill_weights(authors, self.past)

    def blend_weight(self, experiments: Iterable[str]) -> BlendWeight:
        """How much price-blind forecasts of these experiments count against the price."""
        if self._weight is None:
            named = set(experiments)
            self._weight = blend_weight(
                [
                    (row.probability, row.market, row.outcome, row.event_key)
                    for row in self.past
                    if row.market is not None and not row.saw_price and row.author.experiment in named
                ]
            )
        return self._weight
