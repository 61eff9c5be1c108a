"""The command `oddsd spend`."""

from datetime import datetime
from pathlib import Path

import msgspec
import rich_click as click

from agent.commands.base import asked, config_option, json_option


@click.command()
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), help="UTC day; today where none is given.")
@config_option
@json_option
def spend(day: datetime | None, config: Path | None, as_json: bool) -> None:
    """Show what a day's model calls cost, by purpose and model; works with and without the daemon."""
    from agent.desk.spend import AskSpend, render

    found = asked(config, AskSpend(day=None if day is None else day.date()))
    print(msgspec.json.encode(found).decode() if as_json else render(found))
