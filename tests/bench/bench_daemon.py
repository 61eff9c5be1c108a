"""The daemon at rest: how soon it is READY, what it holds and burns while nothing is due.

The baseline beside it is a bare interpreter that imports the same libraries and sleeps.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.demo.processes import BIN, Child, ReadySocket

N_STARTS = 3
IDLE_S = 15.0
GOAL_READY_S, GOAL_RSS_MB, GOAL_CPU_PERCENT = 2.0, 120.0, 1.0


async def measure() -> dict[str, object]:
    """Start it a few times on an empty store, leave it idle once."""
    ready = list[float]()
    with tempfile.TemporaryDirectory(prefix="oddsd-") as folder:
        for number in range(N_STARTS):
            child, took = await _start(Path(folder))
            ready.append(took)
            if number == N_STARTS - 1:
                rss_mb, cpu_percent = await _idle(child)
            began = time.perf_counter()
            code = await child.stop()
            stop_s = time.perf_counter() - began
    return {
        "ready_s_median": round(median(ready), 2),
        "ready_goal_s": GOAL_READY_S,
        "idle_rss_mb": rss_mb,
        "idle_rss_goal_mb": GOAL_RSS_MB,
        "idle_cpu_percent": cpu_percent,
        "idle_cpu_goal_percent": GOAL_CPU_PERCENT,
        "idle_measured_s": IDLE_S,
        "stop_s": round(stop_s, 2),
        "exit_code": code,
        "bare_imports_rss_mb": await _bare(),
    }


async def _start(folder: Path) -> tuple[Child, float]:
    config = folder / "oddsd.toml"
    # No job is due within the measurement: this is the daemon itself, with every loop on.
    never = "".join(f"[jobs.{job}]\nenabled = false\n" for job in ("collect", "analyse", "benchmark", "predict"))
    config.write_text(
        f"data_dir = {json.dumps(str(folder / 'data'))}\nruntime_dir = {json.dumps(str(folder))}\n{never}"
    )
    ready = ReadySocket(folder / "notify.sock")
    began = time.perf_counter()
    child = await Child.start(
        "daemon", BIN / "oddsd", "run", "--config", config, log_dir=folder, env={"NOTIFY_SOCKET": str(ready.path)}
    )
    await ready.until_ready(child)
    took = time.perf_counter() - began
    ready.close()
    return child, took


async def _idle(child: Child) -> tuple[float, float]:
    """(resident MB at the end, per cent of one core) over IDLE_S."""
    await asyncio.sleep(2)
    before = _cpu_s(child.process.pid)
    await asyncio.sleep(IDLE_S)
    return _rss_mb(child.process.pid), round(100 * (_cpu_s(child.process.pid) - before) / IDLE_S, 2)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024, 1)


async def _bare() -> float:
    """What the libraries alone weigh."""
    script = "import asyncpg, aiosqlite, httpx, msgspec, pydantic_settings, structlog; input()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    await asyncio.sleep(2)
    weight = _rss_mb(process.pid)
    await process.communicate(b"\n")
    return weight
