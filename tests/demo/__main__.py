"""`make demo`: the main job once on embedded defaults, a summary in .demo/summary.json, exit 0 when all is well."""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

import httpx
from rich.console import Console

from agent.errors import OddsdError
from tests.demo.story import Options, opened, tell


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--live", action="store_true", help="the real exchanges; Groq if GROQ_API_KEY is set")
    parser.add_argument("--keep", action="store_true", help="leave daemon and API running at the end")
    parser.add_argument("--recordings", type=Path, help="replay recorded payloads from this folder")
    parser.add_argument("--work-dir", type=Path, default=Path(".demo"), help="made anew at each start")
    arguments = parser.parse_args()
    if arguments.recordings and not arguments.recordings.is_dir():
        parser.error(f"no folder {arguments.recordings}")
    options = Options(
        work_dir=arguments.work_dir.resolve(), live=arguments.live, keep=arguments.keep, recordings=arguments.recordings
    )
    try:
        return asyncio.run(_demonstrate(options, Console(highlight=False)))
    except KeyboardInterrupt:
        return 0 if options.keep else 130


async def _demonstrate(options: Options, console: Console) -> int:
    began = time.perf_counter()
    world = "the real exchanges" if options.live else str(options.recordings or "a made-up world")
    console.print(f"[bold]oddsd demo[/]: the main job once, on {world}\n")
    async with opened(options, console) as demo:
        try:
            await tell(demo)
        except (OddsdError, RuntimeError, TimeoutError, httpx.HTTPError) as exc:
            demo.problems.append(str(exc) or type(exc).__name__)
        finally:
            demo.seconds["total"] = round(time.perf_counter() - began, 2)
            summary = demo.summary | {"seconds": demo.seconds, "problems": demo.problems}
            path = options.work_dir / "summary.json"
            path.write_text(json.dumps(summary, indent=2) + "\n")
        console.print(f"\n{path}: {_in_short(summary)}", soft_wrap=True)
        for problem in demo.problems:
            console.print(f"[red]✗[/] {problem}", markup=True, soft_wrap=True)
        return 1 if demo.problems else 0


def _in_short(summary: dict[str, object]) -> str:
    names = ("patterns", "insights", "predictions", "checks", "rows_in_cloud", "lost", "doubled")
    return ", ".join(f"{name} {summary[name]}" for name in names if name in summary)


if __name__ == "__main__":
    sys.exit(main())
