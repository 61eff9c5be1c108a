"""`make bench`: every figure this project promises, each beside a baseline of the same run; JSON in .bench/.

Machines are noisy: quote the medians and the ratios. A figure that misses its goal is shown, not hidden, and does not
fail the run; goals are watched by people, not by timed tests. One alone (`python -m tests.bench sync`) imports no more
than it needs, so that its memory is its own.
"""

import asyncio
import json
import platform
import sys
from importlib import import_module
from pathlib import Path

OUT = Path(".bench/results.json")
KNOWN = (
    "parse", "store", "cycle", "patterns", "matching", "daemon", "jobs", "llm", "scoring", "benchmark", "sync", "sessions",
)  # fmt: skip


def main() -> int:
    """Run all, or those named on the command line."""
    wanted = sys.argv[1:] or KNOWN
    if unknown := set(wanted) - set(KNOWN):
        print(f"no such figure: {', '.join(sorted(unknown))}; known: {', '.join(KNOWN)}", file=sys.stderr)
        return 2
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    results: dict[str, object] = {"machine": machine}
    for name in wanted:
        print(f"measuring {name} ...", file=sys.stderr)
        results[name] = asyncio.run(import_module(f"tests.bench.bench_{name}").measure())
    OUT.parent.mkdir(exist_ok=True)
    text = json.dumps(results, indent=2)
    OUT.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
