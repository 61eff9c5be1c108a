"""Histories nobody would think of: the state machine of sync, over a cloud in memory and over the real functions."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.faults.clouds import PostgresCloud
from tests.faults.machine import SyncMachine
from tests.faults.trial import full_profile

pytestmark = pytest.mark.timeout(0)


def search(machine: type[SyncMachine], *, examples: int, steps: int) -> None:
    """Try so many histories."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=not full_profile(),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


@pytest.mark.fault(4, 17, 18, 34)
def test_fault_4_17_18_34_any_history_of_faults_loses_and_doubles_nothing(trial):
    """Enqueue, send, lose replies, crash, restore, clone, roll back, prune, rotate, in any order."""
    examples = full_profile() * 20 or 25
    search(SyncMachine, examples=examples, steps=50 if full_profile() else 30)
    trial.counted(examples)


@pytest.mark.fault(4, 17, 18, 34)
def test_fault_4_17_18_34_any_history_told_to_the_real_functions_ends_the_same(trial, postgres):
    """A fake that keeps promises the functions do not would prove nothing: fewer histories, the real cloud."""
    told = list[PostgresCloud]()

    class RealMachine(SyncMachine):
        def make_cloud(self) -> PostgresCloud:
            told.append(PostgresCloud(postgres))
            return told[-1]

        def teardown(self) -> None:
            try:
                super().teardown()
            finally:
                self.cloud.drop()

    examples = full_profile() * 4 or 4
    search(RealMachine, examples=examples, steps=30 if full_profile() else 15)
    trial.counted(len(told))
