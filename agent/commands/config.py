"""Commands about the configuration."""

import json
from pathlib import Path

import msgspec
import rich_click as click

from agent.commands.base import config_option, json_option, settings_from


@click.command("check-config")
@click.option("--file", "file", type=click.Path(path_type=Path), help="Check this file instead of the installed one.")
def check_config(file: Path | None) -> None:
    """Check the configuration without touching network or state: 0 good, 66 no file, 78 wrong."""
    settings = settings_from(file)
    print(f"configuration is good: host {settings.host_id}, data in {settings.data_dir}")


@click.command("show-config")
@config_option
@json_option
def show_config(config: Path | None, as_json: bool) -> None:
    """Show every setting as it counts and where it comes from; secrets are masked."""
    from agent.jobs.table import TIMERS
    from agent.settings_origins import load_effective

    settings_from(config)  # leaves with the faults in words
    found = load_effective(config, known_jobs=tuple(TIMERS))
    if as_json:
        print(msgspec.json.encode(found).decode())
        return
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"{one.name:<{width}}  {one.origin:<11}  {json.dumps(one.value, ensure_ascii=False)}")
