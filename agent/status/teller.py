"""Tells the operator about troubles through apprise: mail, chat, push, whatever his addresses name.

Law: a task of its own that can hurt nothing: a target that fails is a recorded fact and is tried again alone, later
each time; what is untold stays untold in the store, so a restart loses nothing and repeats nothing. Addresses are
secrets and appear nowhere.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from agent.core.backoff import next_delay_s
from agent.core.instants import Clock
from agent.errors import AlertFailed, StoreError
from agent.status.alerts import Kind, Manners, Notice, body, notices, title
from agent.status.incidents import SETTLE
from agent.status.messenger import Message, send
from agent.status.state import AlertsLive
from agent.store.db import Store
from agent.store.incidents import load_unsettled, save_told
from sync.pulse import Pulse

LOOK_S = 20.0  # a trouble must have lasted a minute anyway
SEND_S = 60.0  # one message to one target
BACKOFF_BASE_S, BACKOFF_CAP_S = 30.0, 1800.0

_Told = tuple[int | None, Kind, str]

log = structlog.get_logger("alerts")


def _delay_s(n_failures: int) -> float:
    return next_delay_s(n_failures, BACKOFF_BASE_S, BACKOFF_CAP_S, random.random())  # noqa: S311 - jitter, no secret


class Teller:
    """The task. `run()` lasts until cancelled."""

    def __init__(
        self,
        store: Store,
        urls: Sequence[str],
        manners: Manners,
        *,
        host_id: str,
        clock: Clock,
        look_s: float = LOOK_S,
        delay_s: Callable[[int], float] = _delay_s,
    ) -> None:
        """`delay_s` gives the wait after the n-th failure in a row."""
        self._store, self._urls, self._manners = store, tuple(urls), manners
        self._host_id, self._clock, self._look_s, self._delay_s = host_id, clock, look_s, delay_s
        self._taken: dict[str, set[_Told]] = {url: set() for url in self._urls}  # since the store last knew
        self._news = asyncio.Event()
        self._n_failures = 0
        self._live = AlertsLive(n_targets=len(self._urls))
        self.pulse = Pulse("alerts", 2 * LOOK_S + SEND_S * len(self._urls))

    @property
    def live(self) -> AlertsLive:
        """How telling goes, for the report."""
        return self._live

    async def run(self) -> None:
        """Look, tell, look again; for ever."""
        while True:
            self.pulse.beat()
            try:
                await self.tell()
            except (AlertFailed, StoreError) as exc:
                self._note_failure(exc)
                delay_s = self._delay_s(self._n_failures)
                self.pulse.beat(rest_s=delay_s)
                await asyncio.sleep(delay_s)
            else:
                await self._until_news()

    def note_incidents(self) -> None:
        """Something began, became worse or ended: look now."""
        self._news.set()

    async def _until_news(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._look_s):
                await self._news.wait()
        self._news.clear()

    async def tell(self) -> int:
        """Tell what is due now; returns how many notices went. Raises: AlertFailed, StoreError."""
        now = self._clock()
        told = notices(await load_unsettled(self._store.reader, ended_since=now - SETTLE), self._manners, now)
        if not told:  # nothing is owed to a target that failed
            self._n_failures = 0
            self._live = AlertsLive(n_targets=len(self._urls), last_told_at=self._live.last_told_at)
            return 0
        faults = [fault for url in self._urls if (fault := await self._send(url, told, now)) is not None]
        everywhere = [one for one in told if all(_key(one) in taken for taken in self._taken.values())]
        if everywhere:
            async with self._store.write() as tx:
                await save_told(tx, [notice.incident for notice in everywhere], now=now)
            for taken in self._taken.values():
                taken.difference_update(map(_key, everywhere))
        if faults:
            raise AlertFailed("alerts: " + "; ".join(faults), advice="check alert_urls")
        self._note_success(everywhere, now)
        return len(everywhere)

    async def _send(self, url: str, told: list[Notice], now: datetime) -> str | None:
        """Tell one target what it has not taken yet; returns why not."""
        fresh = [one for one in told if _key(one) not in self._taken[url]]
        if not fresh:
            return None
        which = f"target {self._urls.index(url) + 1} of {len(self._urls)}"
        message = Message(url=url, title=title(fresh, self._host_id), body=body(fresh, now))
        if (why := await send(message, within_s=SEND_S)) is not None:
            return f"{which} {why}"
        self._taken[url].update(map(_key, fresh))
        return None

    def _note_success(self, told: list[Notice], now: datetime) -> None:
        log.info("operator told", action="alert_sent", keys=[notice.incident.key for notice in told])
        self._n_failures = 0
        self._live = AlertsLive(n_targets=len(self._urls), last_told_at=now)

    def _note_failure(self, exc: Exception) -> None:
        """Record why; the log hears the first of equal failures only."""
        self._n_failures += 1
        live, reason = self._live, str(exc)
        if reason != live.last_error:
            log.warning("alert not sent", action="alert_failed", reason=reason)
        self._live = AlertsLive(
            n_targets=live.n_targets,
            last_told_at=live.last_told_at,
            failing_since=live.failing_since or self._clock(),
            last_error=reason,
        )


def _key(notice: Notice) -> _Told:
    one = notice.incident
    return one.incident_id, notice.kind, one.level
