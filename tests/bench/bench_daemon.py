"""The daemon at rest and over many ticks: how soon it is READY, what it holds and burns, whether it grows.

At rest every loop is on: cloud, broker, alerts, metrics, timers that are not due. The baselines beside it: a bare
interpreter that imports the same libraries and sleeps, and for the status `python -c pass`. The ticks are real
collects over HTTP from a local exchange, with the report made and noted after each, at a simulated clock.
"""

import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from tests.demo.processes import BIN, Child, ReadySocket
from tests.fakes.mosquitto import Mosquitto
from tests.fakes.postgres import EmbeddedPostgres
from tests.fakes.process import find_program, free_port

N_STARTS, N_PAINTS = 3, 9
IDLE_S = 60.0
N_TICKS, WARM_TICKS = 1_000, 250
GOAL_READY_S, GOAL_RSS_MB, GOAL_CPU_PERCENT, GOAL_PAINT_S, GOAL_GROWTH_PERCENT = 2.0, 120.0, 1.0, 0.3, 5.0


async def measure() -> dict[str, object]:
    """Start it a few times on an empty store, leave it idle once, ask for its status, and run the ticks."""
    ready = list[float]()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="oddsd-")))
        config = folder / "oddsd.toml"
        config.write_text(await _configuration(folder, stack))
        for number in range(N_STARTS):
            child, took = await _start(folder, config)
            ready.append(took)
            if number == N_STARTS - 1:
                rss_mb, cpu_percent = await _idle(child)
                before = _children_cpu_s()
                paints = [await _seconds(BIN / "oddsd", "status", "--config", config) for _ in range(N_PAINTS)]
                paint_cpu_s = (_children_cpu_s() - before) / N_PAINTS
            began = time.perf_counter()
            code = await child.stop()
            stop_s = time.perf_counter() - began
    bare_starts = [await _seconds(sys.executable, "-c", "pass") for _ in range(N_PAINTS)]
    return {
        "ready_s_median": round(median(ready), 2),
        "ready_goal_s": GOAL_READY_S,
        "idle_rss_mb": rss_mb,
        "idle_rss_goal_mb": GOAL_RSS_MB,
        "idle_cpu_percent": cpu_percent,
        "idle_cpu_goal_percent": GOAL_CPU_PERCENT,
        "idle_measured_s": IDLE_S,
        "bare_imports_rss_mb": await _bare(),
        "status_paint_s_median": round(median(paints), 3),
        "status_paint_cpu_s": round(paint_cpu_s, 3),  # what a machine with nothing else to do would take
        "status_paint_goal_s": GOAL_PAINT_S,
        "bare_interpreter_s_median": round(median(bare_starts), 3),
        "stop_s": round(stop_s, 2),
        "exit_code": code,
        "ticks": await _ticks(),
    }


async def _configuration(folder: Path, stack: AsyncExitStack) -> str:
    """Every loop on, and no job due within the measurement: this is the daemon itself."""
    never = "".join(f'[jobs.{job}]\nschedule = "0 0 1 1 *"\nmissed = "none"\n' for job in await _jobs())
    lines = {
        "data_dir": str(folder / "data"),
        "runtime_dir": str(folder),
        "alert_urls": ["json://127.0.0.1:9/nobody"],
        "metrics_port": free_port(),
        "database_url": await _cloud(stack),
    }
    if find_program("mosquitto") is not None:
        broker = await stack.enter_async_context(Mosquitto())
        lines |= {"mqtt_host": broker.host, "mqtt_port": broker.port}
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items()) + never


async def _jobs() -> list[str]:
    from agent.jobs.table import TIMERS

    return list(TIMERS)


async def _cloud(stack: AsyncExitStack) -> str:
    """A database that answers, as at home."""
    server = EmbeddedPostgres().start()
    stack.callback(server.stop)
    _, address = await asyncio.to_thread(server.create_database)
    return address


async def _start(folder: Path, config: Path) -> tuple[Child, float]:
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


async def _seconds(*command: object) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=asyncio.subprocess.DEVNULL)
    await process.wait()
    return time.perf_counter() - began


def _children_cpu_s() -> float:
    """Of every process started here that has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


# Over many ticks, in a process of its own


async def _ticks() -> dict[str, Any]:
    """Memory after the first quarter and at the end of N_TICKS quarter hours; the child's own words."""
    async with _exchange() as urls:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.bench_daemon", json.dumps(urls), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await child.communicate()
    told: dict[str, Any] = json.loads(said)
    return told | {"goal_percent": GOAL_GROWTH_PERCENT}


@asynccontextmanager
async def _exchange() -> AsyncIterator[dict[str, str]]:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.exchange", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        yield json.loads(await server.stdout.readline())
    finally:
        server.terminate()
        await server.wait()


async def _run_ticks(urls: dict[str, str]) -> dict[str, Any]:
    from agent.app import open_house
    from agent.settings import Settings
    from agent.status.book import IncidentBook
    from agent.status.report import report
    from agent.status.state import Live, load_state

    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    weights = dict[int, float]()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="oddsd-") as folder:
        settings = Settings(
            data_dir=Path(folder),
            polymarket_url=urls["polymarket_url"],
            kalshi_url=urls["kalshi_url"],
            log_level="error",
        )
        async with open_house(settings, clock=lambda: now) as house:
            book = IncidentBook(house.store)
            for tick in range(1, N_TICKS + 1):
                now += timedelta(minutes=15)
                await house.runner.run("collect", now)
                if tick % 96 == 0:
                    await house.runner.run("retention", now)
                live = Live(started_at=now, version="0", host_id="bench")
                await book.note(report(await load_state(house.store.reader, now=now), live, now), now=now)
                if tick % WARM_TICKS == 0:
                    weights[tick] = _rss_mb(os.getpid())
    warm, last = weights[WARM_TICKS], weights[N_TICKS]
    return {
        "n_ticks": N_TICKS,
        "rss_mb_after": weights,
        "growth_percent": round(100 * (last - warm) / warm, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


if __name__ == "__main__":
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(json.dumps(asyncio.run(_run_ticks(json.loads(sys.argv[1])))))
