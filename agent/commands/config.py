"""Commands about the configuration."""

from pathlib import Path

import rich_click as click

from agent.commands.base import settings_from


@click.command("check-config")
@click.option("--file", "file", type=click.Path(path_type=Path), help="Check this file instead of the installed one.")
def check_config(file: Path | None) -> None:
    """Check the configuration without touching network or state: 0 good, 66 no file, 78 wrong."""
    settings = settings_from(file)
    print(f"configuration is good: host {settings.host_id}, data in {settings.data_dir}")
