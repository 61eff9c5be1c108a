"""Commands about one market."""

import asyncio
import json
from pathlib import Path

import msgspec
import rich_click as click

from agent.commands.base import asked, config_option, configure_log, json_option, settings_from
from agent.errors import NotRunning


@click.command()
@click.argument("market")
@click.option("--days", type=click.IntRange(1, 1500), default=30, show_default=True, help="How far back.")
@config_option
@json_option
def backfill(market: str, days: int, config: Path | None, as_json: bool) -> None:
    """Fetch MARKET's price history from its venue: through the running daemon, or without one.

    MARKET is a market key, the venue's own id, or words only one title has.
    """
    from agent.once import backfill_once
    from agent.status.control import call

    settings = settings_from(config)
    try:
        found = asyncio.run(call(settings.control_socket, "backfill", None, market=market, days=days))
    except NotRunning:
        configure_log(settings)
        found = msgspec.to_builtins(asyncio.run(backfill_once(settings, market, days)))
    if as_json:
        print(json.dumps(found))
        return
    print(f"{found['market_key']}  {found['title']}")
    span = f", {found['first_at']:.16} to {found['last_at']:.16} UTC" if found["points"] else ""
    print(f"{found['points']} points, {found['new']} of them new{span}  {' '.join(found['sources'])}".rstrip())


@click.command()
@click.argument("market")
@config_option
@json_option
def why(market: str, config: Path | None, as_json: bool) -> None:
    """Tell why MARKET was or was not sent, analysed and predicted; works with and without the daemon.

    MARKET is a market key, the venue's own id, or a part of titles.
    """
    from agent.desk.why import AskWhy, render

    found = asked(config, AskWhy(market=market))
    print(msgspec.json.encode(found).decode() if as_json else render(found))
