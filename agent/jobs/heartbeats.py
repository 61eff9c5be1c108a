"""Heartbeats: a job's start, success and failure told to a healthchecks-style address.

Law: a ping never delays or fails a job: it is queued, sent by a task of its own and given up after a few tries. Each
job's pings leave in order: `URL/start`, then `URL` or `URL/fail`, with `rid=RUN_ID`, by which they are paired. The
body has the run's state, counts and, where it was not well, its last log lines. A run that is cut off sends no end: the
silence is the alarm.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlencode, urlsplit, urlunsplit

import httpx
import stamina
import structlog

from agent.jobs.ledger import Run

TIMEOUT_S = 10.0  # of one try
FLUSH_S = 5.0  # at the end of the process; what is unsent then is an alarm at worst
WAITING = 20  # pings of one job; more means that the address has been away for hours
BODY_BYTES = 10_000  # the least any such service keeps

log = structlog.get_logger("heartbeats")
_retrying = stamina.AsyncRetryingCaller(attempts=3, timeout=None, wait_initial=0.5, wait_max=5.0)


@dataclass(frozen=True, slots=True)
class _Ping:
    suffix: str  # "/start", "/fail" or nothing
    run_id: str
    body: bytes


class Heartbeats:
    """Watches a runner. Use as `async with`; `urls` by job, jobs without one are not told about."""

    def __init__(self, urls: Mapping[str, str], *, flush_s: float = FLUSH_S) -> None:
        self._urls, self._flush_s = urls, flush_s
        self._waiting = {job: asyncio.Queue[_Ping](WAITING) for job in urls}
        self._senders: list[asyncio.Task[None]] = []
        self._away = set[str]()  # jobs whose address did not answer last time: told once

    async def __aenter__(self) -> Self:
        """Ready to send; a client is made only where there is something to tell."""
        if self._urls:
            self._client = httpx.AsyncClient(timeout=TIMEOUT_S)
            self._senders = [asyncio.create_task(self._send_all(job), name=f"heartbeat:{job}") for job in self._waiting]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send what is left, for a few seconds at most."""
        if not self._urls:
            return
        left = [asyncio.create_task(queue.join()) for queue in self._waiting.values()]
        await asyncio.wait(left, timeout=self._flush_s)
        for task in (*left, *self._senders):
            task.cancel()
        await asyncio.gather(*left, *self._senders, return_exceptions=True)
        await self._client.aclose()

    def began(self, run: Run) -> None:
        """Called by the runner when a run begins."""
        self._say(run, "/start", "")

    def ended(self, run: Run, said: Sequence[str]) -> None:
        """Called by the runner when a run has ended, with its last log lines."""
        counts = " ".join(f"{name}={n}" for name, n in sorted(run.counts.items()))
        # The reason is taken from the log: there, and only there, secrets are masked.
        told = {"ok": [], "partial": list(said)[-1:]}.get(run.state, list(said))
        self._say(run, "/fail" if run.state == "failed" else "", "\n".join([f"{run.job} {run.state}", counts, *told]))

    def _say(self, run: Run, suffix: str, text: str) -> None:
        if (queue := self._waiting.get(run.job)) is None:
            return
        try:
            queue.put_nowait(_Ping(suffix, run.run_id, text.encode()[:BODY_BYTES]))
        except asyncio.QueueFull:
            log.warning("heartbeat given up", action="heartbeat_dropped", job=run.job, n_waiting=WAITING)

    async def _send_all(self, job: str) -> None:
        queue, url = self._waiting[job], self._urls[job]
        while True:
            ping = await queue.get()
            try:
                await _retrying(httpx.TransportError, self._send, url, ping)
            except httpx.HTTPError as exc:
                if job not in self._away:
                    reason = str(exc).replace(url, "its address") or type(exc).__name__
                    log.warning("heartbeat not delivered", action="heartbeat_failed", job=job, reason=reason)
                self._away.add(job)
            else:
                if job in self._away:
                    log.info("heartbeats are delivered again", action="heartbeat_recovered", job=job)
                self._away.discard(job)
            finally:
                queue.task_done()

    async def _send(self, url: str, ping: _Ping) -> None:
        answer = await self._client.post(_address(url, ping), content=ping.body)
        if answer.is_error:
            raise httpx.HTTPError(f"it answers {answer.status_code}")


def _address(url: str, ping: _Ping) -> str:
    """The address with the ping's suffix behind its path; what stands in its query stays."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode({"rid": ping.run_id}))))
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + ping.suffix, query=query))
