"""The main job, told once: collect, detect, predict, analyse, benchmark, sync, serve, status.

Everything runs as its own process and talks over real sockets, as at home and in the cloud. What is measured here
goes to summary.json; what is not as it should be goes to `problems`, and the demonstration fails.
"""

import asyncio
import json
import os
import secrets
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
from rich.console import Console

from agent.status.control import call
from tests.demo.pages import look_at_pages
from tests.demo.processes import BIN, Child, ReadySocket, clean_environment
from tests.oracle import judge

READER = "reader@demo.example"  # of the dashboard
DRAIN_WITHIN_S = 60.0
LIVE_DRAIN_WITHIN_S = 900.0  # some hundred thousand records, over whatever line there is


@dataclass(slots=True, kw_only=True)
class Options:
    """How to run it."""

    work_dir: Path
    live: bool = False
    keep: bool = False
    recordings: Path | None = None


@dataclass(slots=True)
class Demo:
    """One demonstration and what it learned."""

    options: Options
    console: Console
    sockets: Path
    seconds: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    groq_key: str | None = None
    exchange: dict[str, str] = field(default_factory=dict)
    cloud: dict[str, str] = field(default_factory=dict)
    api_key: str = ""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))  # of the reader

    @contextmanager
    def stage(self, name: str, says: str) -> Iterator[None]:
        """Time a stage and show it while it runs."""
        began = time.perf_counter()
        with self.console.status(f"{says} …"):
            yield
        took = time.perf_counter() - began
        self.seconds[name] = round(self.seconds.get(name, 0.0) + took, 2)
        self.console.print(f"  [green]✓[/] {says:<58} {took:6.2f} s")

    @property
    def control_socket(self) -> Path:
        """Where the daemon listens."""
        return self.sockets / "control.sock"

    @property
    def database(self) -> Path:
        """The edge's file; read only while the daemon is down."""
        return self.options.work_dir / "edge" / "oddsd.db"


@asynccontextmanager
async def opened(options: Options, console: Console) -> AsyncIterator[Demo]:
    """A fresh working directory, and a short one for sockets: their paths may have 108 bytes only."""
    shutil.rmtree(options.work_dir, ignore_errors=True)
    options.work_dir.mkdir(parents=True)
    sockets = Path(tempfile.mkdtemp(prefix="oddsd-"))
    try:
        yield Demo(options, console, sockets)
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


async def tell(demo: Demo) -> None:
    """Run everything; leaves demo.summary filled and demo.problems naming what is wrong."""
    async with AsyncExitStack() as stack:
        await _start_outside_world(demo, stack)
        cloud = await _start_cloud(demo, stack)
        edge = await _start_edge(demo, stack)
        await _work(demo)
        await _drain(demo)
        await _query(demo)
        with demo.stage("status", "oddsd status"):
            shown = await _oddsd(demo, "status")
        demo.console.print()
        demo.console.print(shown, highlight=False, markup=False)
        demo.summary["peak_rss_mb"] = edge.peak_rss_mb()
        demo.summary["api_peak_rss_mb"] = cloud.peak_rss_mb()
        with demo.stage("stop", "SIGTERM: jobs finished, outbox flushed, gone"):
            code = await edge.stop()
        if code != 0:
            demo.problems.append(f"the daemon left with {code} instead of 0")
        await _judge(demo)
        if demo.options.keep and not demo.problems:
            await _keep(demo, await _start_edge(demo, stack))


def _logs(demo: Demo) -> Path:
    return demo.options.work_dir / "logs"


async def _child(demo: Demo, stack: AsyncExitStack, name: str, *command: str | Path, **env: str) -> Child:
    child = await Child.start(name, *command, log_dir=_logs(demo), env=env)
    stack.push_async_callback(child.stop)
    return child


