"""A process that works while it is killed, suspended, told to stop and given other clocks; and everything at once."""

import asyncio
import contextlib
import itertools
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sync.transports.postgres import PostgresTransport
from tests.fakes.nursery import ROOT
from tests.faults.house import House, socket_of
from tests.faults.promises import Settlement, landed_in_postgres, settle
from tests.faults.proxy import FaultProxy, Ill, drawn_plan
from tests.faults.recorder import read_diary, run_worker
from tests.faults.trial import full_profile

pytestmark = pytest.mark.timeout(0)

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
ENDS_WITHIN_S = 40


@asynccontextmanager
async def courier(
    folder: Path, dsn: str, *numbers: int, stderr: Any = asyncio.subprocess.DEVNULL
) -> AsyncIterator[Any]:
    """A courier at work; gone when the block ends."""
    folder.mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.courier", str(folder), dsn, *map(str, numbers), cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=stderr,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def begun(folder: Path, after: int = 0) -> None:
    """Wait until the courier has promised something more."""
    async with asyncio.timeout(ENDS_WITHIN_S):
        while sum("promised" in line for line in _whole_lines(folder)) <= after:
            await asyncio.sleep(0.005)


def _whole_lines(folder: Path) -> list[dict[str, Any]]:
    try:
        return read_diary(folder)
    except ValueError:
        return []  # a line is being written at this moment


def numbers_of(folder: Path) -> tuple[list[int], list[int]]:
    """(promised, attempted) by a folder's diary."""
    diary = read_diary(folder)
    return [one["promised"] for one in diary if "promised" in one], [
        one["attempted"] for one in diary if "attempted" in one
    ]


async def settled(folder: Path, owner: str) -> Settlement:
    """What became of the folder's promises."""
    landed, quarantined = await landed_in_postgres(owner)
    promised, attempted = numbers_of(folder)
    return settle(promised, attempted, landed, quarantined)


@pytest.mark.fault(1)
async def test_fault_1_sigkill_at_random_times_while_storing_and_sending_loses_nothing(trial, tmp_path, postgres):
    """The same promise as at each system call, with the sender at work and the cloud at the other end."""
    for seed in trial.seeds(quick=1):
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        home = tmp_path / str(seed)
        lives = 8 if full_profile() else 3
        for life in range(lives):
            async with courier(home, edge, life * 1_000 + 1, 400) as process:
                await begun(home, after=len(numbers_of(home)[0]) if life else 0)
                await asyncio.sleep(dice.uniform(0, 0.3))
                process.kill()
        trial.recovering()
        async with courier(home, edge, 100_000, 1) as process, asyncio.timeout(ENDS_WITHIN_S):
            assert await process.wait() == 0
        trial.recovered()
        trial.judged(await settled(home, owner), n=lives)


@pytest.mark.fault(41)
async def test_fault_41_a_process_suspended_in_mid_apply_goes_on_where_it_was(trial, tmp_path, postgres):
    """Frozen past every deadline and woken: no tick is lost to it, none is sent twice."""
    for seed in trial.seeds(quick=1):
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        home = tmp_path / str(seed)
        async with courier(home, edge, 1, 150) as process:
            await begun(home)
            await asyncio.sleep(dice.uniform(0, 0.2))
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(2.5)  # longer than the courier's deadlines: there is nothing else to wait for
            process.send_signal(signal.SIGCONT)
            trial.recovering()
            async with asyncio.timeout(ENDS_WITHIN_S):
                assert await process.wait() == 0
            trial.recovered()
        trial.judged(await settled(home, owner))


@pytest.mark.fault(48)
async def test_fault_48_sigterm_in_mid_apply_sends_what_is_held_and_ends(trial, tmp_path, postgres):
    """A stop is no crash: what was stored is sent before the end."""
    for seed in trial.seeds(quick=1):
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        home = tmp_path / str(seed)
        async with courier(home, edge, 1, 2_000) as process:
            await begun(home)
            await asyncio.sleep(dice.uniform(0, 0.2))
            process.terminate()
            trial.recovering()
            async with asyncio.timeout(20):
                assert await process.wait() == 0
            trial.recovered()
        assert {"drained": True} in read_diary(home)
        trial.judged(await settled(home, owner))


