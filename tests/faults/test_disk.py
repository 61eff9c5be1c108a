"""The disk is full, out of inodes, read-only, or somebody else's: told in words, nothing promised goes, work goes on."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from agent.errors import AlreadyRunning, SchemaMismatch, StoreBroken, StoreError
from agent.store.db import Store
from agent.store.lock import data_dir_lock
from agent.store.recover import recover
from sync.transports.postgres import PostgresTransport
from tests.faults.caves import WORKER, inside, need_root, on_small_disk
from tests.faults.files import look
from tests.faults.house import House, streams_of
from tests.faults.recorder import read_diary, run_worker
from tests.faults.worker import DATABASE

pytestmark = pytest.mark.timeout(0)


@pytest.fixture
def rooms(tmp_path: Path) -> tuple[Path, Path]:
    """(where the small disk is mounted, where its files are brought)."""
    need_root()
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    out.mkdir()
    return disk, out


@pytest.mark.fault(6)
async def test_fault_6_a_full_disk_refuses_in_words_and_recovers_without_a_restart(trial, rooms, clock):
    """A tick that finds no room is refused whole, and the same process stores it when room returns."""
    disk, out = rooms
    for seed in trial.seeds(quick=1):
        free_kb = random.Random(seed).randint(40, 400)
        commands = (
            f"{WORKER} {disk} --ticks 3 && fallocate -l $(( $(df --output=avail -B1 {disk} | tail -1) - {free_kb * 1024} ))"
            f" {disk}/filler && {WORKER} {disk} --first 4 --ticks 60 --again --filler {disk}/filler"
        )
        code, said = await inside(on_small_disk(disk, out, "size=6m", commands), "--mount")
        diary = read_diary(out)
        assert code == 0, said
        assert any("full" in line for line in diary), "the disk was never full: this run proved nothing"
        found = await look(out, diary, clock)
        assert found.sound, f"seed {seed}, {free_kb} kB: {found}"
        trial.judged(found.settlement)
        for one in out.iterdir():
            one.unlink()


@pytest.mark.fault(7)
async def test_fault_7_a_full_disk_is_pruned_out_of_with_the_ballast_and_gets_it_back(trial, rooms, clock):
    """Deleting needs room too: the ballast gives it, acknowledged batches go, unacknowledged ones stay, then it returns."""
    disk, out = rooms
    for seed in trial.seeds(quick=1):
        free_kb = random.Random(seed).randint(40, 300)
        commands = (
            f"{WORKER} {disk} --ticks 30 --chores --relief --filler {disk}/filler"
            f" && fallocate -l $(( $(df --output=avail -B1 {disk} | tail -1) - {free_kb * 1024} )) {disk}/filler"
            f" && {WORKER} {disk} --first 31 --ticks 60 --chores --again --relief --filler {disk}/filler"
        )
        code, said = await inside(on_small_disk(disk, out, "size=100m", commands), "--mount")
        diary = read_diary(out)
        assert code == 0, said
        assert any("relieved" in line for line in diary), "the disk was never full: this run proved nothing"
        assert [line["ballast"] for line in diary if "ballast" in line] == [True] * 4
        found = await look(out, diary, clock, pruned=True)
        assert found.sound, f"seed {seed}, {free_kb} kB: {found}"
        trial.judged(found.settlement)
        for one in out.iterdir():
            one.unlink()


@pytest.mark.fault(9)
async def test_fault_9_a_disk_without_inodes_is_an_error_in_words(trial, rooms, clock):
    """The log of writes cannot be made: nothing is stored half, the exit code is the store's, the word is said."""
    disk, out = rooms
    commands = (
        f"{WORKER} {disk} --ticks 2 && n=0 && while touch {disk}/filler-$n 2>/dev/null; do n=$((n+1)); done;"
        f"{WORKER} {disk} --first 3 --ticks 1"
    )
    code, said = await inside(on_small_disk(disk, out, "size=16m,nr_inodes=40", commands), "--mount")
    diary = read_diary(out)

    assert code == 74, said
    assert "Traceback" not in said, said
    assert "no inodes are left" in said, said
    found = await look(out, diary, clock)
    assert found.sound, found
    trial.judged(found.settlement)