async def _start_outside_world(demo: Demo, stack: AsyncExitStack) -> None:
    """Local servers that speak the protocols of the exchanges and of Groq; none of them when live."""
    if demo.options.live:
        demo.groq_key = os.environ.get("GROQ_API_KEY")
        return
    python = BIN / "python"
    recordings = ["--recordings", demo.options.recordings] if demo.options.recordings else []
    with demo.stage("outside", "local exchange server and Groq-protocol server"):
        exchange = await _child(
            demo, stack, "exchange", python, "-m", "tests.fakes.exchange", "--port", "0", *recordings
        )
        groq = await _child(demo, stack, "groq", python, "-m", "tests.fakes.groq", "--port", "0")
        demo.exchange = await exchange.until_json_line()
        demo.exchange["groq_url"] = (await groq.until_json_line())["url"]
        demo.groq_key = "any-key-does-here"


async def _start_cloud(demo: Demo, stack: AsyncExitStack) -> Child:
    work = demo.options.work_dir
    with demo.stage("cloud", "cloud API on embedded PostgreSQL, migrated"):
        ready_file = work / "cloud.json"
        cloud = await _child(
            demo, stack, "cloud",
            BIN / "oddsd-cloud", "dev", "--data-dir", work / "cloud", "--port", "0", "--ready-file", ready_file,
        )  # fmt: skip
        demo.cloud = await cloud.until_file(ready_file)
        made = await _command(
            BIN / "oddsd-cloud", "key", "create", "--name", "demo", "--tier", "pro", "--json",
            env={"DATABASE_URL": demo.cloud["database_url"]},
        )  # fmt: skip
        demo.api_key = json.loads(made)["key"]
        await _command(
            BIN / "oddsd-cloud", "account", "create", READER, "--tier", "pro", "--operator", "--password", demo.password,
            env={"DATABASE_URL": demo.cloud["database_url"]},
        )  # fmt: skip
    return cloud


async def _start_edge(demo: Demo, stack: AsyncExitStack) -> Child:
    """`oddsd run`, until it says READY as it would to systemd."""
    (demo.options.work_dir / "oddsd.toml").write_text(_configuration(demo))
    ready = ReadySocket(demo.sockets / "notify.sock")
    try:
        with demo.stage("ready", "oddsd run: READY"):
            env = {"NOTIFY_SOCKET": str(ready.path)} | ({"GROQ_API_KEY": demo.groq_key} if demo.groq_key else {})
            config = demo.options.work_dir / "oddsd.toml"
            edge = await _child(demo, stack, "edge", BIN / "oddsd", "run", "--config", config, **env)
            await ready.until_ready(edge)
    finally:
        ready.close()
    return edge


def _configuration(demo: Demo) -> str:
    values: dict[str, object] = {
        "host_id": "demo",
        "data_dir": str(demo.options.work_dir / "edge"),
        "runtime_dir": str(demo.sockets),
        "database_url": demo.cloud["edge_database_url"],
        "log_json": True,
    }
    if demo.exchange:
        values |= {
            "polymarket_url": demo.exchange["polymarket_url"],
            "polymarket_clob_url": demo.exchange["clob_url"],
            "kalshi_url": demo.exchange["kalshi_url"],
            "groq_base_url": demo.exchange["groq_url"],
        }
    if demo.options.recordings or demo.options.live:
        # Recorded days do not fall on today's window; real ones may be few: take the year to come.
        values |= {"target_close_window_days": 365, "predict_within": True}
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


