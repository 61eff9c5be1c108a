# ruff: noqa: INP001 - a script of the image's build, in no package
"""Imports what one side imports when it starts, so that the image holds the bytecode of that and of nothing else.

Run while the image is built: `python warm.py cloud|edge`. An import that fails here fails the build, not a deployment.
"""

import importlib
import sys

STARTS = {
    "cloud": ("cloudapi.cli", "cloudapi.app", "cloudapi.server", "cloudapi.migrations.runner"),
    "edge": ("agent.cli", "agent.app", "agent.daemon", "agent.once"),
}


def main(side: str) -> None:
    """Import the side's modules, for the edge those of every subcommand too."""
    names = set(STARTS[side])
    if side == "edge":
        # By name: the image of the cloud has no agent, and this folder belongs to neither.
        names |= {place.partition(":")[0] for place in importlib.import_module("agent.cli").COMMANDS.values()}
    for name in sorted(names):
        importlib.import_module(name)


if __name__ == "__main__":
    main(sys.argv[1])
