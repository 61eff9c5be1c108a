"""`oddsd arbitrage`: what the last run found, with and without the daemon, for people and for scripts."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from agent.desk.arbitrage import AskArbitrage, Found, render
from agent.desk.base import ask, verbs
from agent.settings import Settings
from agent.status.control import ControlServer
from agent.store.arbitrage import save_arbitrage
from agent.store.db import Store
from sync.records import ArbitrageStatus
from tests.factories import make_arbitrage

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path):
    """A data directory that is not there yet."""
    return Settings(data_dir=tmp_path / "data", runtime_dir=tmp_path / "run", host_id="t")


@pytest.fixture
async def filled(settings, clock) -> None:
    """Two packages that pay, one that did an hour ago, one of the week before."""
    over = {"status": ArbitrageStatus.EXPIRED, "ended_reason": "gone: the books leave less than the line we draw"}
    found = [
        make_arbitrage(
            arbitrage_id="wide", legs=make_arbitrage().legs[:1], net_edge=0.20, detected_at=NOW, computed_at=NOW
        ),
        make_arbitrage(arbitrage_id="narrow", computed_at=NOW - timedelta(minutes=7)),
        make_arbitrage(arbitrage_id="over", computed_at=NOW - timedelta(hours=1), **over),
        make_arbitrage(arbitrage_id="long over", computed_at=NOW - timedelta(days=7), **over),
    ]
    async with await Store.open(settings.database_path, clock=clock) as store, store.write() as tx:
        await save_arbitrage(tx, found)


async def test_the_daemon_and_its_file_tell_the_same(settings, filled, clock):
    """With the daemon its control socket answers, without it the file is read under the lock."""
    async with await Store.open(settings.database_path, clock=clock) as store:
        settings.runtime_dir.mkdir()
        async with ControlServer(settings.control_socket, verbs((AskArbitrage,), store, settings, clock)):
            asked = await ask(settings, AskArbitrage(), clock=clock)
            wide = await ask(settings, AskArbitrage(min_net_edge=0.1), clock=clock)
    read = await ask(settings, AskArbitrage(), clock=clock)

    assert asked == read
    assert [one.arbitrage_id for one in read.active] == ["wide", "narrow"]  # the best first
    assert [one.arbitrage_id for one in read.ended] == ["over"]
    assert [one.arbitrage_id for one in wide.active] == ["wide"]


def test_people_read_gross_fees_net_size_and_steps():
    """Everything needed to check it by hand stands there, and its age."""
    one = make_arbitrage(computed_at=NOW - timedelta(minutes=7), assumptions=("the rate is assumed",))

    shown = render(Found(asked_at=NOW, active=(one,), ended=()))

    assert "cross platform  net 7.90 %, 39 % a year, 50 % sure, 7 min ago" in shown
    assert "gross 10.00 - fees 2.68 = net 7.32 USD, 90.00 for 100 of each" in shown
    assert "YES 0.4 (limit 0.4, fee 1.68, book 3 s)  kalshi:FED-CUT" in shown
    for words in ("why   texts agree", "step  buy both", "risk  the rules may differ", "but   the rate is assumed"):
        assert words in shown


def test_an_assumed_size_is_said():
    """A hundred contracts that may not be there are no depth."""
    leg = msgspec.structs.replace(make_arbitrage().legs[0], depth_known=False)

    shown = render(Found(asked_at=NOW, active=(make_arbitrage(legs=(leg,), size=Decimal(100)),), ended=()))

    assert "100 of each (assumed, the depth is not known)" in shown


def test_what_ended_stands_below_with_its_reason():
    """Nothing now is an answer too."""
    ended = make_arbitrage(status=ArbitrageStatus.EXPIRED, ended_reason="kalshi:FED-CUT does not trade any more")

    shown = render(Found(asked_at=NOW, active=(), ended=(ended,)))

    assert shown.startswith("nothing pays for certain, as of the last run")
    assert "cross platform: kalshi:FED-CUT does not trade any more" in shown


async def test_the_command_prints_words_or_json(settings, clock):
    """And refuses an edge that is no number."""
    async with await Store.open(settings.database_path, clock=clock) as opened, opened.write() as tx:
        await save_arbitrage(tx, [make_arbitrage()])
    environment = os.environ | {
        "ODDSD_DATA_DIR": str(settings.data_dir), "ODDSD_RUNTIME_DIR": str(settings.runtime_dir), "ODDSD_HOST_ID": "t",
    }  # fmt: skip

    def oddsd(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from agent.cli import main; main()", "arbitrage", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment, check=False)

    words = await asyncio.to_thread(oddsd)
    document = await asyncio.to_thread(oddsd, "--json", "--min", "0.5")
    wrong = await asyncio.to_thread(oddsd, "--min", "much")

    assert "net 7.90 %" in words.stdout
    assert json.loads(document.stdout)["active"] == []
    assert wrong.returncode == 2