@pytest.mark.fault(11)
async def test_fault_11_a_read_only_disk_is_an_error_in_words(trial, rooms, clock):
    """Remounted read-only after an error, as kernels do: the next start says so and touches nothing."""
    disk, out = rooms
    commands = (
        f"{WORKER} {disk} --ticks 2 && mount -o remount,ro {disk} && {WORKER} {disk} --first 3 --ticks 1 --diary {out}"
    )
    code, said = await inside(on_small_disk(disk, out, "size=16m", commands), "--mount")

    assert code == 74, said
    assert "Traceback" not in said, said
    found = await look(out, read_diary(out), clock)
    assert found.sound, found
    trial.judged(found.settlement)


@pytest.mark.fault(13)
async def test_fault_13_a_log_of_writes_deleted_or_replaced_by_another_is_found_and_nothing_doubles(
    trial, tmp_path, clock, postgres
):
    """Told at the start and rotated at once: its numbers are given to nothing else, and the cloud keeps what it had."""
    for seed in trial.seeds(quick=2):
        owner, edge = postgres.create_database()
        road = PostgresTransport(edge, host_id="faults")
        async with House(tmp_path / f"home-{seed}", clock) as house:
            await house.tick(1)
            await house.close()  # folded into the file
            await house.open()
            for number in (2, 3, 4):
                await house.tick(number)
            await house.drain(road)
            left = house.copy("killed")
            await house.close()
            (left / f"{DATABASE}-wal").unlink()
            if seed % 2:
                async with House(tmp_path / f"stranger-{seed}", clock) as stranger:
                    await stranger.close()  # a log that began anew after the file was made, as most have
                    await stranger.open()
                    await stranger.tick(9)
                    shutil.copyfile(stranger.copy("killed") / f"{DATABASE}-wal", left / f"{DATABASE}-wal")
            house.put_back(left)
            if seed % 2:  # pages of two files: found row by row, and moved aside as any damage is
                with pytest.raises(StoreBroken):
                    await house.open()
                await recover(house.folder / DATABASE, backup=None, clock=clock, force=True)
                await house.open()
            else:
                await house.open()
                (_, why), *_ = streams_of(house.folder)
                assert "is gone" in (why or "")
            for number in (5, 6):
                await house.tick(number)
            trial.recovering()
            await house.drain(road)
            trial.recovered()
            # What waits in a stranger's log may come along, whole; what is ours is in the cloud.
            trial.judged(await house.judge(owner, attempted=(9,)))


@pytest.mark.fault(12)
@pytest.mark.parametrize("damage", ["header", "leaf", "zero", "stranger"])
async def test_fault_12_a_damaged_file_is_an_error_in_words_and_is_not_written_to(trial, tmp_path, clock, damage):
    """Nobody salvages by accident: the file stays as it is for `recover`."""
    home = tmp_path / "home"
    async with House(home, clock) as house:
        for number in range(20):
            await house.tick(number)
    database = home / DATABASE
    image = bytearray(database.read_bytes())
    dice = random.Random(trial.seed)
    if damage == "header":
        image[:100] = dice.randbytes(100)
    elif damage == "leaf":
        image[4096:] = dice.randbytes(len(image) - 4096)
    elif damage == "stranger":
        image = bytearray(b"this was never a database\n" * 1000)
    database.write_bytes(b"" if damage == "zero" else image)
    before = database.read_bytes()

    if damage == "zero":  # an empty file is a new one: its stream is new, so no number is given twice
        async with House(home, clock) as again:
            await again.tick(1)
    else:
        with pytest.raises(StoreError) as told:
            async with await Store.open(database, clock=clock):
                pass
        assert str(database) in str(told.value)
        assert database.read_bytes() == before
    trial.counted()


