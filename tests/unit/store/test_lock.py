"""One process per data directory, whatever way the last one ended."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from agent.errors import AlreadyRunning, StoreError
from agent.store.lock import data_dir_lock


def _hold(folder: Path, held) -> None:
    with data_dir_lock(folder):
        held.set()
        signal.pause()


def test_a_second_holder_is_refused_with_advice(tmp_path):
    """Two daemons on one buffer would fork its numbers."""
    with data_dir_lock(tmp_path), pytest.raises(AlreadyRunning) as raised, data_dir_lock(tmp_path):
        pass

    assert raised.value.exit_code == 75
    assert "run-now" in raised.value.advice


def test_a_killed_holder_leaves_nothing_behind(tmp_path):
    """A power cut must not need a person to remove a lock file."""
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, held))
    process.start()
    assert held.wait(20)
    with pytest.raises(AlreadyRunning), data_dir_lock(tmp_path):
        pass

    os.kill(process.pid, signal.SIGKILL)
    process.join()

    with data_dir_lock(tmp_path):
        pass


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    """The message says what, the advice what to do."""
    blocked = tmp_path / "file"
    blocked.write_text("")

    with pytest.raises(StoreError, match="file") as raised, data_dir_lock(blocked / "data"):
        pass

    assert "writable" in raised.value.advice
