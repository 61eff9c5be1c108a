"""The life of an on-demand session, as a table."""

import itertools

import pytest

from agent.core.sessions import all_ended, has_ended, moves
from sync.records import SessionState

S = SessionState
ENDS = (S.COMPLETED, S.FAILED, S.CANCELLED)


@pytest.mark.parametrize(
    ("before", "after"),
    [(S.QUEUED, S.RESEARCHING), (S.QUEUED, S.GENERATING), (S.RESEARCHING, S.GENERATING)]
    + [(before, end) for before in (S.QUEUED, S.RESEARCHING, S.GENERATING) for end in ENDS],
)
def test_a_model_moves_forward(before, after):
    """Steps may be missed, for the newest batch travels first; none is taken back."""
    assert moves(before, after)
    assert not moves(after, before)


@pytest.mark.parametrize(("first", "second"), [*itertools.product(ENDS, ENDS)])
def test_an_end_stands(first, second):
    """What ended once is not ended again, differently or the same."""
    assert not moves(first, second)


def test_a_session_is_over_when_its_last_model_is():
    """One that works keeps all of it open."""
    assert all_ended([S.COMPLETED, S.FAILED])
    assert not all_ended([S.COMPLETED, S.GENERATING])
    assert [state for state in S if has_ended(state)] == list(ENDS)
