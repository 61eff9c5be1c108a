"""`oddsd predict` and `oddsd record` as an operator types them: with the daemon, and without it."""

import json
from datetime import UTC, datetime

from tests.e2e.edge import Edge
from tests.e2e.test_daemon import QUIET, oddsd
from tests.fakes.exchange import ExchangeServer
from tests.fakes.groq import GroqServer
from tests.fakes.world import World


def settings(exchange, groq):
    return {
        "polymarket_url": exchange.polymarket_url,
        "kalshi_url": exchange.kalshi_url,
        "groq_base_url": groq.url,
        "groq_api_key": "k",
        "tables": QUIET,
    }


async def test_a_run_by_hand_is_told_kept_and_not_paid_twice(tmp_path):
    """Dry, then real without the daemon, then the same through the daemon: the second pays for nothing."""
    async with (
        ExchangeServer(World(n_ticks=1, start=datetime.now(UTC))) as exchange,
        GroqServer() as groq,
        Edge(tmp_path, **settings(exchange, groq)) as edge,
    ):
        assert (await oddsd("once", "collect", "--config", edge.config))[0] == 0
        options = ("--limit", "3", "--json", "--config", edge.config)
        _, dry, _ = await oddsd("predict", "daily", "--dry-run", *options)
        n_dry = len(groq.calls)
        code, out, err = await oddsd("predict", "daily", "--debug-artifacts", tmp_path / "look", *options)
        n_paid = len(groq.calls)
        child = await edge.start()
        again, told, _ = await oddsd("predict", "daily", *options)
        batch, shown, _ = await oddsd("predict", "batch", "--limit", "2", "--config", edge.config)
        held, record, _ = await oddsd("record", "verify", "--config", edge.config)
        _, head, _ = await oddsd("record", "head", "--config", edge.config)
        await oddsd("record", "export", "--output", tmp_path / "record.jsonl", "--config", edge.config)
        away, _, _ = await oddsd("record", "verify", "--file", tmp_path / "record.jsonl", "--head", head.split()[0])
        status = await edge.ask("status")
        assert await child.stop() == 0

    assert (n_dry, code) == (0, 0), err
    first, second = json.loads(out), json.loads(told)
    assert json.loads(dry)["counts"]["due"] > 0
    assert n_paid == first["counts"]["calls"] == 3
    assert (again, second["counts"]["calls"], second["counts"]["made"]) == (0, 0, 0)
    assert second["counts"]["earlier"] == first["counts"]["made"]
    assert (batch, held, away) == (0, 0, 0)
    assert "predict-batch" in shown
    assert "records hold, 1 to" in record
    assert head.startswith(f"{status['figures']['record_seq']}:{status['figures']['record_hash']}")
    files = sorted((tmp_path / "look" / first["run_day"]).iterdir())
    kept = [json.loads(file.read_text()) for file in files if "single_model" in file.name]
    assert len(kept) == 3
    assert all("Question M1" in one["steps"][0]["prompt"] for one in kept)


async def test_a_changed_version_is_refused_at_start_and_not_by_check_config(tmp_path):
    """78 and the sentence; the check of a file stays a check of a file."""
    async with (
        ExchangeServer(World(n_ticks=1, start=datetime.now(UTC))) as exchange,
        GroqServer() as groq,
        Edge(tmp_path, **settings(exchange, groq)) as edge,
    ):
        await oddsd("once", "collect", "--config", edge.config)
        assert (await oddsd("predict", "daily", "--limit", "1", "--config", edge.config))[0] == 0
        edge.config.write_text('ai_model = "openai/gpt-oss-120b"\nai_fallback_models = []\n' + edge.config.read_text())

        code, _, err = await oddsd("run", "--config", edge.config)
        checked, _, _ = await oddsd("check-config", "--file", edge.config)
        revised = edge.config.read_text() + '[experiments.single_model]\nrevision = "2"\n'
        edge.config.write_text(revised)
        again, _, _ = await oddsd("predict", "daily", "--limit", "1", "--config", edge.config)

    assert (code, checked, again) == (78, 0, 0)
    assert "experiment single_model 1: its models changed (was" in err
