"""Any history of ticks, sends, lost replies, crashes, restores, clones, rollbacks, prunes and rotations, as a state machine.

Law: it remembers only what was promised and what a person gave up by restoring an older file or pruning what the cloud
then lost; everything else must be found in the cloud once every line is good again. Driven by Hypothesis.
"""

import asyncio
import contextlib
import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from agent.store.retention import prune_batches
from sync.errors import SinkUnavailable, TransportError
from tests.conftest import ManualClock
from tests.faults.clouds import Cloud, MemoryCloud
from tests.faults.files import all_batches
from tests.faults.house import House
from tests.faults.promises import Settlement, settle

MOST_HOUSES = 3  # the first, and clones of it
LATER = datetime(2030, 1, 1, tzinfo=UTC)
HOUSES = st.integers(0, MOST_HOUSES - 1)


class SyncMachine(RuleBasedStateMachine):
    """One cloud, one edge and its clones."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._root = Path(tempfile.mkdtemp(prefix="oddsd-machine-"))
        self.cloud = self.make_cloud()
        self.clock = ManualClock()
        self.houses: list[House] = []
        self.promised = set[int]()
        self.given_up = set[int]()  # lost with a file a person replaced, or pruned before the cloud lost it
        self._numbers = iter(range(1, 1_000_000))
        self._copies: dict[int, tuple[Path, set[int]]] = {}  # house -> (files, what they promise)
        self._snapshot: tuple[Any, set[int]] | None = None  # (cloud, what it held)
        self._of: list[set[int]] = []  # what each house's file promises

    def make_cloud(self) -> Cloud:
        """What this history is told to."""
        return MemoryCloud()

    @initialize()
    def begin(self) -> None:
        """A new edge."""
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        self._open(House(self._root / "house-0", self.clock, host_id="h0"), set())

    def _open(self, house: House, promises: set[int]) -> None:
        house.folder.mkdir(exist_ok=True)
        self._runner.run(house.open())
        self.houses.append(house)
        self._of.append(promises)

    def _house(self, index: int) -> int:
        return index % len(self.houses)

    @rule(index=HOUSES, n=st.integers(1, 3))
    def enqueue(self, index: int, n: int) -> None:
        """Ticks are stored and sealed."""
        house = self._house(index)
        for _ in range(n):
            number = next(self._numbers)
            self._runner.run(self.houses[house].tick(number))
            self.promised.add(number)
            self._of[house].add(number)

    @rule(index=HOUSES, n_lost=st.integers(0, 2), n_cut=st.integers(0, 1), refused=st.booleans())
    def send(self, index: int, n_lost: int, n_cut: int, refused: bool) -> None:
        """A sender tries until a failure; replies are lost, requests cut, connections refused."""
        if refused:
            self.cloud.connect_errors.append(SinkUnavailable("connect: refused"))
        for _ in range(n_lost):
            self.cloud.lose_next_reply()
        self.cloud.apply_errors.extend(SinkUnavailable("apply: cut") for _ in range(n_cut))
        self._runner.run(self._send(self.houses[self._house(index)]))

    async def _send(self, house: House) -> None:
        with contextlib.suppress(TransportError):
            await house.sender(self.cloud).drain()

    @rule(index=HOUSES)
    def crash(self, index: int) -> None:
        """The process is killed and starts again on what the kernel had."""
        self._runner.run(self.houses[self._house(index)].crash())

    @rule(index=HOUSES)
    def back_up(self, index: int) -> None:
        """Somebody copies the files."""
        house = self._house(index)
        self._copies[house] = (self.houses[house].copy("backup"), set(self._of[house]))

    @precondition(lambda self: self._copies)
    @rule(index=HOUSES)
    def restore(self, index: int) -> None:
        """Somebody puts the copy back: what was stored since, and not sent, is that person's loss and nobody else's."""
        house = self._house(index)
        if house not in self._copies:
            return
        files, promises = self._copies[house]
        self._runner.run(self.houses[house].close())
        self.houses[house].put_back(files)
        self._runner.run(self.houses[house].open())
        elsewhere = set[int]().union(*(one for i, one in enumerate(self._of) if i != house))
        self.given_up |= self._of[house] - promises - elsewhere - self._in_cloud()
        self._of[house] = set(promises)

    @precondition(lambda self: len(self.houses) < MOST_HOUSES)
    @rule(index=HOUSES)
    def clone(self, index: int) -> None:
        """The disk is copied into another machine, and both run."""
        house = self._house(index)
        copy = self.houses[house].copy("clone")
        twin = House(self._root / f"house-{len(self.houses)}", self.clock, host_id=f"h{len(self.houses)}")
        twin.folder.mkdir()
        twin.put_back(copy)
        self._open(twin, set(self._of[house]))

    @rule()
    def snapshot_cloud(self) -> None:
        """The cloud is backed up."""
        self._snapshot = (self.cloud.copy_state(), self._in_cloud())

    @precondition(lambda self: self._snapshot is not None)
    @rule()
    def roll_back_cloud(self) -> None:
        """The cloud is restored: what an edge still retains comes again, what nobody retains is lost and known."""
        assert self._snapshot is not None
        state, held = self._snapshot
        before = self._in_cloud()
        self.cloud.restore(state)
        retained = set[int]().union(*(self._runner.run(_retained(house)) for house in self.houses))
        self.given_up |= before - held - retained

    @rule(index=HOUSES)
    def prune(self, index: int) -> None:
        """Retention deletes what the cloud has acknowledged."""
        self._runner.run(self._prune(self.houses[self._house(index)]))

    async def _prune(self, house: House) -> None:
        async with house.store.write() as tx:
            await prune_batches(tx, LATER)

    @rule(index=HOUSES)
    def rotate(self, index: int) -> None:
        """An operator starts a new stream."""
        self._runner.run(self.houses[self._house(index)].rotate())

    @rule(minutes=st.integers(-2_000, 2_000))
    def set_clock(self, minutes: int) -> None:
        """Nothing about identity or order may hang on it."""
        self.clock.now += timedelta(minutes=minutes)

    def _in_cloud(self) -> set[int]:
        return {_number(key.split()[1]) for key, _ in self.cloud.landed()}

    def teardown(self) -> None:
        """Every line is good again: all drain, a fresh tick arrives, and nothing is missing, doubled or altered."""
        try:
            if self.houses:
                self.cloud.mend()
                settlement = self._runner.run(self._settle())
                assert settlement.clean, settlement
        finally:
            for house in self.houses:
                self._runner.run(house.close())
            self._runner.close()
            shutil.rmtree(self._root, ignore_errors=True)
            structlog.reset_defaults()

    async def _settle(self) -> Settlement:
        for house in self.houses:
            fresh = next(self._numbers)
            await house.tick(fresh)
            self.promised.add(fresh)
        for house in self.houses * 2:  # a twin's hello may send the other back to its own
            await house.drain(self.cloud, within_s=20)
        for house in self.houses:
            assert await house.pending() == 0
        lost_on_purpose = self.given_up - self._in_cloud()
        return settle(self.promised - lost_on_purpose, self.promised, self.cloud.landed())


async def _retained(house: House) -> set[int]:
    """The ticks whose batches are still in the file."""
    batches = await all_batches(house.store)
    return {_number(row["market_key"]) for one in batches for row in json.loads(one.text())}


def _number(market_key: str) -> int:
    return int(market_key.partition("0x")[2], 16)
