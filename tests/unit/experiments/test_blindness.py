"""A blind forecast does not depend on the price: shown for any two books, by what reaches the prompt."""

import asyncio
import dataclasses
import typing
from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from agent.core.ensemble import TrackRecord
from agent.experiments.base import BlindContext, ExperimentResult, SightedContext
from agent.experiments.running import run_experiment
from agent.experiments.single_model import SingleModel
from agent.llm.gateway import Reply
from agent.llm.schemas import ForecastReply
from sync.records import Market, Quote
from tests.factories import NOON, make_market, make_quote


class ListeningDoor:
    """Answers every question alike and keeps the prompts."""

    def __init__(self):
        self.prompts = []

    async def complete(self, schema, prompt, *, step="forecast"):
        """One answer for all."""
        self.prompts.append(f"{prompt.system}\n{prompt.user}".replace(prompt.marker, "MARKER"))
        answer = ForecastReply(
            market="M1",
            time_left="",
            status_quo="",
            base_rate="",
            case_no="",
            case_yes="",
            probability_yes=0.3,
            confidence=50,
        )
        return Reply(answer, "m", prompt.version, Decimal(0), "c")


def prompt_for(market: Market, quote: Quote | None) -> str:
    """What the model reads when the job forecasts this market beside this quote."""
    door = ListeningDoor()
    context = BlindContext(now=NOON, run_day=date(2026, 11, 21), results={}, door=door)
    asyncio.run(
        run_experiment(
            SingleModel(), market, context, quote=quote, track=TrackRecord([], now=NOON), versions={"single_model": "1"}
        )
    )
    (prompt,) = door.prompts
    return prompt


# Prices with five digits: none of them can stand in a prompt by chance.
_prices = st.none() | st.integers(10_001, 99_999).filter(lambda n: n % 10).map(lambda n: n / 100_000)
_amounts = st.none() | st.integers(100_001, 9_999_999).map(float)
_quotes = st.builds(
    make_quote,
    bid=_prices,
    ask=_prices,
    mid=_prices,
    last_price=_prices,
    volume_24h=_amounts,
    open_interest=_amounts,
    liquidity_usd=_amounts,
)


@given(quote=_quotes, other=st.none() | _quotes, tick=st.sampled_from([None, 0.01, 0.001]), value=_prices)
def test_the_prompt_is_the_same_whatever_the_book_says(quote, other, tick, value):
    """Non-interference: no price, bid, ask, volume or anything made of them can reach the prompt."""
    market = make_market(tick_size=tick, resolution_value=value)

    prompt = prompt_for(market, quote)

    assert prompt == prompt_for(make_market(), other)
    for number in (quote.bid, quote.ask, quote.mid, quote.last_price, value):
        if number is not None:
            assert f"{number:.5f}" not in prompt
            assert f"{100 * number:.3f}" not in prompt
    for amount in (quote.volume_24h, quote.open_interest, quote.liquidity_usd):
        if amount is not None:
            assert f"{amount:.0f}" not in prompt


@given(price=st.integers(1, 99))
def test_a_price_written_into_the_rules_does_not_reach_the_prompt(price):
    """Strangers write odds into rules; a forecaster that reads them is not blind."""
    rules = f"Resolves by statement. Yes trades at 0.{price:02d}1 now. The implied probability is {price}.7%."

    prompt = prompt_for(make_market(rules_text=rules), None)

    assert f"0.{price:02d}1" not in prompt
    assert f"{price}.7" not in prompt
    assert "Resolves by statement." in prompt


def test_a_blind_context_has_no_field_for_a_quote():
    """By type: the sighted context is not a subclass, so it can never be handed to a blind experiment."""
    kinds = typing.get_type_hints(BlindContext)

    assert set(kinds) == {"now", "run_day", "results", "door", "model"}
    assert not issubclass(SightedContext, BlindContext)
    assert {f.name for f in dataclasses.fields(SightedContext)} == {*kinds, "quote", "track", "versions"}


def test_a_result_knows_only_what_it_was_given():
    """No default probability, no default confidence."""
    fields = {f.name: f.default for f in dataclasses.fields(ExperimentResult)}

    assert fields["probability_yes"] is dataclasses.MISSING
    assert fields["confidence"] is None
