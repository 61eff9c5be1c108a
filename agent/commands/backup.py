"""The command `oddsd backup`."""

from pathlib import Path

import msgspec
import rich_click as click

from agent.commands.base import asked, config_option, json_option


@click.command()
@click.argument("target", type=click.Path(path_type=Path), required=False)
@click.option("--keep", type=click.IntRange(1, 1000), default=7, show_default=True, help="Copies in data_dir/backups.")
@config_option
@json_option
def backup(target: Path | None, keep: int, config: Path | None, as_json: bool) -> None:
    """Make a checked copy of the database, while the daemon runs or without it; bring it to TARGET where one is given.

    TARGET is a folder, or the name of the file to write.
    """
    from agent.desk.backup import AskBackup
    from agent.store.backup import copy_out

    copied = asked(config, AskBackup(keep=keep))
    places = [copied.path] if target is None else [copied.path, str(copy_out(copied, target))]
    if as_json:
        print(msgspec.json.encode({**msgspec.structs.asdict(copied), "places": places}).decode())
    else:
        print(f"copied {copied.n_bytes / 1e6:.1f} MB, schema {copied.schema}, checked: {', '.join(places)}")
