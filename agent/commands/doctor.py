"""The command `oddsd doctor`: every check, what was found, and what to do."""

import asyncio
from pathlib import Path

import msgspec
import rich_click as click

from agent.commands.base import config_option, json_option, settings_from
from agent.doctor.findings import Finding, exit_code, good, render, skipped, unknown
from agent.errors import OddsdError
from agent.settings import Settings

SCHEMA_VERSION = 1


@click.command()
@config_option
@json_option
@click.option("--offline", is_flag=True, help="Without the network: neither cloud nor broker are asked.")
@click.option("--deep", is_flag=True, help="Also read every page of the database.")
@click.option("--fix", is_flag=True, help="First make a missing directory, and close the database to others.")
def doctor(config: Path | None, as_json: bool, offline: bool, deep: bool, fix: bool) -> None:
    """Check configuration, disk, database, network and daemon; works with and without the daemon.

    Leaves with 0 clean, 1 warnings, 2 failures, 3 could not check.
    """
    from agent.doctor.place import mend

    settings = settings_from(config)  # leaves with every fault in words, and 78
    mended = mend(settings) if fix else []
    findings = asyncio.run(_findings(settings, config, offline=offline, deep=deep))
    if as_json:
        told = {"schema_version": SCHEMA_VERSION, "mended": mended, "findings": findings}
        print(msgspec.json.encode(told).decode())
    else:
        print("\n".join([*(f"mended: {what}" for what in mended), render(findings)]))
    raise SystemExit(exit_code(findings))


async def _findings(settings: Settings, config: Path | None, *, offline: bool, deep: bool) -> list[Finding]:
    from agent.app import VERSION, utc_now
    from agent.desk.base import ask
    from agent.desk.doctor import AskStoreHealth, without_secrets
    from agent.doctor import journal, place, unit

    found = [
        good("D01", "configuration", f"host {settings.host_id}, data in {settings.data_dir}"),
        place.credentials(settings, config),
        place.data_dir(settings),
        place.space(settings),
        place.flushing(settings),
        place.sqlite_version(),
        place.ballast(settings),
        await asyncio.to_thread(unit.running, settings),
        place.time_source(),
        *await asyncio.to_thread(unit.unit),
        *await asyncio.to_thread(journal.journal),
        place.versions(VERSION),
    ]
    try:
        stored = await ask(settings, AskStoreHealth(deep=deep), clock=utc_now)
    except OddsdError as exc:
        stored = [unknown("D07", "durability", str(exc), exc.advice or "run as the daemon's user, or with sudo")]
    found += stored
    if offline:
        found.append(skipped("D14", "network", "not asked: --offline"))
    else:
        found += await _ways(settings)
    return sorted(without_secrets(found, settings), key=lambda one: one.id)


async def _ways(settings: Settings) -> list[Finding]:
    """To cloud and broker: the daemon's own word, for it has the secrets; with ours where it is down or older."""
    from agent.app import utc_now
    from agent.desk.base import ask, ask_daemon
    from agent.desk.doctor import AskStreamHere, AskWays
    from agent.doctor import broker, cloud
    from agent.doctor.lineage import StreamHere

    async def look() -> StreamHere | None:
        try:
            return await ask(settings, AskStreamHere(), clock=utc_now)
        except OddsdError:
            return None

    try:
        return await ask_daemon(settings, AskWays())
    except OddsdError:
        return [*await cloud.checks(settings, look), *await broker.checks(settings)]
