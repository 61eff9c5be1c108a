"""`make picture`: the README's picture of the dashboard, taken in Chromium of what the demo has worked out.

Law: nothing on it is made up for it: the demo's own world runs once through collect, predict, benchmark, analyse and
sync, and a page of the service is photographed as a reader of it would see it.
"""

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console

from tests.browser.chromium import Chromium, Page, find_chromium
from tests.demo import story

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURE = DOCS / "dashboard.png"
PAGE = "/app/insights"
SIZE = (1120, 760)
MOST_BYTES = 150_000


def main() -> int:
    """Take it, or say why not."""
    binary = find_chromium()
    if binary is None:
        print("no Chromium is installed (Debian package chromium)", file=sys.stderr)
        return 69
    asyncio.run(_take(binary, sys.argv[1:] or [PAGE]))
    return 0


async def _take(binary: str, paths: list[str]) -> None:
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="oddsd-picture-") as folder:
        async with (
            story.opened(story.Options(work_dir=Path(folder) / "demo"), console) as demo,
            AsyncExitStack() as stack,
        ):
            await story._start_outside_world(demo, stack)
            await story._start_cloud(demo, stack)
            edge = await story._start_edge(demo, stack)
            await story._work(demo)
            await story._drain(demo)
            chromium = await stack.enter_async_context(Chromium.started(binary))
            tab = await chromium.open()
            await tab.call("Network.enable")
            await tab.call("Network.setExtraHTTPHeaders", headers={"Authorization": f"Bearer {demo.api_key}"})
            for path in paths:
                into = PICTURE if path == PAGE else DOCS.parent / ".screens" / f"demo{path.replace('/', '-')}.png"
                await _photograph(tab, demo.cloud["url"] + path, into)
                console.print(f"{into}: {into.stat().st_size:,} bytes")
            await edge.stop()


async def _photograph(tab: Page, url: str, into: Path) -> None:
    """The first screenful. Raises: ValueError where it is heavier than a README should carry."""
    width, height = SIZE
    await tab.resize(width)
    await tab.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    await tab.visit(url)
    await tab.photograph(into, whole=False)
    if into.stat().st_size > MOST_BYTES:
        raise ValueError(f"{into} has {into.stat().st_size} bytes, more than {MOST_BYTES}")


if __name__ == "__main__":
    sys.exit(main())
