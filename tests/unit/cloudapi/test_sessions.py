"""What a session is, from its models; and what is said to who waits."""

from datetime import UTC, datetime

import pytest

from cloudapi.queries.sessions import Outlook
from cloudapi.sessions import expectation, status_of
from sync.records import SessionState

S = SessionState
UNTIL = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("models", "session"),
    [
        ((S.QUEUED, S.QUEUED), "QUEUED"),
        ((S.QUEUED, S.FAILED), "RESEARCHING"),
        ((S.RESEARCHING, S.GENERATING), "RESEARCHING"),
        ((S.GENERATING, S.COMPLETED), "GENERATING"),
        ((S.COMPLETED, S.COMPLETED), "COMPLETED"),
        ((S.COMPLETED, S.FAILED), "PARTIAL"),
        ((S.COMPLETED, S.CANCELLED), "PARTIAL"),
        ((S.FAILED, S.FAILED), "FAILED"),
        ((S.FAILED, S.CANCELLED), "FAILED"),
        ((S.CANCELLED, S.CANCELLED), "CANCELLED"),
    ],
)
def test_a_session_is_what_its_models_are(models, session):
    """One word for all of them, that never claims more than the least advanced has done."""
    assert status_of(models) == session


def test_without_an_edge_no_time_is_named():
    """Nobody knows when a machine at home comes back; what is known is until when we wait."""
    said = expectation(Outlook(online=False, seen_at=None, usual_wait_s=1.2), UNTIL)

    assert (said.edge_online, said.starts_in_s) == (False, None)
    assert "2026-11-22 18:00 UTC" in said.says
    assert "credits come back" in said.says


@pytest.mark.parametrize(("measured", "words"), [(1.25, "9 of 10 began within 1.2 s"), (None, "not measured yet")])
def test_with_an_edge_the_estimate_is_what_was_measured(measured, words):
    """A guess is never passed for a measurement."""
    said = expectation(Outlook(online=True, seen_at=UNTIL, usual_wait_s=measured), UNTIL)

    assert said.starts_in_s == measured
    assert words in said.says
