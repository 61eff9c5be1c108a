"""What every test may use: a clock that moves when told, an open store, the recordings where they are."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from agent.store.db import Store
from tests.environment import is_ours

# The same cases in each run: what was green here is green there. `make fuzz` looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("random", max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "recordings"


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The present moment."""
        return self.now

    def forward(self, **delta: float) -> datetime:
        """Move on and return the new present."""
        self.now += timedelta(**delta)
        return self.now


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's shell reaches a test, and no log another test has set up."""
    for name in list(os.environ):
        if is_ours(name):
            monkeypatch.delenv(name)
    structlog.reset_defaults()


@pytest.fixture
def clock() -> ManualClock:
    """Noon of a Saturday, standing still."""
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    """An empty edge database on disk."""
    async with await Store.open(tmp_path / "oddsd.db", clock=clock) as opened:
        yield opened


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded venue payloads."""
    if not RECORDINGS.is_dir():
        pytest.skip("no recordings beside the project (../shared/recordings)")
    return RECORDINGS
