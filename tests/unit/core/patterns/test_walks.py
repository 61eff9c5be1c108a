"""Momentum and reversal see direction, not volatility: a jump is no trend and swinging is no reversal."""

import pytest

from agent.core.patterns.momentum import Momentum
from agent.core.patterns.reversal import Reversal
from agent.core.patterns.runs import n_moves, walk_z
from tests.unit.core.patterns.made import found, history


def test_many_small_steps_one_way_are_momentum():
    """Ten points in ten steps: nobody rang a bell, and it is news."""
    (finding,) = found(Momentum(), history(mids=[0.40 + 0.01 * i for i in range(11)]))

    assert finding.evidence["move"] == pytest.approx(0.10)
    assert finding.evidence["walk_z"] == pytest.approx(10**0.5, abs=0.001)
    assert finding.score == 65


@pytest.mark.parametrize(
    "mids",
    [
        [0.40] * 10 + [0.60],  # one jump: price_jump tells that
        [0.40, 0.45, 0.41, 0.46, 0.42, 0.47, 0.43, 0.48, 0.44, 0.49],  # swings, and ends higher
        [0.400 + 0.001 * i for i in range(11)],  # one way, and not worth a spread
        [0.40] * 4 + [0.42, 0.44, 0.46, 0.48, 0.50],  # five steps agree by chance
        [0.40 + 0.01 * i for i in range(11)] + [0.50] * 30,  # seven hours ago
    ],
)
def test_a_jump_a_swing_or_an_old_trend_is_no_momentum(mids):
    """False alarms cost a reader more than silence."""
    assert found(Momentum(), history(mids=mids)) == []


def test_a_walk_is_measured_against_its_own_steps():
    """One wild step counts one, however wild; equal steps count the root of their number."""
    assert walk_z([0.1, 0.9]) == pytest.approx(1)
    assert walk_z([0.5, 0.4, 0.3, 0.2, 0.1]) == pytest.approx(-2)
    assert walk_z([0.5, 0.5]) == 0
    assert n_moves([0.5, 0.5, 0.4]) == 1


OUT = [0.40, 0.40, 0.42, 0.46, 0.55, 0.60, 0.60]


@pytest.mark.parametrize("turn", [lambda mid: mid, lambda mid: 1 - mid])
def test_a_run_that_is_taken_back_is_a_reversal(turn):
    """Up and down, and down and up, are the same story."""
    mids = [round(turn(mid), 6) for mid in [*OUT, 0.57, 0.53, 0.50, 0.47, 0.44]]

    (finding,) = found(Reversal(), history(mids=mids))

    assert abs(finding.evidence["run"]) == pytest.approx(0.20)
    assert abs(finding.evidence["back"]) == pytest.approx(0.16)
    assert finding.evidence["extreme"] == pytest.approx(turn(0.60))
    assert finding.score == 40


@pytest.mark.parametrize(
    "mids",
    [
        [*OUT, 0.585, 0.57, 0.555, 0.54, 0.53],  # not yet half the way back
        [*OUT, 0.45],  # back in one jump
        [0.40, 0.40, 0.40, 0.60, 0.54, 0.50, 0.46, 0.42],  # one odd look at the book
        [*OUT, 0.58, 0.59, 0.56, 0.57, 0.54, 0.55, 0.50, 0.52, 0.48],  # swings on the way back
        [0.40, 0.43, 0.46, 0.46, 0.44, 0.43, 0.42, 0.41],  # six points are noise
        [*[0.40, 0.43] * 8, 0.46, 0.49, 0.49, 0.475, 0.46, 0.45, 0.44],  # nine points are its habit
    ],
)
def test_a_pause_a_glitch_or_a_swing_is_no_reversal(mids):
    """A reversal is told once, when it is one."""
    assert found(Reversal(), history(mids=mids)) == []
