"""The power goes: at any write of a recorded run, with unsynced writes dropped, reordered and torn."""

import random
import shutil
from pathlib import Path

import pytest

from tests.faults.disk import Disk
from tests.faults.files import look
from tests.faults.promises import Settlement
from tests.faults.recorder import Does, Operation, record
from tests.faults.trial import full_profile

pytestmark = pytest.mark.usefixtures("strace")


async def cut_power(trial, tmp_path: Path, clock, operations: list[Operation], *, n_cuts: int, dice, pruned=False):
    """Cut at drawn instants of one recorded run; each leftover is opened by the product and weighed."""
    disk, diary, done = Disk(), list[dict[str, object]](), 0
    for index in sorted(dice.choices(range(len(operations)), k=n_cuts)):
        for one in operations[done:index]:
            if one.does is Does.DIARY:
                diary.append(one.line)
            else:
                disk.apply(one)
        done = max(done, index)
        folder = tmp_path / "left"
        folder.mkdir()
        loses = disk.cut(folder, dice)
        trial.recovering()
        found = await look(folder, diary, clock, pruned=pruned)
        trial.recovered()
        shutil.rmtree(folder)
        assert found.sound, f"seed {trial.seed}, cut at operation {index}, unsynced lost: {loses}: {found}"
        trial.judged(found.settlement)


@pytest.mark.fault(3)
@pytest.mark.timeout(0)
async def test_fault_3_power_cut_in_commit_checkpoint_prune_and_vacuum_loses_nothing_promised(trial, tmp_path, clock):
    """FULL means that what was promised is there after any cut, and no number is given twice."""
    home = tmp_path / "home"
    home.mkdir()
    operations = await record(home, tmp_path / "trace", "--ticks", 14, "--chores")
    assert {Does.WRITE, Does.SYNC, Does.TRUNCATE} <= {one.does for one in operations}, "no run to cut"

    for seed in trial.seeds(quick=1):
        n_cuts = 120 if full_profile() else 60
        await cut_power(trial, tmp_path, clock, operations, n_cuts=n_cuts, dice=random.Random(seed), pruned=True)


@pytest.mark.fault(3, 15)
@pytest.mark.timeout(0)
async def test_fault_3_15_power_cut_in_a_migration_leaves_a_file_that_migrates_again(trial, tmp_path, clock):
    """The backup before it and each of its steps may be cut; the next start finishes the work."""
    home = tmp_path / "home"
    home.mkdir()
    operations = await record(home, tmp_path / "trace", "--schema", 4, "--ticks", 2)

    for seed in trial.seeds(quick=1):
        n_cuts = 60 if full_profile() else 30
        await cut_power(trial, tmp_path, clock, operations, n_cuts=n_cuts, dice=random.Random(seed))


@pytest.mark.fault(5)
@pytest.mark.timeout(0)
async def test_fault_5_power_cut_at_the_first_start_leaves_a_whole_file_or_none(trial, tmp_path, clock):
    """Half a schema would refuse every later start."""
    home = tmp_path / "home"
    home.mkdir()
    operations = await record(home, tmp_path / "trace", "--ticks", 1)
    first = next(i for i, one in enumerate(operations) if one.does is Does.DIARY)

    for seed in trial.seeds(quick=1):
        n_cuts = 40 if full_profile() else 30
        await cut_power(trial, tmp_path, clock, operations[: first + 1], n_cuts=n_cuts, dice=random.Random(seed))


async def test_a_file_without_full_sync_is_caught_by_this_disk(tmp_path, clock):
    """A disk that forgives synchronous=NORMAL would prove nothing about FULL."""
    home = tmp_path / "home"
    home.mkdir()
    operations = await record(home, tmp_path / "trace", "--ticks", 6, "--normal")
    disk, diary, n_lost, dice = Disk(), list[dict[str, object]](), 0, random.Random(1)

    for one in operations:
        if one.does is not Does.DIARY:
            disk.apply(one)
            continue
        diary.append(one.line)
        folder = tmp_path / f"left-{len(diary)}"
        folder.mkdir()
        disk.cut(folder, dice)
        n_lost += (await look(folder, diary, clock)).settlement.lost

    assert n_lost > 0


def test_an_unsynced_write_may_vanish_and_a_synced_one_never_does(tmp_path):
    """The disk's own law."""
    disk, images = Disk(), set[bytes]()
    for one in (
        Operation(Does.CREATE, "a"),
        Operation(Does.WRITE, "a", data=b"old!"),
        Operation(Does.SYNC, "a"),
        Operation(Does.WRITE, "a", data=b"new!"),
    ):
        disk.apply(one)
    for seed in range(40):
        disk.cut(tmp_path, random.Random(seed))
        images.add((tmp_path / "a").read_bytes())

    assert images == {b"old!", b"new!"}
    assert Settlement(promised=1, landed=1).clean
