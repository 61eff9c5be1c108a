"""The JSON mode of a model: what lowers it, and for how long."""

from datetime import timedelta

import pytest

from agent.llm.ladder import MEMORY, SPOILT_QUESTIONS, Ladder, Learnt
from agent.llm.models import JsonMode
from tests.factories import NOON

STRICT, BEST, OBJECT = JsonMode


def test_an_unsupported_mode_is_believed_at_once_and_not_for_ever():
    """The service said so itself; a later release of it may say otherwise."""
    ladder = Ladder(STRICT)

    ladder.unsupported(BEST, NOON)

    assert ladder.mode(NOON + MEMORY) is BEST
    assert ladder.mode(NOON + MEMORY + timedelta(seconds=1)) is STRICT


def test_only_a_row_of_spoilt_questions_lowers_the_mode():
    """One answer in the strong mode breaks the row."""
    ladder = Ladder(STRICT)
    told = [ladder.answered(BEST, began_in=STRICT, now=NOON) for _ in range(SPOILT_QUESTIONS - 1)]
    told.append(ladder.answered(STRICT, began_in=STRICT, now=NOON))
    told += [ladder.answered(BEST, began_in=STRICT, now=NOON) for _ in range(SPOILT_QUESTIONS - 1)]

    assert not any(told)
    assert ladder.mode(NOON) is STRICT
    assert ladder.answered(BEST, began_in=STRICT, now=NOON)
    assert ladder.mode(NOON) is BEST
    assert "invalid JSON in mode strict" in ladder.learnt.reason


@pytest.mark.parametrize(
    ("top", "learnt", "mode"), [(BEST, STRICT, BEST), (STRICT, OBJECT, OBJECT), (BEST, BEST, BEST)]
)
def test_memory_never_raises_a_mode(top, learnt, mode):
    """A file from another configuration must not promise what the model cannot do."""
    assert Ladder(top, Learnt(mode=learnt, at=NOON, reason="r")).mode(NOON) is mode
