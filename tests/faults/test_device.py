"""The whole daemon on a device that fails: out with 74 at the first error, hands off after the second."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from agent import distrust
from tests.demo.processes import BIN, Child, clean_environment
from tests.e2e.edge import Ear, Edge
from tests.faults.worker import DATABASE

pytestmark = pytest.mark.timeout(0)

QUIET = "".join(f"[jobs.{job}]\nenabled = false\n" for job in ("collect", "analyse", "benchmark", "predict", "models"))
ENDS_WITHIN_S = 60


async def failing(edge: Edge, strace: str) -> tuple[int, str]:
    """Run the daemon with a disk whose syncs fail after the first few; (exit code, what it said)."""
    data = edge.folder / "data"
    hit = [part for suffix in ("", "-wal") for part in ("-P", str(data / f"{DATABASE}{suffix}"))]
    process = await asyncio.create_subprocess_exec(
        strace, "-f", "-qq", "-o", os.devnull, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=2+", *hit,
        str(BIN / "oddsd"), "run", "--config", str(edge.config),
        env=clean_environment(), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(ENDS_WITHIN_S):
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode(errors="replace")


def digest(folder: Path) -> dict[str, str]:
    """What stands in each file of the store."""
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in folder.glob(f"{DATABASE}*")}


@pytest.mark.fault(10)
async def test_fault_10_a_second_io_error_within_an_hour_leaves_the_device_alone_until_it_is_over(
    trial, tmp_path, strace
):
    """Each error ends the daemon with 74; after two it holds, touches nothing, obeys a stop, and says what to do."""
    async with Edge(tmp_path, tables=QUIET) as edge:
        await edge.start()
        assert edge.child is not None
        assert await edge.child.stop() == 0
        for n_errors in (1, 2):
            code, said = await failing(edge, strace)
            assert code == 74, said
            assert "Traceback" not in said, said
            assert len((edge.folder / "data" / distrust.NAME).read_text().splitlines()) == n_errors

        before, ear = digest(edge.folder / "data"), Ear(edge)
        edge.child = await Child.start(
            "held", BIN / "oddsd", "run", "--config", edge.config,
            log_dir=tmp_path, env={"NOTIFY_SOCKET": str(ear.path)},
        )  # fmt: skip
        assert "two I/O errors within an hour" in await ear.until("STATUS=held")
        assert await edge.child.stop() == 0
        ear.close()
        assert digest(edge.folder / "data") == before
        assert "smartctl" in edge.child.log.read_text()

        (edge.folder / "data" / distrust.NAME).unlink()
        trial.recovering()
        await edge.start()
        trial.recovered()
        assert (await edge.ask("status"))["stream_id"]
        assert await edge.child.stop() == 0
        trial.counted(2)
