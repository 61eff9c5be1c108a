"""The life of an on-demand session: how a model moves, and what the session is as a whole. Pure.

Law: a model only moves forward and ends once; what arrives late or twice moves nothing. The cloud's `session_rank`
says the same in SQL, and a test holds them together.
"""

from collections.abc import Iterable, Mapping

from sync.records import SessionState

_RANK: Mapping[SessionState, int] = {
    SessionState.QUEUED: 0,
    SessionState.RESEARCHING: 1,
    SessionState.GENERATING: 2,
    SessionState.COMPLETED: 3,
    SessionState.FAILED: 3,
    SessionState.CANCELLED: 3,
}


def moves(before: SessionState, after: SessionState) -> bool:
    """Whether a model may go from one state to the other."""
    return _RANK[after] > _RANK[before]


def has_ended(state: SessionState) -> bool:
    """Whether nothing more will come."""
    return _RANK[state] == _RANK[SessionState.COMPLETED]


def all_ended(states: Iterable[SessionState]) -> bool:
    """Whether a session of these models is over."""
    return all(has_ended(state) for state in states)
