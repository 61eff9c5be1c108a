"""Histories nobody would think of: the state machine of sync, and the shortest ones it has found."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.machine import SyncMachine
from tests.faults.trial import full_profile


@pytest.mark.fault(4, 17, 18, 34)
@pytest.mark.timeout(0)
def test_fault_4_17_18_34_any_history_of_faults_loses_and_doubles_nothing(trial):
    """Enqueue, send, lose replies, crash, restore, clone, roll back, prune, rotate, in any order."""
    examples = full_profile() * 20 or 25
    run_state_machine_as_test(
        SyncMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50 if full_profile() else 30,
            derandomize=not full_profile(),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    trial.counted(examples)
