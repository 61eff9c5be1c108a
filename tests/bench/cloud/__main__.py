"""`make bench-cloud`: the cloud's figures, each beside a baseline of the same run; JSON in .bench/cloud.json.

Law: medians and p95 of warm repetitions on loopback; ratios hold between machines, absolute times do not. A figure that
misses its goal is shown, not hidden. `--rows 10000000` makes the history as large as the goals speak of.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
from pathlib import Path

from tests.bench.cloud import bench_http, bench_live, bench_storage

OUT = Path(".bench/cloud.json")
DEFAULT_ROWS = 1_000_000
KNOWN = ("storage", "http", "live")


def main() -> int:
    """Run all, or those named."""
    parser = argparse.ArgumentParser(prog="bench-cloud")
    parser.add_argument("names", nargs="*", choices=[[], *KNOWN], help="what to measure; everything without a name")
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS, help="quotes in the history")
    parser.add_argument("--markets", type=int, default=100_000, help="markets to search in")
    parser.add_argument("--seconds", type=float, default=4, help="of load per HTTP figure")
    given = parser.parse_args()
    known = {
        "storage": lambda: bench_storage.measure(given.rows, given.markets),
        "http": lambda: bench_http.measure(given.seconds),
        "live": lambda: bench_live.measure(given.seconds),
    }
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    results: dict[str, object] = {"machine": machine, "load_average": os.getloadavg()[0]}
    for name in given.names or KNOWN:
        print(f"measuring {name} ...", file=sys.stderr)
        results[name] = asyncio.run(known[name]())
    OUT.parent.mkdir(exist_ok=True)
    text = json.dumps(results, indent=2)
    OUT.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
