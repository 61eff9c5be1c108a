"""What tests of the engine share: a runner over a real file, and retries that do not wait."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stamina

from agent.errors import StoreError
from agent.jobs.context import TRIES, Job
from agent.jobs.runner import JobSpec, Runner
from agent.store.db import Store
from tests.conftest import ManualClock


@pytest.fixture
def instant_retries() -> Iterator[None]:
    """Every try, none of the waiting."""
    stamina.set_testing(True, attempts=TRIES)
    yield
    stamina.set_testing(False)


@pytest.fixture
def make_runner(store: Store, clock: ManualClock, instant_retries: None) -> Callable[..., Runner]:
    """Makes a runner of one job; what is not said is a quarter-hourly "latest" with a minute's limit."""

    def make(job: Job, *, lanes: dict[str, int] | None = None, store: Store = store, **over: Any) -> Runner:
        values = {"name": "job", "run": job, "schedule": "*/15 * * * *", "missed": "latest", "timeout_s": 60.0}
        return Runner(store, clock, [JobSpec(**values | over)], lanes or {})

    return make


def broken_disk() -> StoreError:
    """What the store raises when SQLite cannot go on."""
    error = StoreError("store: COMMIT: SQLITE_IOERR: disk I/O error")
    error.__cause__ = sqlite3.OperationalError("disk I/O error")
    return error
