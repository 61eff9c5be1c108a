"""Where things lie by default, and where the daemon listens, found without reading every setting.

Law: what `quick_runtime_dir` says is what the settings would say; where it cannot be sure it says None and the
settings are asked. A status must be on the screen in a blink, and building all settings takes longer than that.
"""

import os
import tomllib
from pathlib import Path

DEFAULT_FILE = Path("/etc/oddsd/oddsd.toml")
DEFAULT_RUNTIME_DIR = Path("/run/oddsd")
SOCKET_NAME = "control.sock"
SNAPSHOT_NAME = "status.json"

_NAME = "runtime_dir"


def quick_runtime_dir(file: Path | None) -> Path | None:
    """The directory of the control socket, or None where only the settings can tell.

    Args:
        file: the TOML file named on the command line.
    """
    if "CREDENTIALS_DIRECTORY" in os.environ:
        return None  # a setting may come from there too
    given = [value for name, value in os.environ.items() if name.lower() == f"oddsd_{_NAME}"]
    if given:
        return Path(given[0]) if len(given) == 1 and given[0] else None
    named = file or (Path(os.environ["ODDSD_CONFIG"]) if os.environ.get("ODDSD_CONFIG") else None)
    if named is None and not DEFAULT_FILE.is_file():
        return DEFAULT_RUNTIME_DIR
    try:
        told = tomllib.loads((named or DEFAULT_FILE).read_text(encoding="utf-8")).get(_NAME, str(DEFAULT_RUNTIME_DIR))
    except (OSError, ValueError):
        return None  # the settings say what is wrong with it
    return Path(told) if isinstance(told, str) and told else None
