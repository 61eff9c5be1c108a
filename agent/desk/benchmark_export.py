"""Writes the benchmark's flat rows as CSV, JSON lines or Parquet; returns how many there were."""

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from agent.errors import ConfigError
from agent.store.exports import COLUMNS

Rows = Iterator[dict[str, Any]]
Write = Callable[[Rows, Path | None], int]
CHUNK = 10_000  # rows of one group in a Parquet file

_TEXTS = ("_id", "market_key", "experiment", "experiment_version", "model", "category", "status", "predicted_at",
          "movement_direction", "resolution", "excluded")  # fmt: skip


def write_csv(rows: Rows, path: Path | None) -> int:
    """With a header; an empty field is a missing value."""
    n = 0
    with _text_file(path) as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            n += 1
    return n


def write_json(rows: Rows, path: Path | None) -> int:
    """One array, a row per line."""
    n = 0
    with _text_file(path) as file:
        file.write("[")
        for row in rows:
            file.write((",\n" if n else "\n") + json.dumps(row, allow_nan=False))
            n += 1
        file.write("\n]\n")
    return n


def write_parquet(rows: Rows, path: Path | None) -> int:
    """With typed columns. Raises: ConfigError where pyarrow is not installed."""
    try:
        pa, pq = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as exc:
        raise ConfigError(["parquet needs pyarrow: install the extra, `pip install 'oddsd[parquet]'`"]) from exc
    if path is None:
        raise ValueError("a Parquet file needs a name")
    schema = pa.schema([(name, _arrow_type(pa, name)) for name in COLUMNS])
    n, held = 0, list[dict[str, Any]]()
    with pq.ParquetWriter(path, schema) as writer:
        for row in rows:
            held.append(row)
            n += 1
            if len(held) == CHUNK:
                writer.write_table(pa.Table.from_pylist(held, schema=schema))
                held.clear()
        writer.write_table(pa.Table.from_pylist(held, schema=schema))
    return n


def _arrow_type(pa: Any, name: str) -> Any:
    """Decided by name, not by the first rows: a column may be empty for months."""
    if name == "saw_price":
        return pa.bool_()
    if name == "confidence":
        return pa.int16()
    return pa.string() if name.endswith(_TEXTS) or name.startswith("missing_") else pa.float64()


@contextmanager
def _text_file(path: Path | None) -> Iterator[TextIO]:
    """The file, or stdout as it is."""
    if path is None:
        held = io.StringIO(newline="")
        yield held
        sys.stdout.write(held.getvalue())
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        yield file