async def _work(demo: Demo) -> None:
    """The jobs, through the control socket, as an operator would ask for them."""
    n_ticks = 1
    if demo.exchange:
        async with httpx.AsyncClient() as client:
            n_ticks = (await client.get(f"{demo.exchange['control_url']}/state")).json()["n_ticks"]
    predict_at = max(1, n_ticks // 2)
    for tick in range(1, n_ticks + 1):
        with demo.stage("collect", f"collect and detect, tick {tick} of {n_ticks}"):
            await _job(demo, "collect")
        if tick == predict_at:
            with demo.stage("predict", "predict, blind to the price"):
                await _job(demo, "predict")
        if tick >= predict_at:
            with demo.stage("benchmark", "benchmark every prediction against the market"):
                await _job(demo, "benchmark")
        if tick < n_ticks:
            async with httpx.AsyncClient() as client:
                (await client.post(f"{demo.exchange['control_url']}/tick")).raise_for_status()
    with demo.stage("pairs", "which questions are asked on both venues"):
        await _job(demo, "pairs")
    with demo.stage("arbitrage", "what pays for certain, net of fees"):
        await _job(demo, "arbitrage")
    with demo.stage("reports", "how each forecaster does: too early to say"):
        for job in ("horizons", "signals", "reports"):
            await _job(demo, job)
    with demo.stage("analyse", "analyse what moved" if demo.groq_key else "analyse: off, no GROQ_API_KEY"):
        await _job(demo, "analyse")
    with demo.stage("digest", "put the day in order" if demo.groq_key else "digest: off, no GROQ_API_KEY"):
        await _job(demo, "digest")
    await _compare_spend(demo)


async def _job(demo: Demo, name: str) -> None:
    result = await call(demo.control_socket, "run_now", None, job=name)
    if result["state"] != "ok":
        demo.problems.append(f"{name}: {result['state']}: {result['reason']}")


async def _compare_spend(demo: Demo) -> None:
    """Our books against those of the local service, which reckoned for itself."""
    found = json.loads(await _oddsd(demo, "spend", "--json"))
    demo.summary["llm"] = {"calls": found["n_calls"], "spent_usd": found["spent_usd"]}
    if "groq_url" not in demo.exchange:
        return
    async with httpx.AsyncClient(base_url=demo.exchange["groq_url"]) as client:
        seen = (await client.get("/control/state")).json()
    off_usd = abs(Decimal(found["spent_usd"]) - Decimal(seen["cost_usd"]))
    if found["n_calls"] != seen["calls"] or off_usd > Decimal("1e-9") * seen["calls"]:  # each is rounded up to a nano
        demo.problems.append(
            f"oddsd spend: {found['n_calls']} calls, {found['spent_usd']} USD; the service saw {seen['calls']} and"
            f" {seen['cost_usd']}"
        )


async def _drain(demo: Demo) -> None:
    """Wait until nothing is pending: the sender works by itself."""
    with demo.stage("sync", "sync: every sealed batch acknowledged"):
        within_s, n_pending = LIVE_DRAIN_WITHIN_S if demo.options.live else DRAIN_WITHIN_S, None
        try:
            async with asyncio.timeout(within_s):
                while n_pending := (await call(demo.control_socket, "status"))["figures"]["pending_rows"]:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            told = "rows" if n_pending is None else f"{n_pending:,} rows"
            raise RuntimeError(f"sync: {told} still wait after {within_s:.0f} s; see {_logs(demo)}") from None


@dataclass(slots=True)
class _Subscriber:
    """Reads the API with a key and notes what each path answered."""

    demo: Demo
    client: httpx.AsyncClient
    statuses: dict[str, int]

    async def get(self, path: str, *, shown: str | None = None, expect: int = 200, **options: Any) -> Any:
        """The JSON of a path; None where it is not JSON or not what was expected, which is then a problem."""
        answer = await self.client.get(path, **options)
        self.statuses[shown or path] = answer.status_code
        if answer.status_code != expect:
            told = f"GET {path}: {answer.status_code} instead of {expect}: {answer.text[:200]}"
            self.demo.problems.append(told)
            return None
        return answer.json() if "json" in answer.headers.get("content-type", "") else None


async def _query(demo: Demo) -> None:
    """Read back over HTTP what was sent, as a subscriber would."""
    with demo.stage("serve", "read it back over HTTP"):
        headers = {"Authorization": f"Bearer {demo.api_key}"}
        statuses = demo.summary["api"] = dict[str, int]()
        async with httpx.AsyncClient(base_url=demo.cloud["url"], headers=headers) as client:
            reader = _Subscriber(demo, client, statuses)
            await reader.get("/health")
            await reader.get(
                "/v1/markets", expect=401, shown="/v1/markets without a key", headers={"Authorization": ""}
            )
            for path in ("/openapi.json", "/docs", "/v1/insights", "/v1/digests", "/v1/arbitrage"):
                await reader.get(path)
            markets = (await reader.get("/v1/markets") or {}).get("data") or []
            predictions = (await reader.get("/v1/predictions") or {}).get("data") or []
            for prediction in predictions[:1]:
                stem = f"/v1/predictions/{prediction['prediction_id']}"
                await reader.get(stem, shown="/v1/predictions/{id}")
                await reader.get(f"{stem}/benchmarks", shown="/v1/predictions/{id}/benchmarks")
            # A market that was predicted has a book for sure; else any will do.
            for market in [*predictions, *markets][:1]:
                stem = f"/v1/markets/{quote(market['market_key'], safe=':')}"
                for route in ("", "/price", "/series"):
                    await reader.get(f"{stem}{route}", shown=f"/v1/markets/{{id}}{route}")
    with demo.stage("pages", "sign in and look at every page"):
        shown = await look_at_pages(
            demo.cloud["url"],
            READER,
            demo.password,
            prediction=next((one["prediction_id"] for one in predictions), None),
            market=next((one["market_key"] for one in [*predictions, *markets]), None),
        )
    demo.summary["pages"] = shown
    # Real and recorded days may hold no arbitrage; the made-up world has something for every page.
    whole = demo.exchange and not demo.options.recordings
    demo.problems += [f"page {path}: {found}" for path, found in shown.items() if found != "shown" and whole]


async def _judge(demo: Demo) -> None:
    """Compare the two databases, record by record; the daemon is down."""
    with demo.stage("judge", "every record of the edge stands in the cloud once"):
        verdict = await judge(demo.database, demo.cloud["database_url"])
        demo.summary |= _counts(demo.database) | msgspec.to_builtins(verdict)
    for name in ("lost", "doubled", "foreign", "quarantined"):
        if demo.summary[name]:
            demo.problems.append(f"{demo.summary[name]} records {name}")
    if not verdict.rows_sealed == verdict.rows_acked == verdict.rows_in_cloud > 0:
        demo.problems.append(
            f"sealed {verdict.rows_sealed}, acknowledged {verdict.rows_acked}, in the cloud {verdict.rows_in_cloud}"
        )
    for venue, n in demo.summary["markets"].items():
        if not n:
            demo.problems.append(f"no market of {venue}")


def _counts(database: Path) -> dict[str, Any]:
    """What the edge holds."""
    connection = sqlite3.connect(database)
    try:
        per_venue = {"polymarket": 0, "kalshi": 0}
        markets = dict(connection.execute("SELECT venue, count(*) FROM markets GROUP BY venue"))
        quotes = dict(
            connection.execute(
                "SELECT venue, count(*) FROM quotes q JOIN markets m ON m.id = q.market_id GROUP BY venue"
            )
        )
        tables = ("patterns", "insights", "predictions", "checks", "digests", "matches", "arbitrage")
        counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
        return {"markets": per_venue | markets, "quotes": per_venue | quotes, **counts}
    finally:
        connection.close()


async def _keep(demo: Demo, edge: Child) -> None:
    """Leave it running until a key press of Ctrl-C, with everything one needs to look around."""
    config = demo.options.work_dir / "oddsd.toml"
    demo.console.print(
        f"\nRunning until Ctrl-C.\n"
        f"  API      {demo.cloud['url']}   docs {demo.cloud['url']}/docs\n"
        f"  pages    {demo.cloud['url']}/app   sign in as {READER} with {demo.password}\n"
        f"  key      {demo.api_key}\n"
        f"  try      curl -H 'Authorization: Bearer {demo.api_key}' '{demo.cloud['url']}/v1/insights'\n"
        f"  status   .venv/bin/oddsd status --config {config}\n"
        f"  logs     {_logs(demo)}",
        highlight=False,
        soft_wrap=True,
    )
    await edge.process.wait()
    demo.problems.append("the daemon ended by itself")


async def _oddsd(demo: Demo, *arguments: str) -> str:
    return await _command(BIN / "oddsd", *arguments, "--config", demo.options.work_dir / "oddsd.toml")


async def _command(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed. Raises: RuntimeError with its complaint."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment() | {"COLUMNS": str(Console().width)} | (env or {}),
    )
    out, err = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {process.returncode}: {err.decode().strip()}")
    return out.decode()
