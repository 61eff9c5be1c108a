"""Serves /metrics for Prometheus on a local port: the figures of the last report, and the process's own.

Law: the report's numbers under their own names, `oddsd_` before them and the unit behind; what is not known is
absent. Scrapes read the last report in memory, in a thread of their own: no query, and a slow scraper holds nobody up.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Metric, PlatformCollector, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from agent.errors import MetricsUnavailable
from agent.status.contract import Report
from agent.status.statements import Level

ReportSource = Callable[[], Report | None]


class MetricsServer(AbstractContextManager["MetricsServer"]):
    """The server while the block lasts. `source` gives the last report; None before the first."""

    def __init__(self, host: str, port: int, source: ReportSource) -> None:
        """Raises: MetricsUnavailable where the port cannot be had."""
        registry = CollectorRegistry()
        registry.register(ReportCollector(source))
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._server: WSGIServer
        self._thread: threading.Thread
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as exc:
            raise MetricsUnavailable(f"metrics on {host}:{port}: {exc.strerror}", advice="choose another port") from exc

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def __enter__(self) -> Self:
        """Serving already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closed, its thread ended."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class ReportCollector(Collector):
    """A Report as Prometheus reads it."""

    def __init__(self, source: ReportSource) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Called by the library for each scrape."""
        report = self._source()
        if report is None:
            return
        yield InfoMetricFamily("oddsd", "Who speaks.", value={"version": report.version, "host_id": report.host_id})
        yield _states("oddsd_level", "How the house is; 1 for the present level.", "level", report.level, Level)
        yield from _rooms(report)
        yield from _numbers(report)
        yield from _by_label(report)


def _rooms(report: Report) -> Iterable[Metric]:
    family = GaugeMetricFamily("oddsd_room_level", "Each room: 0 ok, 1 degraded, 2 critical.", labels=["room"])
    for section in report.sections:
        family.add_metric([section.name.lower()], list(Level).index(section.level))
    yield family


def _numbers(report: Report) -> Iterable[Metric]:
    figures = report.figures
    gauges: dict[str, tuple[str, float | None]] = {
        "report_time_seconds": ("When this was reported.", report.at.timestamp()),
        "start_time_seconds": ("When the daemon started.", report.started_at.timestamp()),
        "cloud_connected": ("1 while the cloud answers.", _number(figures.cloud_connected)),
        "pending_rows": ("Rows the cloud has not acknowledged.", figures.pending_rows),
        "oldest_pending_age_seconds": ("How long the oldest of them waits.", figures.oldest_pending_age),
        "batches_held": ("Batches the cloud refuses for good.", figures.batches_held),
        "last_tick_time_seconds": ("End of the last collect in which a venue answered.", _time(figures.last_tick)),
        "last_sync_time_seconds": ("When the cloud last took a batch.", _time(figures.last_sync)),
        "buffer_bytes": ("Size of the database file.", figures.buffer_size * 1e6),
        "disk_free_bytes": ("Left where it lies.", None if figures.disk_free is None else figures.disk_free * 1e6),
        "clock_skew_seconds": (
            "The cloud's clock minus ours.", None if figures.clock_skew is None else figures.clock_skew / 1000,
        ),
        "patterns_today": ("Found since midnight UTC.", figures.patterns_today),
        "insights_today": ("Made since midnight UTC.", figures.insights_today),
        "llm_spent_usd": ("The UTC day's model cost, booked and reserved.", figures.llm_spent_usd),
        "llm_left_usd": ("What is left of the day's cap.", figures.llm_left_usd),
        "arbitrage_active": ("Edges that stand after fees.", figures.arbitrage_active),
        "predictions_active": ("Forecasts being watched.", figures.predictions_active),
        "checks_today": ("Checks against the market since midnight UTC.", figures.checks_today),
        "record_seq": ("Head of the prediction record.", figures.record_seq),
        "dead_letters": ("Units of work that wait for a person.", figures.dead_letters),
        "paused": ("1 while no timer starts a job.", _number(figures.paused)),
    }  # fmt: skip
    for name, (says, value) in gauges.items():
        if value is not None:
            yield GaugeMetricFamily(f"oddsd_{name}", says, value=value)
    yield CounterMetricFamily("oddsd_rows_sent", "Rows the cloud holds, of this stream.", value=figures.rows_sent_total)


def _by_label(report: Report) -> Iterable[Metric]:
    figures = report.figures
    markets = GaugeMetricFamily("oddsd_markets_open", "Open markets.", labels=["venue"])
    for venue, n_open in figures.markets_open.items():
        markets.add_metric([venue], n_open)
    yield markets
    collected = GaugeMetricFamily("oddsd_last_collect_time_seconds", "Each venue's last good run.", labels=["venue"])
    for venue, moment in figures.last_collect.items():
        if moment is not None:
            collected.add_metric([venue], moment.timestamp())
    yield collected
    jobs = GaugeMetricFamily("oddsd_job_ok", "1 where a job's last run did all its work.", labels=["job"])
    for job, state in figures.jobs.items():
        jobs.add_metric([job], state == "ok")
    yield jobs
    watched = GaugeMetricFamily("oddsd_watched_probability", "Mid of a watched market.", labels=["market_key"])
    for key, market in figures.watched.items():
        if market.probability is not None:
            watched.add_metric([key], market.probability)
    yield watched


def _states(name: str, says: str, label: str, present: str, known: Iterable[str]) -> Metric:
    family = GaugeMetricFamily(name, says, labels=[label])
    for state in known:
        family.add_metric([state], state == present)
    return family


def _number(value: bool | None) -> float | None:
    return None if value is None else float(value)


def _time(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
