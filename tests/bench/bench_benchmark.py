"""A pass of the benchmark over active predictions, from stored prices to committed rows; time, memory and growth.

Each size runs in a child process of its own, so that its peak memory is its own. Measured is a pass like most: every
prediction has a check before it, every market was looked at since, nothing is due beside the checks. Beside it, on
the same disk: the same number of rows written bare, by executemany in one transaction.
"""

import asyncio
import json
import math
import resource
import sqlite3
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from agent.core.record import GENESIS_HASH
from agent.jobs.benchmark import benchmark_job
from agent.jobs.runner import JobSpec, Runner
from agent.store.db import Store
from agent.store.markets import save_markets
from agent.store.quotes import save_quotes
from tests.factories import NOON, make_market, make_prediction, make_quote

SIZES = (1_000, 10_000, 100_000)
PER_MARKET = 4  # as many experiments as are configured by default
GOAL_S, GOAL_RSS_MB = 5.0, 400.0
PASSES = 3  # measured, after one that writes the first checks and the marks of the first hour


async def measure() -> dict[str, Any]:
    """Seconds and peak memory of a pass at each size, and the exponent of its growth."""
    figures = {size: await _child(size) for size in SIZES}
    small, large = figures[SIZES[0]], figures[SIZES[-1]]
    with tempfile.TemporaryDirectory(prefix="oddsd-") as folder:
        bare_s = _bare(Path(folder) / "bare.db", SIZES[-1])
    return {
        "goal_s": GOAL_S,
        "goal_rss_mb": GOAL_RSS_MB,
        "by_size": figures,
        "exponent": round(math.log(large["pass_s"] / small["pass_s"]) / math.log(SIZES[-1] / SIZES[0]), 3),
        "bare_executemany_s": bare_s,
        "ratio": round(large["pass_s"] / bare_s, 2),
        "goal_met": {"pass": large["pass_s"] < GOAL_S, "rss": large["peak_rss_mb"] < GOAL_RSS_MB},
    }


async def _child(size: int) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.bench_benchmark", str(size), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the pass over {size} predictions ended with {process.returncode}")
    figures: dict[str, Any] = json.loads(told)
    return figures


async def pass_over(n_predictions: int) -> dict[str, Any]:
    """Make a store, then run passes over it."""
    now = NOON
    with tempfile.TemporaryDirectory(prefix="oddsd-") as folder:
        async with await Store.open(Path(folder) / "oddsd.db", clock=lambda: now) as store:
            await _fill(store, n_predictions, now)
            spec = JobSpec(
                name="benchmark", run=benchmark_job(store), schedule="10 * * * *", missed="latest", timeout_s=600
            )
            runner, times, cpu = Runner(store, lambda: now, [spec], {}), list[float](), list[float]()
            base_mb = _peak_mb()
            for number in range(PASSES + 1):
                now += timedelta(hours=1)
                await _look(store, n_predictions // PER_MARKET, now, number)
                began, worked = time.perf_counter(), time.process_time()
                result = await runner.run("benchmark", now)
                times.append(time.perf_counter() - began)
                cpu.append(time.process_time() - worked)
                if result.state != "ok" or result.counts["checks"] != n_predictions:
                    raise RuntimeError(f"pass {number}: {result}")
    ordered = sorted(times[1:])
    return {
        "predictions": n_predictions,
        "pass_s": round(ordered[len(ordered) // 2], 3),
        "cpu_s": round(sorted(cpu[1:])[len(cpu[1:]) // 2], 3),  # of all threads: what a busy machine does not blur
        "first_pass_with_marks_s": round(times[0], 3),
        "us_per_prediction": round(1e6 * ordered[len(ordered) // 2] / n_predictions, 1),
        "peak_rss_mb": _peak_mb(),
        "peak_rss_before_mb": base_mb,
    }


async def _fill(store: Store, n_predictions: int, now: datetime) -> None:
    """Markets and their predictions, written without the chain: this is not the record's bench."""
    encode = msgspec.json.Encoder().encode
    for start in range(0, n_predictions // PER_MARKET, 1_000):
        keys = [_key(n) for n in range(start, min(start + 1_000, n_predictions // PER_MARKET))]
        async with store.write() as tx:
            saved = await save_markets(
                tx, [make_market(market_key=key, fetched_at=now, close_time=now + timedelta(days=30)) for key in keys]
            )
            rows = list[tuple[Any, ...]]()
            for offset, key in enumerate(keys):
                for model in range(PER_MARKET):
                    seq = 1 + (start + offset) * PER_MARKET + model
                    one = make_prediction(
                        prediction_id=f"01936f00-0000-7000-8000-{seq:012d}", market_key=key, model=f"m{model}",
                        chain_seq=seq, predicted_at=now, previous_hash=GENESIS_HASH, probability_yes=0.30 + 0.1 * model,
                    )  # fmt: skip
                    rows.append(
                        (seq, one.prediction_id, saved.ids[key], one.experiment, one.experiment_version, one.model,
                         one.run_day.isoformat(), int(now.timestamp() * 1000), "active", "", encode(one))
                    )  # fmt: skip
            await tx.execute_many(
                "INSERT INTO predictions (chain_seq, prediction_id, market_id, experiment, experiment_version, model,"
                " run_day, predicted_at, state, record_hash, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )


async def _look(store: Store, n_markets: int, now: datetime, number: int) -> None:
    """A collection: every book has moved by a cent."""
    bid = 0.40 + 0.01 * number
    for start in range(0, n_markets, 1_000):
        keys = [_key(n) for n in range(start, min(start + 1_000, n_markets))]
        async with store.write() as tx:
            saved = await save_markets(
                tx, [make_market(market_key=key, fetched_at=now, close_time=NOON + timedelta(days=30)) for key in keys]
            )
            quotes = [make_quote(market_key=key, fetched_at=now, bid=bid, ask=bid + 0.02) for key in keys]
            await save_quotes(tx, quotes, saved.ids)


def _key(number: int) -> str:
    return f"kalshi:BENCH-{number:06d}"


def _bare(path: Path, n_rows: int) -> float:
    """The same rows, nothing decided, nothing sealed, no prediction moved on."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE c (at INTEGER, seq INTEGER, movement TEXT, closed INTEGER, resolved INTEGER, price REAL,"
        " delta REAL, rate REAL, cumulative REAL, move REAL, PRIMARY KEY (at, seq)) WITHOUT ROWID;"
    )
    times = list[float]()
    for number in range(PASSES):
        rows = [(number, n, "CONVERGING", 0, 0, 0.42, 0.1, 0.01, 0.01, 0.01) for n in range(n_rows)]
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO c VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")
        times.append(time.perf_counter() - began)
    connection.close()
    return round(sorted(times)[len(times) // 2], 3)


def _peak_mb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


if __name__ == "__main__":
    from agent.log import configure

    configure(json=True, level="error", secrets=())
    print(json.dumps(asyncio.run(pass_over(int(sys.argv[1])))))
