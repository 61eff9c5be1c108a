"""Decisions are kept when they change, found by what people type, and told in words."""

import pytest

from agent.core.selection import Decision, Question
from agent.desk.why import load_why, render
from agent.errors import UnknownMarket
from agent.store.decisions import find_markets, load_decisions, save_decisions
from agent.store.markets import save_markets
from tests.factories import MARKET_KEY, NOON, make_market


@pytest.fixture
async def held(store):
    """A store that holds three markets."""
    async with store.write() as tx:
        await save_markets(tx, [
            make_market(),
            make_market(market_key="kalshi:KXFED-26DEC", title="Fed decision in December?"),
            make_market(market_key="kalshi:KXRAIN-1", title="Will it rain 100% in Bergen?"),
        ])  # fmt: skip
    return store


async def decide(store, *, chosen: bool, gate: str, reason: str = "so it is", minutes: int = 0):
    async with store.write() as tx:
        decision = Decision(Question.ANALYSE, chosen=chosen, gate=gate, reason=reason)
        await save_decisions(tx, {MARKET_KEY: decision}, now=NOON.replace(minute=minutes))


async def test_a_decision_is_written_when_its_answer_or_its_gate_changes(held):
    """A quarter hour's repetition would only hide since when it stands."""
    await decide(held, chosen=False, gate="volume", reason="9 dollars")
    await decide(held, chosen=False, gate="volume", reason="8 dollars", minutes=15)
    first = (await load_decisions(held.reader, MARKET_KEY))[Question.ANALYSE]
    await decide(held, chosen=False, gate="spread", minutes=30)
    other = (await load_decisions(held.reader, MARKET_KEY))[Question.ANALYSE]
    await decide(held, chosen=True, gate="spread", minutes=45)
    last = (await load_decisions(held.reader, MARKET_KEY))[Question.ANALYSE]

    assert (first.decided_at.minute, first.decision.reason) == (0, "9 dollars")
    assert (other.decided_at.minute, last.decided_at.minute, last.decision.chosen) == (30, 45, True)


async def test_a_decision_about_an_unknown_market_is_no_row(store):
    """Nothing may refer to what is not there."""
    await decide(store, chosen=True, gate="passed")

    assert await load_decisions(store.reader, MARKET_KEY) == {}


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (MARKET_KEY, [MARKET_KEY]),
        ("0xfed0", [MARKET_KEY]),
        ("KXFED-26DEC", ["kalshi:KXFED-26DEC"]),
        ("kxfed-26dec", ["kalshi:KXFED-26DEC"]),
        ("FED", [MARKET_KEY, "kalshi:KXFED-26DEC"]),
        ("100%", ["kalshi:KXRAIN-1"]),
        ("%", ["kalshi:KXRAIN-1"]),
        ("snow", []),
    ],
)
async def test_a_market_is_found_by_key_ticker_or_a_part_of_its_title(held, words, keys):
    """Nobody types a condition id."""
    assert [market.market_key for market in await find_markets(held.reader, words)] == keys


async def test_why_tells_each_question_in_words(held):
    """What was decided, since when, by which gate; and what was never asked."""
    await decide(held, chosen=False, gate="volume", reason="its volume of 24 h of 9 dollars is below 100")

    stopped = "not worth analysing: its volume of 24 h of 9 dollars is below 100"
    assert render(await load_why(held.reader, MARKET_KEY)).splitlines() == [
        "polymarket:0xfed0  Will the Fed cut rates in December?",
        "  seen     no quote of it is stored",
        "  send     its records travel: nothing withholds it",
        f"  analyse  {stopped} (since 2026-11-21 12:00 UTC, gate volume)",
        "  predict  it has not come into the window of a daily run",
    ]


async def test_why_about_nothing_is_an_error_with_advice(held):
    """An empty answer would look like "no reason"."""
    with pytest.raises(UnknownMarket, match="no market we hold is 'snow'") as raised:
        await load_why(held.reader, "snow")
    assert raised.value.advice
