"""What an operator asks of the jobs: to pause and resume them, and what became of their dead letters.

Law: a pause is a row, so it holds whether or not the daemon runs; the answer is always what stands afterwards.
"""

from typing import Any, ClassVar

import msgspec

from agent.desk.base import Ask, Desk
from agent.errors import UnknownJob
from agent.jobs.deadletters import DeadLetter, drop, find_dead, load_dead
from agent.jobs.pauses import EVERY_JOB, Pause, load_pauses, pause, resume
from agent.jobs.table import TIMERS


class Pauses(msgspec.Struct, frozen=True, kw_only=True):
    """What stands after the answer; `changed` is False where a resume found nothing to end."""

    changed: bool
    standing: tuple[Pause, ...]


class AskPause(Ask[Pauses], frozen=True, kw_only=True):
    """No timer starts the job any more; without a job none at all."""

    verb: ClassVar[str] = "pause"
    writes: ClassVar[bool] = True
    answer_type: ClassVar[Any] = Pauses
    job: str | None = None
    reason: str | None = None

    async def answer(self, desk: Desk) -> Pauses:
        """Raises: UnknownJob."""
        job = _known(self.job)
        async with desk.store.write() as tx:
            await pause(tx, job, self.reason, now=desk.now)
            return Pauses(changed=True, standing=tuple((await load_pauses(tx)).values()))


class AskResume(Ask[Pauses], frozen=True, kw_only=True):
    """Timers start the job again; without a job, all of them, and no pause stands any more."""

    verb: ClassVar[str] = "resume"
    writes: ClassVar[bool] = True
    answer_type: ClassVar[Any] = Pauses
    job: str | None = None

    async def answer(self, desk: Desk) -> Pauses:
        """Raises: UnknownJob."""
        job = _known(self.job)
        async with desk.store.write() as tx:
            standing = await load_pauses(tx)
            ended = [await resume(tx, name) for name in standing if job in {name, EVERY_JOB}]
            return Pauses(changed=any(ended), standing=tuple((await load_pauses(tx)).values()))


class AskDeadLetters(Ask[list[DeadLetter]], frozen=True, kw_only=True):
    """Of one job or of all, the newest first."""

    verb: ClassVar[str] = "dead_letters"
    answer_type: ClassVar[Any] = list[DeadLetter]
    job: str | None = None

    async def answer(self, desk: Desk) -> list[DeadLetter]:
        """Raises: UnknownJob."""
        if self.job is not None:
            _known(self.job)
        return await load_dead(desk.store.reader, self.job)


class AskDrop(Ask[list[DeadLetter]], frozen=True, kw_only=True):
    """Gives up a job's dead letters, all of them or those with these words in their key; answers which."""

    verb: ClassVar[str] = "drop_dead_letters"
    writes: ClassVar[bool] = True
    answer_type: ClassVar[Any] = list[DeadLetter]
    job: str
    words: str | None = None

    async def answer(self, desk: Desk) -> list[DeadLetter]:
        """Raises: UnknownJob, NoDeadLetter."""
        letters = await find_dead(desk.store.reader, _known(self.job), self.words)
        async with desk.store.write() as tx:
            await drop(tx, letters, now=desk.now)
        return letters


def render_pauses(found: Pauses) -> str:
    """What stands, in words."""
    if not found.standing:
        return "every job follows its timer" if found.changed else "nothing was paused"
    return "\n".join(_pause_line(one) for one in found.standing)


def _pause_line(one: Pause) -> str:
    which = "all jobs" if one.job == EVERY_JOB else one.job
    return f"{which} paused since {one.paused_at:%Y-%m-%d %H:%M} UTC{f': {one.reason}' if one.reason else ''}"


def render_dead(letters: list[DeadLetter]) -> str:
    """A block for each."""
    if not letters:
        return "no dead letters"
    return "\n".join(
        f"{one.job}  {one.key}\n  died {one.died_at:%Y-%m-%d %H:%M} UTC after {one.attempts} tries in run"
        f" {one.run_id[-8:]}: {one.error}"
        for one in letters
    )


def _known(job: str | None) -> str:
    if job is not None and job not in TIMERS:
        raise UnknownJob(f"job {job!r:.40}: no such job", advice=f"the jobs are: {', '.join(TIMERS)}")
    return EVERY_JOB if job is None else job
