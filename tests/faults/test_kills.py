"""Death and refusal at the system call: SIGKILL, EIO and ENOSPC at every write, sync, truncation, removal and rename.

The full profile sweeps every index of a scripted run; the quick one draws a few. The page cache survives a kill, so
what is found is what the kernel was told.
"""

import asyncio
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.files import look
from tests.faults.recorder import HIT, read_diary, record, run_worker
from tests.faults.trial import full_profile

pytestmark = [pytest.mark.usefixtures("strace"), pytest.mark.timeout(0)]

SCRIPT = ("--ticks", 4, "--chores")
CALLS = {"pwrite64": "write", "fdatasync": "sync", "ftruncate": "truncate", "unlink": "unlink", "rename": "rename"}
KILLED = -9
FOUND = ("unlink:error=ENOSPC:when=2",)  # each was a fault of ours once: staged in every profile
SURFACED = {0, 74}  # done in spite of it, or a store's error under its own code


@pytest.fixture
async def indexes(tmp_path: Path) -> Counter[str]:
    """How often the script makes each system call: the indexes of the sweep."""
    home = tmp_path / "counted"
    home.mkdir()
    done = Counter(one.does.value for one in await record(home, tmp_path / "trace", *SCRIPT) if one.name in HIT)
    return Counter({call: done[word] for call, word in CALLS.items() if done[word]})


def drawn(dice: random.Random, indexes: Counter[str], n: int) -> list[tuple[str, int]]:
    """(system call, index): all of them in the full profile, in the quick one some, each call among them."""
    every = [(call, index) for call in indexes for index in range(1, indexes[call] + 1)]
    if full_profile():
        return every
    one_of_each = [(call, dice.randint(1, indexes[call])) for call in indexes]
    return list(dict.fromkeys(one_of_each + dice.sample(every, n)))


async def staged(trial, folder: Path, clock, inject: str, script=SCRIPT) -> tuple[str, int, str]:
    """Run the script into one fault and open what is left; (the fault, exit code, what it said)."""
    folder.mkdir()
    code, errors = await run_worker(folder, *script, inject=inject)
    began = time.monotonic()
    found = await look(folder, read_diary(folder), clock, pruned=True)
    trial.counted_recovery(time.monotonic() - began)
    assert found.sound, f"seed {trial.seed}, {inject}, exit {code}: {found}"
    trial.judged(found.settlement)
    shutil.rmtree(folder)
    return inject, code, errors


async def swept(trial, home: Path, clock, injects: list[str], script=SCRIPT) -> AsyncIterator[tuple[str, int, str]]:
    """Stage each of these faults, as many at once as there are cores."""
    n_cores = os.cpu_count() or 1
    for first in range(0, len(injects), n_cores):
        some = injects[first : first + n_cores]
        for told in await asyncio.gather(*(staged(trial, home / name(one), clock, one, script) for one in some)):
            yield told


def name(inject: str) -> str:
    """A folder of its own for each fault."""
    return inject.replace(":", "-").replace("=", "-")


@pytest.mark.fault(1, 2)
async def test_fault_1_2_sigkill_at_each_write_sync_truncate_and_unlink_loses_nothing(trial, tmp_path, clock, indexes):
    """Whatever call a kill hits, the commit before it stands and the one under way stands wholly or not."""
    n_killed = 0
    for seed in trial.seeds():
        injects = [f"{call}:signal=SIGKILL:when={index}" for call, index in drawn(random.Random(seed), indexes, 6)]
        async for _, code, _ in swept(trial, tmp_path, clock, injects):
            n_killed += code in {KILLED, 137}
        if full_profile():
            break  # the sweep is whole: another seed would repeat it
    assert n_killed > 0, "nothing was killed: this run proved nothing"


@pytest.mark.fault(8)
async def test_fault_8_no_space_at_any_write_is_an_error_in_words_and_loses_nothing(trial, tmp_path, clock, indexes):
    """ENOSPC may come at the log, the index or the file itself; each time it is told once and nothing promised goes."""
    await _refused(trial, tmp_path, clock, indexes, "ENOSPC", seed=1)


@pytest.mark.fault(10)
async def test_fault_10_an_io_error_at_any_write_or_sync_ends_with_74_and_loses_nothing(
    trial, tmp_path, clock, indexes
):
    """A device that fails once may have dropped pages: the process ends under its code, the next start reads again."""
    await _refused(trial, tmp_path, clock, indexes, "EIO", seed=2)


async def _refused(trial, tmp_path: Path, clock, indexes: Counter[str], error: str, *, seed: int) -> None:
    n_told = 0
    for base in trial.seeds():
        dice = random.Random(base + seed)
        injects = [f"{call}:error={error}:when={index}" for call, index in drawn(dice, indexes, 4)]
        injects += [one for one in FOUND if error in one and one not in injects]
        async for inject, code, errors in swept(trial, tmp_path, clock, injects):
            assert code in SURFACED, f"seed {base}, {inject}: exit {code}: {errors}"
            assert "Traceback" not in errors, f"{inject}: {errors}"
            n_told += code == 74
        if full_profile():
            break
    assert n_told > 0, "no error came through: this run proved nothing"


@pytest.mark.fault(10)
async def test_fault_10_an_io_error_while_reading_ends_with_74(trial, tmp_path, clock):
    """A file that cannot be read is a store's error with its own code, never a traceback."""
    for _ in trial.seeds():
        home = tmp_path / f"read-{trial.seed}"
        home.mkdir()
        assert (await run_worker(home, "--ticks", 2))[0] == 0
        for index in (1, 2, 4):
            code, errors = await run_worker(home, "--first", 3, "--ticks", 1, inject=f"pread64:error=EIO:when={index}+")
            assert code == 74, f"pread64 {index}: exit {code}: {errors}"
            assert "Traceback" not in errors, errors
            trial.counted()
        found = await look(home, read_diary(home), clock)
        assert found.sound, found
        break


@pytest.mark.fault(15)
async def test_fault_15_a_migration_killed_at_any_write_runs_again_and_keeps_its_backup(trial, tmp_path, clock):
    """The next start migrates from what the kill left; the copy from before is whole or not there."""
    script = ("--schema", 4, "--ticks", 1)
    home = tmp_path / "counted"
    home.mkdir()
    operations = await record(home, tmp_path / "trace", *script)
    hit = [one for one in operations if one.name in HIT]
    indexes = Counter(c for c, word in CALLS.items() for one in hit if one.does.value == word)
    for seed in trial.seeds():
        injects = [f"{call}:signal=SIGKILL:when={index}" for call, index in drawn(random.Random(seed), indexes, 4)]
        async for _ in swept(trial, tmp_path, clock, injects, script):
            pass
        if full_profile():
            break