@pytest.mark.fault(12)
async def test_fault_12_a_damaged_file_is_moved_aside_as_a_trio_and_work_goes_on_under_a_new_stream(
    trial, tmp_path, clock, postgres
):
    """What can still be read and had not been sent travels; what the cloud had is not doubled by it."""
    owner, edge = postgres.create_database()
    road = PostgresTransport(edge, host_id="faults")
    for seed in trial.seeds(quick=2):
        home = tmp_path / f"home-{seed}"
        async with House(home, clock) as house:
            for number in range(20):
                await house.tick(number)
            await house.drain(road)
            (stream,) = streams_of(home)
        database, dice = home / DATABASE, random.Random(seed)
        image = bytearray(database.read_bytes())
        for page in dice.sample(range(2, len(image) // 4096), 12):
            image[page * 4096 : page * 4096 + 4096] = dice.randbytes(4096)
        database.write_bytes(image)

        trial.recovering()
        told = await recover(database, backup=None, clock=clock)
        assert told.aside is not None
        assert Path(told.aside).read_bytes() == image
        async with House(home, clock) as again:
            assert stream[0] not in [one for one, _ in streams_of(home)]
            await again.tick(1_000)
            await again.drain(road)
            trial.recovered()
            again.promised += range(20)
            trial.judged(await again.judge(owner))
        break


@pytest.mark.fault(12)
async def test_fault_12_a_flipped_bit_in_the_log_of_writes_ends_the_log_there_and_doubles_nothing(
    trial, tmp_path, clock, postgres
):
    """SQLite leaves out all that follows a wrong sum: the file went back in time, and its numbers are given again."""
    for seed in trial.seeds(quick=3):
        dice = random.Random(seed)
        owner, edge = postgres.create_database()
        road = PostgresTransport(edge, host_id="faults")
        async with House(tmp_path / f"home-{seed}", clock) as house:
            if dice.random() < 0.5:
                await house.close()  # the schema is in the file itself, as in most lives
                await house.open()
            for number in range(1, 7):
                await house.tick(number)
            await house.drain(road)
            left = house.copy("killed")
            await house.close()
            log = left / f"{DATABASE}-wal"
            image = bytearray(log.read_bytes())
            image[dice.randrange(32, len(image))] ^= 1 << dice.randrange(8)
            log.write_bytes(image)
            house.put_back(left)
            await house.open()
            for number in (7, 8):
                await house.tick(number)
            trial.recovering()
            await house.drain(road)
            trial.recovered()
            trial.judged(await house.judge(owner))


@pytest.mark.fault(14)
async def test_fault_14_a_newer_schema_is_refused_with_78_and_the_file_untouched(trial, tmp_path, clock):
    """A downgrade must not guess what a newer release meant."""
    async with House(tmp_path, clock) as house:
        await house.tick(1)
    connection = sqlite3.connect(tmp_path / DATABASE)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = (tmp_path / DATABASE).read_bytes()

    with pytest.raises(SchemaMismatch) as told:
        await Store.open(tmp_path / DATABASE, clock=clock)

    assert told.value.exit_code == 78
    assert (tmp_path / DATABASE).read_bytes() == before
    trial.counted()


@pytest.mark.fault(16)
async def test_fault_16_a_second_daemon_on_one_folder_is_refused_with_75(trial, tmp_path):
    """Two writers would give the same numbers to different content."""
    with data_dir_lock(tmp_path):
        with pytest.raises(AlreadyRunning) as told, data_dir_lock(tmp_path):
            pass
        assert told.value.exit_code == 75
    trial.counted()


@pytest.mark.fault(51)
async def test_fault_51_without_file_handles_the_store_fails_in_words_and_the_next_start_is_whole(
    trial, tmp_path, clock
):
    """A limit of handles is an error like any other, not a corruption."""
    home = tmp_path / "home"
    home.mkdir()
    assert (await run_worker(home, "--ticks", 2))[0] == 0
    told = list[str]()
    for limit in range(4, 12):  # below the interpreter itself finds none, above the work is done
        code, said = await inside(f"ulimit -n {limit}\nexec {WORKER} {home} --first 3 --ticks 1", "--mount")
        assert code, said
        if code == 74:
            told.append(said)
        trial.counted()
    assert told, "no limit met the store: this run proved nothing"
    assert not any("Traceback" in said for said in told), told
    found = await look(home, read_diary(home), clock)
    assert found.sound, found
