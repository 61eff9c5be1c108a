"""A house with data, local exchanges and a local model service; a Postgres for the jobs that run on DBOS."""

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.app import open_house
from agent.settings import load_settings
from tests.fakes.exchange import ExchangeServer
from tests.fakes.groq import GroqServer
from tests.fakes.postgres import EmbeddedPostgres
from tests.fakes.world import World

N_TICKS = 3
# What the engine itself writes, and what every look or call adds to: how often it was killed is not the job's outcome.
NOT_COMPARED = {"job_runs", "kept", "llm_calls", "batches", "streams", "sqlite_sequence", "drift_profiles", "raw"}


@pytest.fixture(scope="session")
def jobs_postgres() -> Iterator[EmbeddedPostgres]:
    """One server; each test has a database of its own."""
    server = EmbeddedPostgres().start()
    yield server
    server.stop()


@dataclass(frozen=True)
class Place:
    """A house's files."""

    folder: Path
    config: Path

    @property
    def database(self) -> Path:
        """The store; only to be read while nobody works in it."""
        return self.folder / "data" / "oddsd.db"

    def contents(self) -> dict[str, int]:
        """Rows by table, of what the jobs produce."""
        with closing(sqlite3.connect(self.database)) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            return {
                name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
                for name in sorted(names)
                if name not in NOT_COMPARED
            }

    def run_at(self, job: str, slot: datetime) -> tuple[str, str | None]:
        """(state, reason) of a run."""
        with closing(sqlite3.connect(self.database)) as connection:
            ms = int(slot.timestamp() * 1000)
            return connection.execute(
                "SELECT state, reason FROM job_runs WHERE job = ? AND slot = ?", (job, ms)
            ).fetchone()

    def n_said_twice(self) -> int:
        """Patterns a model was paid for more than once."""
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute("SELECT count(*) - count(DISTINCT pattern_id) FROM insights").fetchone()[0]


@dataclass(frozen=True)
class Beginnings:
    """One world for the session, and the data of houses in which some jobs have run: made once, copied often."""

    folder: Path
    world: World


@pytest.fixture(scope="session")
def beginnings(tmp_path_factory: pytest.TempPathFactory) -> Beginnings:
    """The world begins with the session."""
    world = World(n_ticks=N_TICKS, start=datetime.now(UTC).replace(second=0, microsecond=0))
    return Beginnings(tmp_path_factory.mktemp("beginnings"), world)


class Houses:
    """Makes houses over the same outside world; a copy begins with what the first one holds."""

    def __init__(self, root: Path, beginnings: Beginnings, exchange: ExchangeServer, groq: GroqServer) -> None:
        self.root, self.beginnings, self.exchange, self.groq = root, beginnings, exchange, groq

    def place(self, name: str, *, data: Path | None = None, jobs_database_url: str | None = None) -> Place:
        """A folder with its configuration."""
        folder = self.root / name
        folder.mkdir()
        values = {
            "host_id": name,
            "data_dir": str(folder / "data"),
            "runtime_dir": str(folder),
            "polymarket_url": self.exchange.polymarket_url,
            "polymarket_clob_url": self.exchange.clob_url,
            "polymarket_data_url": self.exchange.data_url,
            "kalshi_url": self.exchange.kalshi_url,
            "groq_api_key": "any-key-does-here",
            "groq_base_url": self.groq.url,
            "ai_daily_cap_usd": 5,
            "predict_within": True,
            "predict_limit": 8,
        }
        if jobs_database_url is not None:
            values["jobs_database_url"] = jobs_database_url
        config = folder / "oddsd.toml"
        config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
        if data is not None:
            shutil.copytree(data, folder / "data")
        return Place(folder, config)

    async def data_after(self, jobs: tuple[str, ...]) -> Path:
        """The data of a house in which these jobs have run, one after the other."""
        made = self.beginnings.folder / "-".join(jobs or ("nothing",))
        if made.exists():
            while self.exchange.tick < N_TICKS - 1:
                self.exchange.forward()
            return made
        place, slot = self.place("first"), datetime.now(UTC) - timedelta(hours=2)
        async with open_house(load_settings(place.config)) as house:
            for number, job in enumerate(jobs):
                await house.runner.run(job, slot + timedelta(minutes=number), "once")
                if job == "collect":
                    self.exchange.forward()
        return Path(shutil.copytree(place.folder / "data", made))


@pytest.fixture
async def houses(tmp_path: Path, beginnings: Beginnings) -> AsyncIterator[Houses]:
    """The outside world, for the life of one test."""
    async with AsyncExitStack() as stack:
        exchange = await stack.enter_async_context(ExchangeServer(beginnings.world))
        groq = await stack.enter_async_context(GroqServer())
        yield Houses(tmp_path, beginnings, exchange, groq)


@pytest.fixture
def engine_url(jobs_postgres: EmbeddedPostgres) -> Callable[[str], str | None]:
    """The address a backend's name stands for."""
    return lambda backend: jobs_postgres.create_empty_database() if backend == "dbos" else None
