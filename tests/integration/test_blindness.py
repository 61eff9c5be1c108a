"""What leaves the house: not one number of a market reaches a blind prompt, in any spelling, by any way."""

import re
from datetime import timedelta

import pytest

from agent.experiments.registry import Registry
from agent.jobs.predict_window import PredictOptions
from agent.store.patterns import save_patterns
from tests.factories import NOON, make_pattern, make_quote
from tests.fakes.groq import GroqServer
from tests.integration.predicting import House, save_open

BLIND = ("single_model", "research", "research_forecast")
SIGHTED = ("baseline_snapshot", "market_prior", "informed", "ensemble", "coin", "longshot_fader")

# Ways strangers and venues write a price; {p} percent, {f} fraction, {o} what is left to a hundred.
TELLS = (
    "Yes trades at {f} now.",
    "Yes shares are selling for ${f} each.",
    "The market is pricing this at {p}%.",
    "Traders see a {p}% chance.",
    "Polymarket has it at {p} percent.",
    "Implied probability: {p}%.",
    "The current odds are {p} to {o}.",
    "Odds: {p}/{o}.",
    "YES @ {f} / NO @ 0.{o}.",
    "Yes {p}¢, No {o}¢.",
    "A contract costs {p} cents.",
    "Last traded price: {f}.",
    "Best bid {f}, best ask 0.{o}.",
    "It is a {p} to {o} longshot.",
    "Yes is up {p} points today.",
    "The market moved from 0.{o} to {f}.",
    "Total volume: ${p},{o}0.",
    "Yes ({p}%)",
)


def spellings(price: float) -> list[str]:
    """Every way a number between 0 and 1 is written."""
    percent = f"{100 * price:.10g}"
    return [
        f"{price:.10g}", f"{price:.10g}".removeprefix("0"), f"{percent}%", f"{percent} %", f"{percent} percent",
        f"{percent} cents", f"{percent}¢", f"{percent}c", f"${price:.10g}", f"{1 / price:.4g}",
    ]  # fmt: skip


@pytest.fixture
async def groq():
    """The service."""
    async with GroqServer(seed=5) as server:
        yield server


async def test_no_number_of_a_market_reaches_a_blind_prompt(store, clock, groq):
    """Every experiment runs over every market; each blind prompt is searched for every number in every spelling.

    The books, the detectors' evidence and the texts all hold the price; the informed arm shows that it was there.
    """
    keys, quotes, prices = [], [], {}
    for i, tell in enumerate(TELLS):
        key, p = f"kalshi:T{i}", 31 + i
        price = p / 100
        keys.append(key)
        prices[key] = price
        quotes.append(
            make_quote(market_key=key, bid=price - 0.0031, ask=price + 0.0031, mid=price, last_price=price - 0.0017,
                       volume_24h=7_654_300.0 + i, open_interest=8_765_400.0 + i, liquidity_usd=9_876_500.0 + i)
        )  # fmt: skip
        said = tell.format(p=p, f=f"0.{p}", o=100 - p)
        await save_open(
            store, [key], quotes=[quotes[-1]], title=f"Will case {chr(65 + i)} be heard? {said}", event_title=said,
            proposition=f"Case {chr(65 + i)} ({p}%)", rules_text=f"Resolves by the court.\n{said}\nTwelfth edition applies.",
            outcome_labels=(f"Yes {p}¢", f"No ({100 - p}%)"), category="Law", close_time=NOON + timedelta(days=7, hours=3),
        )  # fmt: skip
    async with store.write() as tx:
        evidence = {key: {"mid_now": price} for key, price in prices.items()}
        await save_patterns(tx, [make_pattern(pattern_id=key, market_key=key, evidence=evidence[key]) for key in keys])

    async with House(store, clock, groq, names=(*SIGHTED, *BLIND), options=PredictOptions(limit=100)) as house:
        result = await house.run()

    told = [prompt for prompt in groq.prompts if "What the market shows" in prompt]
    hidden = [prompt for prompt in groq.prompts if "What the market shows" not in prompt]
    assert result.counts["failed"] == 0
    assert len(told) == len(keys)
    assert len(hidden) == 5 * len(keys)
    for quote in quotes:
        numbers = (quote.bid, quote.ask, quote.mid, quote.last_price)
        letter = chr(65 + int(quote.market_key.removeprefix("kalshi:T")))
        own = [prompt for prompt in hidden if f"Will case {letter} be heard?" in prompt]
        assert len(own) == 5, quote.market_key
        for prompt in own:
            words = _words(prompt)
            for number in numbers:
                for spelling in (*spellings(number), *spellings(round(1 - number, 9))):
                    assert not re.search(rf"(?<![\d.]){re.escape(spelling)}(?!\d)", words), (spelling, quote.market_key)
            for amount in (quote.volume_24h, quote.open_interest, quote.liquidity_usd):
                assert f"{amount:.0f}" not in words.replace(",", "")
            assert "Resolves by the court." in words
            assert "Twelfth edition applies." in words
        assert any(f"- mid: {quote.mid:.10g}" in prompt for prompt in told)


def _words(prompt: str) -> str:
    """What was said of the market: the system text, the marker and the dates are ours and the same for all."""
    return prompt.split("\nDATA-", 1)[1].partition("\n")[2].rsplit("\nDATA-", 1)[0]


def test_no_blind_experiment_reads_a_sighted_one():
    """Along the whole chain of requirements, for every built-in."""
    every = {e.name: e for e in Registry.load((*SIGHTED, *BLIND))}

    for name in BLIND:
        assert every[name].saw_price is False
        assert all(every[read].saw_price is False for read in every[name].requires)
    assert {name for name, e in every.items() if e.saw_price} == set(SIGHTED)


async def test_a_model_that_remembers_the_price_does_not_tell_the_next(store, clock, groq, monkeypatch):
    """Findings are a model's words: what they say of the market's price is taken out before the forecast."""
    import tests.fakes.groq as service

    monkeypatch.setattr(service, "_SENTENCES", ("Traders on Polymarket saw a 37% chance. The court sits in May.",))
    await save_open(store, ["kalshi:A"])
    async with House(store, clock, groq, names=("research", "research_forecast")) as house:
        await house.run()

    (prompt,) = [prompt for prompt in groq.prompts if "notes on" in prompt]
    assert "37" not in _words(prompt)
    assert "The court sits in May." in prompt
