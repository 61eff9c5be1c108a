"""Chromium without a window, over the DevTools protocol: what a page logs, breaks, shows and measures.

Law: one process per test, its profile in a folder of its own, ended with it. A page's complaints (policy violations,
exceptions, failed requests) are kept and asked for; nothing is waited for by time.
"""

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect

WITHIN_S = 20
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--remote-debugging-port=0", "--remote-allow-origins=*",
)  # fmt: skip
WATCH_POLICY = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (e) => window.__violations.push(`${e.violatedDirective} ${e.blockedURI}`));
"""


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """One tab."""

    def __init__(self, chromium: "Chromium", session: str) -> None:
        self._chromium = chromium
        self.session = session
        self.complaints: list[str] = []
        self.loaded = asyncio.Event()

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._chromium.call(method, session=self.session, **params)

    async def visit(self, url: str) -> None:
        """Go there and wait until it is loaded, scripts and all."""
        self.loaded.clear()
        await self.call("Page.navigate", url=url)
        await self.until_loaded()

    async def until_loaded(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            await self.loaded.wait()

    async def value(self, expression: str) -> Any:
        """What an expression is in the page; promises are awaited."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    async def press(self, selector: str) -> None:
        """Click something that leads to another page."""
        self.loaded.clear()
        await self.value(f"document.querySelector({json.dumps(selector)}).click()")
        await self.until_loaded()

    async def key(self, name: str, code: int = 9) -> None:
        """Press a key and let it go; 9 is the number of Tab, 13 of Enter."""
        text = {"text": "\r"} if code == 13 else {}
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **text
            )

    async def until(self, expression: str) -> None:
        """Wait until something holds in the page, looking once a frame."""
        look = f"() => ({expression}) ? done() : requestAnimationFrame(look)"
        await self.value(f"new Promise((done) => {{ const look = {look}; look(); }})")

    async def resize(self, width: int, *, dark: bool = False) -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}  # colours under way are no colours to measure
        await self.call("Emulation.setEmulatedMedia", features=[scheme, still])

    async def without_scripts(self) -> None:
        await self.call("Emulation.setScriptExecutionDisabled", value=True)

    async def photograph(self, path: Path, *, whole: bool = True) -> None:
        """The whole page, or what fits the window."""
        picture = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def hear(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self.loaded.set()
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])


class Chromium:
    """The process and the one socket to it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._n = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    @classmethod
    @asynccontextmanager
    async def started(cls, binary: str) -> AsyncIterator[Self]:
        profile = Path(tempfile.mkdtemp(prefix="oddsd-browser-"))
        process = await asyncio.create_subprocess_exec(
            binary, *FLAGS, f"--user-data-dir={profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        drained: asyncio.Task[bytes] | None = None
        try:
            address = await _address(process)
            drained = asyncio.create_task(process.stderr.read(), name="chromium's words")
            async with connect(address, max_size=64 * 1024 * 1024, proxy=None) as socket:
                chromium = cls(socket)
                listening = asyncio.create_task(chromium._listen(), name="chromium")
                try:
                    yield chromium
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            if drained is not None:
                await drained
            shutil.rmtree(profile, ignore_errors=True)

    async def call(self, method: str, *, session: str | None = None, **params: Any) -> dict[str, Any]:
        self._n += 1
        answer = self._waiting[self._n] = asyncio.get_running_loop().create_future()
        asked = {"id": self._n, "method": method, "params": params}
        await self._socket.send(json.dumps(asked | ({"sessionId": session} if session else {})))
        async with asyncio.timeout(WITHIN_S):
            return await answer

    async def open(self) -> Page:
        """A tab that notes violations of the policy before a page's own scripts begin."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        await page.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH_POLICY)
        return page

    async def _listen(self) -> None:
        async for text in self._socket:
            told = json.loads(text)
            if "id" in told:
                waiting = self._waiting.pop(told["id"])
                if "error" in told:
                    waiting.set_exception(AssertionError(told["error"]))
                elif not waiting.done():
                    waiting.set_result(told["result"])
            elif (page := self._pages.get(told.get("sessionId", ""))) is not None:
                page.hear(told["method"], told["params"])


async def _address(process: asyncio.subprocess.Process) -> str:
    """Where it listens, as it says itself. Raises: RuntimeError with its words if it ended instead."""
    said = ""
    async with asyncio.timeout(WITHIN_S):
        while line := (await process.stderr.readline()).decode():
            said += line
            if "DevTools listening on " in line:
                return line.partition("DevTools listening on ")[2].strip()
    raise RuntimeError(f"Chromium ended before it listened: {said[-500:]}")
