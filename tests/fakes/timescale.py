"""TimescaleDB's functions on a plain PostgreSQL, and a copy of the migrations that can run on them.

Law: two statements are written in a grammar only the extension has, the options of a compressed table and of a
continuous aggregate. They are read here, refused where they name what is not there, and said in plain SQL (the
aggregate as a view, which is what it shows to a reader). Every other statement runs as it stands.
"""

import re
import shutil
from pathlib import Path

import psycopg

from cloudapi.migrations import runner

FUNCTIONS = Path(__file__).with_suffix(".sql")
COMPRESS = re.compile(r"alter table (\w+) set \(\s*(timescaledb\.[^;]*?)\s*\);")
CONTINUOUS = re.compile(
    r"create materialized view (\w+)\s+with \((timescaledb\.[^)]*)\) as\s+(.*?)\s+with no data;", re.DOTALL
)
OPTION = re.compile(r"timescaledb\.(\w+)(?:\s*=\s*('[^']*'|\w+))?(?:,\s*|$)")
OF_COMPRESSION = {"compress", "compress_segmentby", "compress_orderby", "compress_chunk_time_interval"}
OF_AGGREGATES = {"continuous", "materialized_only", "create_group_indexes", "finalized"}


def pretend(dsn: str) -> None:
    """Make the extension appear in an empty database."""
    with psycopg.connect(dsn) as connection:
        connection.execute(FUNCTIONS.read_bytes())


def copy_migrations(folder: Path) -> Path:
    """The project's migrations in a folder of their own, the extension's grammar put into plain SQL."""
    here = Path(shutil.copytree(runner.HERE, folder / "migrations", ignore=shutil.ignore_patterns("__pycache__")))
    revision = here / "sql" / "0009_timescale.sql"
    revision.write_text(in_plain_sql(revision.read_text("utf-8")), "utf-8")
    return here


def in_plain_sql(text: str) -> str:
    """The revision as a server without the extension can run it. Raises: ValueError at an option nobody knows."""
    text, n_compressed = COMPRESS.subn(_columns_of, text)
    text, n_continuous = CONTINUOUS.subn(_view_of, text)
    if (n_compressed, n_continuous) != (1, 1) or re.search(r"\(\s*timescaledb\.", text):
        raise ValueError(f"{n_compressed} compressed tables and {n_continuous} continuous aggregates were read")
    return text


def _columns_of(found: re.Match[str]) -> str:
    """A statement that fails unless the table has the columns the options name."""
    options = _options(found[2], OF_COMPRESSION)
    named = f"{options['compress_segmentby']},{options['compress_orderby']}".replace("'", "").split(",")
    columns = ", ".join(re.sub(r"\s+(asc|desc)$", "", each.strip()) for each in named)
    return f"select {columns} from {found[1]} limit 0;"


def _view_of(found: re.Match[str]) -> str:
    _options(found[2], OF_AGGREGATES)
    return f"create view {found[1]} as {found[3]};"


def _options(text: str, known: set[str]) -> dict[str, str]:
    if OPTION.sub("", text).strip():
        raise ValueError(f"options that cannot be read: {text}")
    options = dict(OPTION.findall(text))
    if unknown := options.keys() - known:
        raise ValueError(f"TimescaleDB has no option {sorted(unknown)}")
    return options
