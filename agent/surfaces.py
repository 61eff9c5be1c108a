"""Everything the report goes out through beside the control socket: broker, alerts, metrics, and the book of incidents.

Law: built here from the settings and nowhere else; none of it can hurt a job: what cannot be had is a line of the
report. Owned by the daemon, which runs the tasks and hands each report on.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, time, timedelta
from types import TracebackType
from typing import Any, Self

import msgspec
import structlog

from agent.app import House
from agent.errors import MetricsUnavailable
from agent.log import Redactor
from agent.settings import Settings
from agent.status.alerts import Manners
from agent.status.book import IncidentBook
from agent.status.contract import Report
from agent.status.mqtt import MqttOptions, MqttPublisher
from agent.status.requests import Command
from agent.status.state import AlertsLive, MqttLive
from agent.status.statements import Level
from agent.status.teller import Teller
from sync.pulse import Pulse

Verb = Callable[[dict[str, Any]], Awaitable[Any]]

# What a request over MQTT asks of the control socket: the verb, and what goes with it.
REQUESTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "collect_now": ("run_now", {"job": "collect"}),
    "pause": ("pause", {"reason": "asked over MQTT"}),
    "resume": ("resume", {}),
}

log = structlog.get_logger("daemon")


class Surfaces:
    """Use as `with`; inside, run `tasks()` and `note` each report."""

    def __init__(
        self, settings: Settings, house: House, report: Callable[[], Awaitable[Report]], verbs: Mapping[str, Verb]
    ) -> None:
        """`verbs` are the control socket's; those the settings allow are asked over MQTT too."""
        self._settings = settings
        self._book = IncidentBook(house.store)
        self._mqtt = _publisher(settings, house, report, verbs)
        self._teller = _teller(settings, house)
        self._last: Report | None = None
        self._stack = ExitStack()
        self.metrics_error: str | None = None

    def __enter__(self) -> Self:
        """Metrics are served from here on, where they are wanted and the port is free."""
        if self._settings.metrics_port is not None:
            from agent.status.metrics import MetricsServer  # loaded for who wants it

            host, port = self._settings.metrics_host, self._settings.metrics_port
            try:
                self._stack.enter_context(MetricsServer(host, port, lambda: self._last))
            except MetricsUnavailable as exc:
                self.metrics_error = str(exc)
                log.warning("metrics are not served", action="metrics_unavailable", reason=str(exc))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is served any more."""
        self._stack.close()

    @property
    def mqtt(self) -> MqttLive:
        """How the broker is."""
        return MqttLive() if self._mqtt is None else self._mqtt.live

    @property
    def alerts(self) -> AlertsLive:
        """How telling the operator goes."""
        return AlertsLive() if self._teller is None else self._teller.live

    def tasks(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        """The loops to run, by name."""
        if self._mqtt is not None:
            yield "mqtt", self._mqtt.run()
        if self._teller is not None:
            yield "alerts", self._teller.run()

    def pulses(self) -> Iterator[Pulse]:
        """The signs of life of its loops."""
        yield from (loop.pulse for loop in (self._mqtt, self._teller) if loop is not None)

    async def note(self, report: Report, *, now: datetime) -> None:
        """A new report: metrics show it, incidents begin and end, a change of level is news. Raises: StoreError."""
        self._last = report
        changed = await self._book.note(report, now=now)
        if changed and self._teller is not None:
            self._teller.note_incidents()
        if self._mqtt is not None:
            self._mqtt.note_level(report.level)
            self._mqtt.note_incidents(changed, now=now)


def masked(report: Report, redactor: Redactor) -> Report:
    """The report without secrets: its reasons are other programs' words, which may quote an address of ours."""
    clean: Report = msgspec.convert(redactor.clean(msgspec.to_builtins(report)), Report)
    return clean


def _publisher(
    settings: Settings, house: House, report: Callable[[], Awaitable[Report]], verbs: Mapping[str, Verb]
) -> MqttPublisher | None:
    if settings.mqtt_host is None:
        return None
    options = MqttOptions(
        host=settings.mqtt_host,
        port=settings.mqtt_port,
        username=settings.mqtt_username,
        password=None if settings.mqtt_password is None else settings.mqtt_password.get_secret_value(),
        tls_ca=None if settings.mqtt_tls_ca is None else str(settings.mqtt_tls_ca),
        prefix=settings.mqtt_prefix,
        discovery=settings.mqtt_discovery or None,
    )
    commands: dict[str, Command] = {name: _command(verbs, *REQUESTS[name]) for name in settings.mqtt_commands}
    return MqttPublisher(options, report, commands=commands, clock=house.clock)


def _command(verbs: Mapping[str, Verb], verb: str, params: dict[str, Any]) -> Command:
    async def command() -> Any:
        return await verbs[verb](dict(params))

    return command


def _teller(settings: Settings, house: House) -> Teller | None:
    if not settings.alert_urls:
        return None
    quiet = settings.alert_quiet_hours
    hours = None if quiet is None else tuple(time.fromisoformat(part) for part in quiet.split("-"))
    manners = Manners(
        level=Level(settings.alert_level),
        after=timedelta(minutes=settings.alert_after_min),
        quiet=None if hours is None else (hours[0], hours[1]),
    )
    urls = [url.get_secret_value() for url in settings.alert_urls]
    return Teller(house.store, urls, manners, host_id=settings.host_id, clock=house.clock)
