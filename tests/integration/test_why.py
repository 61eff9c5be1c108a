"""`oddsd why` through the running daemon: it holds the file, so it is asked."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from agent import daemon
from agent.app import open_house, utc_now
from agent.core.selection import Decision, Question
from agent.desk.base import ask
from agent.desk.why import AskWhy
from agent.errors import ControlRefused
from agent.settings import load_settings
from agent.store.decisions import save_decisions
from agent.store.markets import save_markets
from tests.factories import MARKET_KEY, NOON, make_market


async def test_the_daemon_answers_with_what_was_decided(tmp_path: Path) -> None:
    """The lock is the daemon's; the answer is the stored one, with its time."""
    file = tmp_path / "oddsd.toml"
    never = "".join(f"[jobs.{job}]\nenabled = false\n" for job in ("collect", "models"))
    file.write_text(f"data_dir = {json.dumps(str(tmp_path / 'd'))}\nruntime_dir = {json.dumps(str(tmp_path))}\n{never}")
    settings = load_settings(file)
    decision = Decision(Question.PREDICT, chosen=False, gate="life", reason="nobody has quoted or traded it yet")
    async with open_house(settings) as house, house.store.write() as tx:
        await save_markets(tx, [make_market()])
        await save_decisions(tx, {MARKET_KEY: decision}, now=NOON)

    async with asyncio.timeout(20):
        running = asyncio.create_task(daemon.run(settings))
        while not settings.control_socket.exists():
            assert not running.done(), running.exception()
            await asyncio.sleep(0.01)
        (found,) = await ask(settings, AskWhy(market="cut rates"), clock=utc_now)
        with pytest.raises(ControlRefused, match="no market we hold is 'snow'"):
            await ask(settings, AskWhy(market="snow"), clock=utc_now)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    assert found.market_key == MARKET_KEY
    answer = {answer.question: answer for answer in found.answers}[Question.PREDICT]
    assert (answer.chosen, answer.gate, answer.reason) == (False, "life", decision.reason)
    assert answer.decided_at == NOON
