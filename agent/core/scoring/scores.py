"""Scores of resolved forecasts: Brier, log score, and skill against a baseline on the same rows.

Pure. VOID markets and unresolved ones are left out, and counted, by the caller: a score never guesses an outcome.
"""

import math
from collections.abc import Sequence

# One certain miss must not outweigh everything else: ln 0.01 is the worst a single forecast can cost.
LOG_CLIP = 0.01


def brier_score(probabilities: Sequence[float], outcomes: Sequence[int]) -> float:
    """Mean squared error of probabilities against what happened.

    Args:
        probabilities: shape (n,), each in [0, 1], order as in outcomes.
        outcomes: shape (n,), 1 if YES, 0 if NO; VOID markets left out by the caller.
    Returns: in [0, 1]; lower is better, 0.25 is always one half.
    Raises: ValueError if the lengths differ, n = 0, or a value is outside its range.
    Source: Brier, 1950.
    """
    _require_pairs(probabilities, outcomes)
    return math.fsum((p - o) ** 2 for p, o in zip(probabilities, outcomes, strict=True)) / len(outcomes)


def log_score(probabilities: Sequence[float], outcomes: Sequence[int]) -> float:
    """Mean negative natural logarithm of the probability given to what happened, clipped to [0.01, 0.99].

    Args: as brier_score.
    Returns: at least 0.01005, at most 4.606; lower is better, 0.693 is always one half.
    Raises: ValueError as brier_score.
    """
    _require_pairs(probabilities, outcomes)
    given = (p if o else 1 - p for p, o in zip(probabilities, outcomes, strict=True))
    return -math.fsum(math.log(min(max(q, LOG_CLIP), 1 - LOG_CLIP)) for q in given) / len(outcomes)


def brier_skill(probabilities: Sequence[float], baseline: Sequence[float], outcomes: Sequence[int]) -> float | None:
    """One minus our Brier score over the baseline's, on the same rows.

    Args:
        probabilities: ours, shape (n,).
        baseline: the forecaster to beat, usually the market at the same instants, shape (n,).
        outcomes: shape (n,), 1 if YES, 0 if NO.
    Returns: 1 is perfect, 0 as good as the baseline, below 0 worse; None where the baseline made no error at all:
        nothing can be measured against it.
    Raises: ValueError as brier_score.
    """
    ours, theirs = brier_score(probabilities, outcomes), brier_score(baseline, outcomes)
    return None if theirs == 0 else 1 - ours / theirs


def _require_pairs(probabilities: Sequence[float], outcomes: Sequence[int]) -> None:
    if not outcomes or len(probabilities) != len(outcomes):
        raise ValueError(f"score: {len(probabilities)} probabilities for {len(outcomes)} outcomes")
    for probability in probabilities:
        if not 0 <= probability <= 1:  # also refuses nan
            raise ValueError(f"score: probability outside 0..1: {probability}")
    for outcome in outcomes:
        if outcome not in (0, 1):
            raise ValueError(f"score: outcome is neither 0 nor 1: {outcome}")
