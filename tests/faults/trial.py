"""What a fault was staged with and what it cost: seeds in, a table out.

Law: a test names its row of the fault list, draws everything random from the seed it is given, and hands in one
settlement per staging; the table counts nothing else. Seeds that once failed come first, for ever (REGRESSIONS).
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import msgspec

from tests.faults.promises import Settlement

OUT = Path(".bench/faults.json")
FIRST_SEED = 20261121

# Seeds that once showed a fault of the product or of a staging, by the name of the test.
REGRESSIONS: dict[str, tuple[int, ...]] = {
    # A torn first page beside its hot journal was taken for a stranger's file.
    "test_fault_5_power_cut_at_the_first_start_leaves_a_whole_file_or_none": (20261121,),
    # asyncpg's own InternalClientError, of a server that died in mid answer, ended the sender.
    "test_fault_32_postgres_killed_or_stopped_in_mid_apply_leaves_one_copy": (20261121,),
    # An I/O error inside a migration ended in a traceback instead of 74.
    "test_fault_10_an_io_error_at_any_write_or_sync_ends_with_74_and_loses_nothing": (20261121,),
}


class Tally(msgspec.Struct):
    """The line of one test in the table."""

    rows: tuple[int, ...]
    fault: str
    stagings: int = 0
    lost: int = 0
    doubled: int = 0
    recovery_s: list[float] = msgspec.field(default_factory=list)

    @property
    def recovery(self) -> str:
        """Median and worst, for people; a dash where nothing had to recover."""
        if not self.recovery_s:
            return "-"
        return f"{median(self.recovery_s):.2f} / {max(self.recovery_s):.2f} s"


def full_profile() -> int:
    """How many seeds `make faults` asked for; 0 in the quick profile of `make test`."""
    return int(os.environ.get("FAULT_SEEDS", "0"))


class Trial:
    """One test's hold on its line."""

    def __init__(self, tally: Tally, name: str) -> None:
        self._tally, self._name = tally, name
        self._began = 0.0
        self.seed = FIRST_SEED

    def seeds(self, *, quick: int = 1, per_seed: int = 1) -> Iterator[int]:
        """The seeds to stage: some in the quick profile, `per_seed` for each asked for in the full one."""
        n = full_profile() * per_seed or quick
        for seed in dict.fromkeys((*REGRESSIONS.get(self._name, ()), *range(FIRST_SEED, FIRST_SEED + n))):
            self.seed = seed
            print(f"{self._name}: seed {seed}")
            yield seed

    def recovering(self) -> None:
        """The fault is over: how long until it is made good counts from here."""
        self._began = time.monotonic()

    def recovered(self) -> None:
        """It is made good now."""
        self._tally.recovery_s.append(time.monotonic() - self._began)

    def counted_recovery(self, seconds: float) -> None:
        """A recovery that was measured elsewhere."""
        self._tally.recovery_s.append(seconds)

    def judged(self, settlement: Settlement, n: int = 1) -> None:
        """Count stagings (n faults under one settlement) and demand that they lost and doubled nothing."""
        self._tally.stagings += n
        self._tally.lost += settlement.lost
        self._tally.doubled += settlement.doubled
        assert settlement.clean, f"seed {self.seed}: {settlement}"

    def counted(self, n: int = 1) -> None:
        """Count stagings whose proof is not a settlement: a refusal, a message, a bounded wait."""
        self._tally.stagings += n


def render(tallies: list[Tally]) -> str:
    """The table for people."""
    lines = [f"{'row':>9}  {'fault':<72} {'stagings':>8} {'lost':>5} {'doubled':>7}  recovery (median / worst)"]
    for tally in sorted(tallies, key=lambda one: one.rows):
        rows = ",".join(map(str, tally.rows))
        lines.append(
            f"{rows:>9}  {tally.fault[:72]:<72} {tally.stagings:>8} {tally.lost:>5} {tally.doubled:>7}  {tally.recovery}"
        )
    return "\n".join(lines)


def save(tallies: list[Tally]) -> None:
    """The same for machines."""
    OUT.parent.mkdir(exist_ok=True)
    rows = [
        {
            "rows": one.rows, "fault": one.fault, "stagings": one.stagings, "lost": one.lost, "doubled": one.doubled,
            "recovery_median_s": round(median(one.recovery_s), 3) if one.recovery_s else None,
            "recovery_worst_s": round(max(one.recovery_s), 3) if one.recovery_s else None,
        }
        for one in tallies
    ]  # fmt: skip
    OUT.write_text(json.dumps({"seeds": full_profile(), "faults": rows}, indent=2) + "\n")
