"""The command `oddsd arbitrage`."""

from pathlib import Path

import msgspec
import rich_click as click

from agent.commands.base import asked, config_option, json_option


@click.command()
@click.option("--min", "least", type=click.FloatRange(0, 10), default=0.0, help="Least net edge, as in 0.05.")
@config_option
@json_option
def arbitrage(least: float, config: Path | None, as_json: bool) -> None:
    """Show what pays for certain, net of fees, as the last run found it; works with and without the daemon."""
    from agent.desk.arbitrage import AskArbitrage, render

    found = asked(config, AskArbitrage(min_net_edge=least))
    print(msgspec.json.encode(found).decode() if as_json else render(found))
