"""`make bench`: every figure this project promises, each beside a baseline of the same run; JSON in .bench/.

Machines are noisy: quote the medians and the ratios. A figure that misses its goal is shown, not hidden, and does not
fail the run; goals are watched by people, not by timed tests.
"""

import asyncio
import json
import platform
import sys
from pathlib import Path

from tests.bench import (
    bench_benchmark,
    bench_cycle,
    bench_daemon,
    bench_jobs,
    bench_llm,
    bench_matching,
    bench_parse,
    bench_patterns,
    bench_scoring,
    bench_sessions,
    bench_store,
    bench_sync,
)

OUT = Path(".bench/results.json")


def main() -> int:
    """Run all, or those named on the command line."""
    known = {
        "parse": bench_parse.measure,
        "store": bench_store.measure,
        "cycle": bench_cycle.measure,
        "patterns": bench_patterns.measure,
        "matching": bench_matching.measure,
        "daemon": bench_daemon.measure,
        "jobs": bench_jobs.measure,
        "llm": bench_llm.measure,
        "scoring": bench_scoring.measure,
        "benchmark": bench_benchmark.measure,
        "sync": bench_sync.measure,
        "sessions": bench_sessions.measure,
    }
    wanted = sys.argv[1:] or list(known)
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    results: dict[str, object] = {"machine": machine}
    for name in wanted:
        print(f"measuring {name} ...", file=sys.stderr)
        results[name] = asyncio.run(known[name]())
    OUT.parent.mkdir(exist_ok=True)
    text = json.dumps(results, indent=2)
    OUT.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
