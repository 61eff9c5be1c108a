"""axe-core over the page a tab shows: what would keep somebody out, as sentences.

Fetched by `make assets`; where it is not there, our own checks (`UNNAMED`, `FAINT`) stand alone and the test says so.
"""

from pathlib import Path

from tests.browser.chromium import Page

AXE = Path(__file__).resolve().parents[2] / ".cache" / "assets" / "axe.min.js"
RUN = """
axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.target.join(" ")}: ${node.failureSummary}`)))
"""


async def find_barriers(tab: Page) -> list[str]:
    """Every serious or critical finding of the page as it stands now."""
    if not await tab.value("'axe' in window"):
        await tab.value(AXE.read_text())
    found: list[str] = await tab.value(RUN)
    return found
