"""Fetches what the dashboard's pages use from other hands: `npm pack` of the exact versions in .locks/assets.json.

Law: a package is opened only if its SHA-512 is the one in the lock, only the named files are taken out of it, and
nothing of it is ever run. Which registry is asked is npm's own configuration; the lock names none. Standard library
only: the image's build runs it before anything is installed.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / ".locks" / "assets.json"
WITHIN_S = 90
NO_NPM = 69  # EX_UNAVAILABLE: npm or its registry is not there


class NotFetched(Exception):
    """A package is not here, in words."""


def main() -> int:
    """Fetch what is named, or everything the lock has."""
    wanted = set(sys.argv[1:])
    try:
        for entry in json.loads(LOCK.read_text(encoding="utf-8")):
            if not wanted or entry["name"] in wanted:
                place(entry)
                say(f"{entry['name']} {entry['version']} into {entry['into']}")
    except NotFetched as exc:
        say(str(exc))
        return NO_NPM
    return 0


def place(entry: dict[str, str | dict[str, str]]) -> None:
    """One package, checked, its files where the lock wants them. Raises: NotFetched."""
    with tempfile.TemporaryDirectory(prefix="oddsd-assets-") as folder:
        packed = fetch(f"{entry['name']}@{entry['version']}", Path(folder))
        found = "sha512-" + base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
        if found != entry["integrity"]:
            raise NotFetched(f"{entry['name']} {entry['version']} is not what was locked: {found}. Nothing was taken.")
        files = entry["files"]
        with tarfile.open(packed) as archive:
            bodies = {name: archive.extractfile(f"package/{path}").read() for path, name in files.items()}
    into = ROOT / entry["into"]
    into.mkdir(parents=True, exist_ok=True)
    for name, body in bodies.items():
        part = into / f".{name}.part"
        part.write_bytes(body)
        part.replace(into / name)


def fetch(what: str, folder: Path) -> Path:
    """The packed package, as the registry gives it."""
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetched("npm is not installed (Debian package npm): pages show their SVG charts and load whole.")
    asked = [npm, "pack", what, "--silent", "--ignore-scripts", "--fetch-retries=1", "--fetch-timeout=20000"]
    try:
        done = subprocess.run(  # noqa: S603  the names come from our own lock
            [*asked, f"--pack-destination={folder}"], check=False, capture_output=True, text=True, timeout=WITHIN_S
        )
    except subprocess.TimeoutExpired as exc:
        raise NotFetched(f"{what} did not come within {WITHIN_S} s: pages show their SVG charts.") from exc
    found = list(folder.glob("*.tgz"))
    if done.returncode or len(found) != 1:
        raise NotFetched(f"{what} could not be fetched: {done.stderr.strip()[-300:] or done.returncode}")
    return found[0]


def say(text: str) -> None:
    """To whoever called."""
    print(f"assets: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
