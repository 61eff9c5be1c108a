"""Which commit this oddsd was built from, as far as files can tell."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def commit(root: Path | None = None) -> str | None:
    """The commit of the checkout the code runs from, else the one an installer noted; None where neither says.

    Args:
        root: the folder that holds the packages; None: ours.
    """
    return _checked_out((root or Path(__file__).parents[1]) / ".git") or _noted()


def _checked_out(git: Path) -> str | None:
    """What HEAD points at, read from the files."""
    try:
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return head or None
        name = head.removeprefix("ref: ")
        if (git / name).is_file():
            return (git / name).read_text(encoding="ascii").strip() or None
        packed = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return next((line.partition(" ")[0] for line in packed if line.endswith(f" {name}")), None)


def _noted() -> str | None:
    """PEP 610: an installation straight from a repository names its commit."""
    try:
        told = distribution("oddsd").read_text("direct_url.json")
    except PackageNotFoundError:
        return None
    found: str | None = json.loads(told or "{}").get("vcs_info", {}).get("commit_id")
    return found
