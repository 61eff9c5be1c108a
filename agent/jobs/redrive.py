"""Asks dead letters again, at a person's word.

Law: each is asked in the run in which it died, begun again with all it has kept; only the dead units that are meant
are asked, nothing else is paid. A job whose choice has moved on may not ask for it any more: then it stays dead, and
the answer says so.
"""

import msgspec

from agent.errors import UnknownJob
from agent.jobs.deadletters import DeadLetter, find_dead, load_dead
from agent.jobs.runner import Runner, RunResult


class Redriven(msgspec.Struct, frozen=True, kw_only=True):
    """What became of them."""

    alive: tuple[str, ...]  # keys
    dead: tuple[DeadLetter, ...]
    unasked: tuple[str, ...]  # keys of those in `dead` that the job did not ask for
    runs: tuple[str, ...]  # ids of the runs that were begun again


async def redrive(runner: Runner, job: str, words: str | None) -> Redriven:
    """Ask again. Raises: UnknownJob, NoDeadLetter, StoreError."""
    if job not in runner.specs:
        raise UnknownJob(f"job {job!r:.40}: no such job", advice=f"the jobs are: {', '.join(sorted(runner.specs))}")
    letters = await find_dead(runner.store.reader, job, words)
    keys = {letter.key for letter in letters}
    results = list[RunResult]()
    for slot in sorted({letter.slot for letter in letters}):
        results.append(await runner.run(job, slot, "hand", again=keys))
    before = {letter.key: letter.attempts for letter in letters}
    dead = tuple(letter for letter in await load_dead(runner.store.reader, job) if letter.key in keys)
    return Redriven(
        alive=tuple(sorted(keys - {letter.key for letter in dead})),
        dead=dead,
        unasked=tuple(letter.key for letter in dead if letter.attempts == before[letter.key]),
        runs=tuple(result.run_id for result in results),
    )


def render(found: Redriven) -> str:
    """A line for each."""
    lines = [f"alive  {key}" for key in found.alive]
    for letter in found.dead:
        why = "the job does not ask for it any more" if letter.key in found.unasked else letter.error
        lines.append(f"dead   {letter.key}: {why}")
    return "\n".join(lines)
