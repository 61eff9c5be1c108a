"""The audit finds what counters would hide: other content, lost rows, sums that do not close."""

import pytest

from agent.delivery import HeldBatch, compare
from agent.store.outbox import Stream
from sync.protocol import Account

STREAM = Stream(stream_id="s", next_seq=11, token="t", next_token=None)
HERE = [HeldBatch(1, 5, "aa", True), HeldBatch(6, 10, "bb", False)]


def account(**changes) -> Account:
    told = {
        "known": True, "acked": ((1, 5),), "rows": 5, "batches": 1, "inserted": 4, "already_known": 1,
        "quarantined": 0, "set_aside": 0, "ledger": ((1, 5, "aa"),),
    }  # fmt: skip
    return Account(**(told | changes))


def test_two_sides_that_agree_have_no_fault():
    """Pending rows are no fault, and rows let go by retention are in the cloud."""
    found = compare(STREAM, HERE, account(), ())

    assert found.faults == ()
    assert (found.issued, found.pending, found.acked, found.pruned, found.compared) == (10, 5, 5, 0, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ledger": ((1, 5, "cc"),)}, "other content"),
        ({"ledger": (), "acked": (), "rows": 0, "batches": 0, "inserted": 0, "already_known": 0}, "not in the cloud"),
        ({"inserted": 3}, "of 5 rows"),
        ({"acked": ((1, 4),)}, "ledger has 5 rows, its ranges 4"),
        ({"set_aside": 2}, "holds 2"),
    ],
)
def test_each_thing_that_does_not_close_is_a_sentence(changes, words):
    """A number alone tells nobody what to look at."""
    assert any(words in fault for fault in compare(STREAM, HERE, account(**changes), ()).faults)


def test_rows_that_neither_side_holds_are_lost():
    """Retention let them go, and the cloud was restored."""
    found = compare(STREAM, HERE[1:], account(acked=(), ledger=(), rows=0, inserted=0, already_known=0), ())

    assert found.faults == ("1-5: neither here nor in the cloud: lost",)