@pytest.mark.fault(50)
async def test_fault_50_a_log_that_cannot_be_written_leaves_the_data_path_alone(trial, tmp_path, postgres):
    """A full log disk is no reason to stop storing and sending."""
    owner, edge = postgres.create_database()
    with Path("/dev/full").open("wb") as full:
        async with courier(tmp_path / "home", edge, 1, 20, stderr=full) as process, asyncio.timeout(ENDS_WITHIN_S):
            assert await process.wait() == 0
    trial.judged(await settled(tmp_path / "home", owner))


@pytest.mark.fault(40)
async def test_fault_40_clocks_that_jump_a_day_back_a_week_ahead_and_to_1970_change_no_identity(
    trial, tmp_path, clock, postgres
):
    """No decision about identity, order or duplication reads the clock; it steps between runs and in mid tick."""
    if FAKETIME is None:
        pytest.skip("libfaketime is not installed: clocks of processes cannot be moved")
    for seed in trial.seeds(quick=1):
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        home, moment = tmp_path / str(seed), tmp_path / f"moment-{seed}"
        home.mkdir()
        times = ["-1d", "+7d", "@1970-01-02 00:00:00", "+0"]
        dice.shuffle(times)
        for life, said in enumerate(times):
            _set(moment, said)
            working = asyncio.create_task(
                run_worker(home, "--first", life * 1_000 + 1, "--ticks", 250, env=_faked(moment)), name="worker"
            )
            await begun(home, after=len(numbers_of(home)[0]) if life else 0)
            _set(moment, dice.choice(times))  # a step while it works
            code, errors = await working
            assert code == 0, f"{said}: {errors}"
        promised, _ = numbers_of(home)
        async with House(home, clock) as house:
            trial.recovering()
            for number, (jump, _) in enumerate(itertools.product((-1_440, 10_080, -29_000_000, 1), range(3)), start=1):
                if dice.random() < 0.5:
                    await house.drain(PostgresTransport(edge, host_id="faults"))
                clock.forward(minutes=jump)
                await house.tick(10_000 + number)
                clock.forward(minutes=-jump)
            await house.drain(PostgresTransport(edge, host_id="faults"))
            trial.recovered()
            promised += house.promised
        landed, quarantined = await landed_in_postgres(owner)
        trial.judged(settle(promised, (), landed, quarantined), n=2 * len(times))


def _faked(moment: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(moment), "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip


def _set(moment: Path, said: str) -> None:
    part = moment.with_suffix(".part")
    part.write_text(said + "\n")
    part.replace(moment)


@pytest.mark.fault(54)
async def test_fault_54_everything_at_once_ends_clean(trial, tmp_path, clock, postgres):
    """Kills here, crashes there, every ill of the line between, in one life; then the oracle."""
    ills = [one for one in Ill if one is not Ill.DRIP]
    for seed in trial.seeds(quick=1):
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        home = tmp_path / str(seed)
        lives = 10 if full_profile() else 4
        async with FaultProxy(socket_of(edge)) as proxy:
            for life in range(lives):
                proxy.plans.extend(drawn_plan(dice, ills, longest=60_000) for _ in range(3))
                async with courier(home, edge, life * 1_000 + 1, 200, proxy.port) as process:
                    await begun(home, after=len(numbers_of(home)[0]) if life else 0)
                    await asyncio.sleep(dice.uniform(0, 0.4))
                    if dice.random() < 0.5:
                        await asyncio.to_thread(postgres.restart_immediate)
                    process.kill()
            proxy.plans.clear()
            trial.recovering()
            async with courier(home, edge, 100_000, 1, proxy.port) as process, asyncio.timeout(ENDS_WITHIN_S):
                assert await process.wait() == 0
            trial.recovered()
        trial.judged(await settled(home, owner), n=lives)
        async with House(home, clock) as house:
            assert await house.store.reader.fetch_value("PRAGMA integrity_check(1)") == "ok"
