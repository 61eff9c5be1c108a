"""The snapshot file: whole, readable by the group, and honest about what is wrong with it."""

import os
import stat

import pytest

from agent.errors import SnapshotUnreadable
from agent.status.report import report
from agent.status.snapshot import load_snapshot, save_snapshot
from tests.unit.status.house import NOW, make_live, make_state

REPORT = report(make_state(), make_live(), NOW)


def test_what_was_saved_is_loaded(tmp_path) -> None:
    """The report comes back unchanged with the time it was written, and nothing else is left in the folder."""
    path = tmp_path / "status.json"
    save_snapshot(path, REPORT, now=NOW)
    save_snapshot(path, REPORT, now=NOW)

    snapshot = load_snapshot(path)
    assert snapshot is not None
    assert (snapshot.report, snapshot.written_at) == (REPORT, NOW)
    assert [file.name for file in tmp_path.iterdir()] == ["status.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_no_file_is_none(tmp_path) -> None:
    """A daemon that never ran has no snapshot; that is not an error."""
    assert load_snapshot(tmp_path / "status.json") is None


def test_failed_write_leaves_the_old_snapshot(tmp_path, monkeypatch) -> None:
    """A full disk in the middle of a write must not take the last good words away, nor leave a scrap behind."""
    path = tmp_path / "status.json"
    save_snapshot(path, REPORT, now=NOW)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fchmod", full)
    with pytest.raises(OSError, match="No space left"):
        save_snapshot(path, REPORT, now=NOW)

    assert load_snapshot(path) is not None
    assert [file.name for file in tmp_path.iterdir()] == ["status.json"]


@pytest.mark.parametrize("content", [b"", b'{"written_at": ', b'{"written_at": "2026-03-17T14:15:43Z"}'])
def test_damaged_file_is_a_named_error(tmp_path, content) -> None:
    """Half a file is not "not running": the operator is told what is damaged and what to do."""
    path = tmp_path / "status.json"
    path.write_bytes(content)

    with pytest.raises(SnapshotUnreadable, match=r"status\.json") as caught:
        load_snapshot(path)
    assert caught.value.advice
