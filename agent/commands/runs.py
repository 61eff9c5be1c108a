"""The commands `oddsd runs` and `oddsd runs show`: what ran, and how one run went."""

from pathlib import Path

import msgspec
import rich_click as click
from rich.console import Console, RenderableType

from agent.commands.base import asked, config_option, json_option

WIDEST = 110  # columns, as the status screen


class _ListByDefault(click.RichGroup):
    """`oddsd runs JOB` is `oddsd runs list JOB`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put in the word that was left out."""
        if not args or (args[0] not in self.commands and args[0] not in {"-h", "--help"}):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListByDefault)
def runs() -> None:
    """Show what ran: `oddsd runs [JOB]` the latest runs, `oddsd runs show ID` one with its timeline."""


@runs.command("list")
@click.argument("job", required=False)
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@config_option
@json_option
def list_runs(job: str | None, last: int, config: Path | None, as_json: bool) -> None:
    """The latest runs of JOB, or of all jobs; works with and without the daemon."""
    from agent.desk.runs import AskRuns
    from agent.desk.runs_screen import draw_runs

    found = asked(config, AskRuns(job=job, last=last))
    _print(found, draw_runs(found), as_json=as_json)


@runs.command("show")
@click.argument("run_id", metavar="ID")
@config_option
@json_option
def show(run_id: str, config: Path | None, as_json: bool) -> None:
    """The run ID with its units over time. ID is a run's id, or the end of it as `oddsd runs` shows it."""
    from agent.desk.runs import AskRun
    from agent.desk.runs_screen import draw_timeline

    found = asked(config, AskRun(run_id=run_id))
    _print(found, draw_timeline(found), as_json=as_json)


def _print(found: object, drawn: RenderableType, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    console = Console()
    console.print(drawn, width=min(console.width, WIDEST))
