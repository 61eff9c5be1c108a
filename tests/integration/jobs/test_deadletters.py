"""Dead letters: kept with their reason, asked again or given up at a person's word."""

from datetime import UTC, datetime

import pytest

from agent.desk.base import Desk
from agent.desk.jobs import AskDeadLetters, AskDrop, render_dead
from agent.errors import NoDeadLetter, OddsdError, UnknownJob
from agent.jobs.context import RunContext, Unit
from agent.jobs.deadletters import drop, load_dead
from agent.jobs.redrive import redrive, render
from agent.settings import Settings

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Paid:
    """A job of four units; those in `broken` die."""

    def __init__(self) -> None:
        self.asked = list[str]()
        self.broken = {"b", "c"}
        self.wanted = ["a", "b", "c", "d"]

    async def ask(self, name: str) -> Unit:
        self.asked.append(name)
        if name in self.broken:
            raise OddsdError(f"{name} is refused")
        return Unit(name.upper())

    async def __call__(self, ctx: RunContext, slot: datetime) -> None:
        ctx.count(n=len(await ctx.map(self.wanted, key=lambda name: f"ask:{name}", fn=self.ask)))


@pytest.fixture
async def paid() -> Paid:
    return Paid()


async def test_a_dead_letter_is_listed_with_its_reason(store, paid, make_runner):
    """Who decides must know why it died, when and in which run."""
    result = await make_runner(paid).run("job", NOON)

    letters = await load_dead(store.reader)

    assert [(one.key, one.error, one.attempts, one.slot) for one in letters] == [
        ("ask:b", "b is refused", 1, NOON), ("ask:c", "c is refused", 1, NOON),
    ]  # fmt: skip
    assert f"in run {result.run_id[-8:]}: b is refused" in render_dead(letters)
    assert [one.key for one in await load_dead(store.reader, "job", "k:c")] == ["ask:c"]
    assert await load_dead(store.reader, "other") == []


async def test_a_retry_asks_only_the_dead_that_are_meant(paid, make_runner, store):
    """What lives is not paid again, and the other dead one waits for its own word."""
    runner = make_runner(paid)
    await runner.run("job", NOON)
    paid.broken, paid.asked = set(), []

    found = await redrive(runner, "job", "ask:b")

    assert paid.asked == ["b"]
    assert found.alive == ("ask:b",)
    assert [one.key for one in await load_dead(store.reader)] == ["ask:c"]


async def test_a_retry_of_all_makes_the_run_whole(paid, make_runner, store):
    """The run in which they died is the one that ends well."""
    runner = make_runner(paid)
    first = await runner.run("job", NOON)
    paid.broken = set()

    found = await redrive(runner, "job", None)

    assert found.runs == (first.run_id,)
    assert render(found).splitlines() == ["alive  ask:b", "alive  ask:c"]
    assert await store.reader.fetch_value("SELECT state FROM job_runs") == "ok"


async def test_what_dies_again_is_told_with_its_new_tries(paid, make_runner):
    """The count goes on over the runs."""
    runner = make_runner(paid)
    await runner.run("job", NOON)

    found = await redrive(runner, "job", "ask:b")

    assert [(one.key, one.attempts) for one in found.dead] == [("ask:b", 2)]
    assert render(found) == "dead   ask:b: b is refused"


async def test_what_the_job_does_not_want_any_more_stays_dead_and_says_so(paid, make_runner):
    """A choice may have moved on; silence would look like a retry."""
    runner = make_runner(paid)
    await runner.run("job", NOON)
    paid.wanted = ["a"]

    found = await redrive(runner, "job", "ask:b")

    assert found.unasked == ("ask:b",)
    assert "does not ask for it any more" in render(found)


async def test_a_dropped_one_is_never_asked_again_and_spoils_no_run(paid, make_runner, store):
    """Not even by a run that a person asks for."""
    runner = make_runner(paid)
    await runner.run("job", NOON)
    async with store.write() as tx:
        await drop(tx, await load_dead(store.reader), now=NOON)
    paid.broken, paid.asked = set(), []

    again = await runner.run("job", NOON, "hand")

    assert paid.asked == []
    assert again.state == "ok"
    assert await load_dead(store.reader) == []


async def test_an_operator_lists_and_drops(paid, make_runner, store, tmp_path):
    """By job and words of the key; what is not there is refused in words."""
    runner = make_runner(paid, name="collect")
    await runner.run("collect", NOON)
    desk = Desk(store, Settings(host_id="t", data_dir=tmp_path), NOON)

    dropped = await AskDrop(job="collect", words="ask:c").answer(desk)
    left = await AskDeadLetters(job="collect").answer(desk)

    assert ([one.key for one in dropped], [one.key for one in left]) == (["ask:c"], ["ask:b"])
    assert render_dead([]) == "no dead letters"
    with pytest.raises(NoDeadLetter, match="no dead letter with 'ask:c'"):
        await AskDrop(job="collect", words="ask:c").answer(desk)
    with pytest.raises(UnknownJob):
        await redrive(runner, "colect", None)
