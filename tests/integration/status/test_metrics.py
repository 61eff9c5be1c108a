"""/metrics over real HTTP: the report's numbers, read by the library's own parser."""

import socket
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.errors import MetricsUnavailable
from agent.status.metrics import MetricsServer
from agent.status.report import report
from agent.store.glance import WatchedMarket
from tests.unit.status.house import NOW, make_live, make_state


def scraped(server: MetricsServer) -> dict[str, float]:
    """Every sample, by name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        sample.name + "".join(f",{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_figures_of_the_report_are_served():
    """Same numbers, same names as on every other surface; what is not known is absent and not zero."""
    watched = (WatchedMarket(market_key="kalshi:KXFED-26", title="Fed?", mid=0.42, seen_at=NOW),)
    judged = report(make_state(watched=watched, chain=None), make_live(), NOW)
    with MetricsServer("127.0.0.1", 0, lambda: judged) as server:
        found = scraped(server)

    assert found["oddsd_level,ok"] == 1
    assert found["oddsd_level,critical"] == 0
    assert found["oddsd_llm_spent_usd"] == pytest.approx(0.0314)
    assert found["oddsd_markets_open,kalshi"] == 9120
    assert found["oddsd_watched_probability,kalshi:KXFED-26"] == 0.42
    assert found["oddsd_job_ok,analyse"] == 1
    assert found["process_resident_memory_bytes"] > 1e6
    assert "oddsd_record_seq" not in found
    assert "oddsd_oldest_pending_age_seconds" not in found


def test_before_the_first_report_there_are_only_the_process_own():
    """A scrape in the first second is no error."""
    with MetricsServer("127.0.0.1", 0, lambda: None) as server:
        assert not [name for name in scraped(server) if name.startswith("oddsd")]


def test_a_taken_port_is_a_sentence():
    """The daemon goes on without its metrics; whoever reads the status sees why."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MetricsUnavailable, match="in use"):
            MetricsServer("127.0.0.1", taken.getsockname()[1], lambda: None)


def test_leaving_frees_the_port():
    """A reload opens the house again on the same one."""
    with MetricsServer("127.0.0.1", 0, lambda: None) as server:
        port = server.port
    with MetricsServer("127.0.0.1", port, lambda: None):
        pass
