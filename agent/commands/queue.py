"""The command `oddsd queue`."""

from pathlib import Path

import msgspec
import rich_click as click

from agent.commands.base import asked, config_option, json_option


@click.command()
@click.argument("number", type=int, required=False)
@config_option
@json_option
def queue(number: int | None, config: Path | None, as_json: bool) -> None:
    """Show what waits for the cloud, the oldest first; works with and without the daemon.

    With NUMBER: the batch that holds this row, and what is in it.
    """
    from agent.desk.queue import AskQueue, render

    found = asked(config, AskQueue(show=number))
    print(msgspec.json.encode(found).decode() if as_json else render(found))
