"""The README's first command: the whole main job as separate processes, judged record by record."""

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

API = {
    "/health", "/v1/markets", "/v1/insights", "/v1/predictions", "/v1/predictions/{id}",
    "/v1/predictions/{id}/benchmarks", "/v1/markets/{id}", "/v1/markets/{id}/price", "/v1/markets/{id}/series",
    "/openapi.json", "/docs",
}  # fmt: skip


@pytest.fixture
def work_dir() -> Iterator[Path]:
    """Not below pytest's folder: as root the embedded PostgreSQL runs as another user, who must be let in."""
    folder = Path(tempfile.mkdtemp(prefix="oddsd-demo-"))
    yield folder / "demo"
    shutil.rmtree(folder)


async def demo(work_dir: Path, *arguments: object) -> dict[str, Any]:
    """Run it to its end and return its summary."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.demo", "--work-dir", str(work_dir), *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return json.loads((work_dir / "summary.json").read_text())


async def test_the_demo_does_the_main_job_on_the_made_world(work_dir):
    """Every stage leaves something, nothing is lost or doubled, and every route answers."""
    summary = await demo(work_dir)

    assert min(summary["markets"].values()) > 100
    assert min(summary["quotes"].values()) > 100
    for name in ("patterns", "insights", "predictions", "checks"):
        assert summary[name] > 0, name
    assert summary["rows_sealed"] == summary["rows_acked"] == summary["rows_in_cloud"] > 1000
    assert (summary["lost"], summary["doubled"]) == (0, 0)
    assert {path: code for path, code in summary["api"].items() if code == 200}.keys() >= API
    assert summary["api"]["/v1/markets without a key"] == 401
    assert summary["seconds"]["total"] > 0
    assert summary["peak_rss_mb"] > 0


async def test_the_demo_does_the_main_job_on_recorded_payloads(work_dir, recordings):
    """What the exchanges really sent goes the whole way."""
    summary = await demo(work_dir, "--recordings", recordings)

    assert summary["markets"]["polymarket"] > 200
    assert summary["markets"]["kalshi"] > 300
    assert summary["rows_in_cloud"] == summary["rows_acked"] > 0
    assert (summary["lost"], summary["doubled"], summary["quarantined"]) == (0, 0, 0)
