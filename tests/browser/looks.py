"""How a page looks to somebody: what a tab can be asked of the page it shows. Every answer is a list of sentences.

Screenshots go to .screens/ for the eye.
"""

from pathlib import Path
from typing import Any

from tests.browser.chromium import Page

SCREENS = Path(__file__).resolve().parents[2] / ".screens"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# What a screen reader needs at the least; every hit is a sentence.
UNNAMED = """
(() => {
  const told = [];
  const name = (e) => (e.getAttribute("aria-label") || e.textContent || "").trim();
  for (const e of document.querySelectorAll("a, button, summary")) if (!name(e)) told.push(`no name: ${e.outerHTML}`);
  for (const e of document.querySelectorAll("input:not([type=hidden])")) if (!e.labels.length) told.push(`no label: ${e.outerHTML}`);
  for (const e of document.querySelectorAll("svg")) if (e.getAttribute("role") !== "img" || !e.getAttribute("aria-label")) told.push("a picture without words");
  for (const e of document.querySelectorAll("td[data-label]")) if (!e.closest("table").tHead) told.push("a table without heads");
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) told.push(`an id twice: ${ids}`);
  if (document.querySelectorAll("h1").length !== 1) told.push("not one h1");
  if (document.querySelectorAll("main").length !== 1 || !document.documentElement.lang) told.push("no main or no language");
  return told;
})()
"""
# The contrast of every text with what lies behind it, by WCAG 2's formula.
FAINT = """
(() => {
  const read = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return { rgb: m.slice(0, 3), a: m[3] ?? 1 }; };
  const light = (rgb) => { const [r, g, b] = rgb.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = read(getComputedStyle(e).backgroundColor); if (c.a === 1) return c.rgb; } return [255, 255, 255]; };
  const told = [];
  for (const e of document.querySelectorAll("main *, header *, footer *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const box = e.getBoundingClientRect();
    if (!own || box.width < 2 || e.closest("svg")) continue;
    const [a, b] = [light(read(getComputedStyle(e).color).rgb), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) told.push(`${ratio.toFixed(2)} ${e.tagName}.${e.className}: ${e.textContent.slice(0, 40)}`);
  }
  return told;
})()
"""
# Everything a keyboard should reach, in the order it is written.
STOPS = """
[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")]
  .filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.disabled).map((e, i) => { e.dataset.stop = i; return i; })
"""
STANDS_AT = """
(() => {
  const e = document.activeElement, box = e.getBoundingClientRect();
  const seen = box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.left < innerWidth && box.right > 0;
  return [Number(e.dataset.stop), seen && getComputedStyle(e).outlineStyle !== "none"];
})()
"""


async def find_flaws(tab: Page) -> dict[str, Any]:
    """What is wrong with the page as it stands now, by what was asked; empty where nothing is."""
    asked = {"overflow": OVERFLOW, "unnamed": UNNAMED, "faint": FAINT, "policy": "window.__violations"}
    found = {name: await tab.value(question) for name, question in asked.items()}
    return {name: flaw for name, flaw in found.items() if flaw}
