"""Commands that steer the jobs: pause, resume, dead letters, the work of a machine that died."""

import asyncio
from pathlib import Path

import msgspec
import rich_click as click

from agent.commands.base import EXIT_PARTIAL, asked, config_option, configure_log, json_option, settings_from
from agent.errors import NotRunning


@click.command()
@click.argument("job", required=False)
@click.option("--reason", help="Words for whoever looks at the status.")
@config_option
@json_option
def pause(job: str | None, reason: str | None, config: Path | None, as_json: bool) -> None:
    """Let no timer start JOB, or any job; what runs goes on. Survives restarts, shown in the status.

    Runs asked for by hand start all the same. Works with and without the daemon.
    """
    from agent.desk.jobs import AskPause, render_pauses

    found = asked(config, AskPause(job=job, reason=reason))
    print(msgspec.json.encode(found).decode() if as_json else render_pauses(found))


@click.command()
@click.argument("job", required=False)
@config_option
@json_option
def resume(job: str | None, config: Path | None, as_json: bool) -> None:
    """Let the timer start JOB again, or all jobs, within half a minute.

    Slots that passed are treated as after a night without power: by the job's own rule.
    """
    from agent.desk.jobs import AskResume, render_pauses

    found = asked(config, AskResume(job=job))
    print(msgspec.json.encode(found).decode() if as_json else render_pauses(found))


@click.command("take-over")
@click.argument("host")
@config_option
def take_over(host: str, config: Path | None) -> None:
    """Free the paid work that the machine HOST (its host_id) had begun when it died; this one's daemon goes on with it.

    For machines that share work (jobs_database_url), and only where HOST will not start again: it would pay twice.
    """
    from agent.status.control import call

    n = asyncio.run(call(settings_from(config).control_socket, "take_over", None, host=host))
    print(f"{n} unit{'s'[: n != 1]} of {host} taken over")


@click.group("dead-letter")
def dead_letter() -> None:
    """Units of work that failed for good: list them, ask them again, or give them up."""


@dead_letter.command("list")
@click.argument("job", required=False)
@config_option
@json_option
def list_dead(job: str | None, config: Path | None, as_json: bool) -> None:
    """The dead letters of JOB, or of all jobs, with their reasons."""
    from agent.desk.jobs import AskDeadLetters, render_dead

    found = asked(config, AskDeadLetters(job=job))
    print(msgspec.json.encode(found).decode() if as_json else render_dead(found))


@dead_letter.command()
@click.argument("job")
@click.argument("words", required=False)
@config_option
@json_option
def retry(job: str, words: str | None, config: Path | None, as_json: bool) -> None:
    """Ask JOB's dead letters again, or those with WORDS in their key, in the runs in which they died.

    Leaves with 0 when all came to life, else 1. Works with and without the daemon.
    """
    from agent.jobs.redrive import Redriven, render
    from agent.once import redrive_once
    from agent.status.control import call

    settings = settings_from(config)
    try:
        told = asyncio.run(call(settings.control_socket, "retry_dead_letters", None, job=job, words=words))
        found = msgspec.convert(told, Redriven)
    except NotRunning:
        configure_log(settings)
        found = asyncio.run(redrive_once(settings, job, words))
    print(msgspec.json.encode(found).decode() if as_json else render(found))
    raise SystemExit(EXIT_PARTIAL if found.dead else 0)


@dead_letter.command()
@click.argument("job")
@click.argument("words", required=False)
@config_option
@json_option
def drop(job: str, words: str | None, config: Path | None, as_json: bool) -> None:
    """Give up JOB's dead letters, or those with WORDS in their key: nobody asks for them again."""
    from agent.desk.jobs import AskDrop

    found = asked(config, AskDrop(job=job, words=words))
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    for letter in found:
        print(f"dropped {letter.job}  {letter.key}")
