"""The command `oddsd replay`."""

import asyncio
from datetime import datetime
from pathlib import Path

import msgspec
import rich_click as click

from agent.commands.base import config_option, fail, json_option, settings_from


@click.command()
@click.option(
    "--recordings",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder with the folders kalshi and polymarket.",
)
@click.option("--from", "start", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="First moment, UTC.")
@click.option("--to", "end", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]), help="Last moment, UTC.")
@click.option("--into", type=click.Path(path_type=Path), help="Keep the database in this folder, which holds none yet.")
@config_option
@json_option
def replay(
    *,
    recordings: Path,
    start: datetime | None,
    end: datetime | None,
    into: Path | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Run recorded series through today's rules with a simulated clock, offline; the same digest every time.

    `oddsd benchmark report --data-dir FOLDER` reads the database that --into keeps.
    """
    from agent.log import configure
    from agent.replay.run import render
    from agent.replay.session import replay_recordings

    settings = settings_from(config)
    if start is not None and end is not None and start > end:
        fail("replay: --from is after --to", advice=None, code=64)
    configure(json=settings.log_json, level="warning", secrets=settings.secrets())  # thousands of runs in a minute
    found = asyncio.run(replay_recordings(settings, recordings, start=start, end=end, into=into))
    print(msgspec.json.encode(found).decode() if as_json else "\n".join(render(found)))
