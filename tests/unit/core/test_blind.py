"""A blind question: no field for a price, no sentence that gives it away, and no question spoiled by the cleaning."""

import dataclasses
from datetime import datetime

import pytest

from agent.core.blind import LEFT_OUT, BlindMarket, blind, without_own_price
from tests.factories import make_market


def test_the_type_has_no_place_for_a_number():
    """Blindness by construction: only words and dates, so no price can be added without changing this test."""
    kinds = {field.name: field.type for field in dataclasses.fields(BlindMarket)}

    assert set(kinds.values()) <= {str, str | None, tuple[str, ...], datetime | None}


@pytest.mark.parametrize(
    "sentence",
    [
        "The implied probability is high.",
        "Current odds are 3 to 1 for a cut.",
        "The market is currently pricing this at 63%.",
        "Yes trades at 0.42 today.",
        "Shares are selling for $0.63 each.",
        "It was last seen at 42¢.",
        "A contract costs 42 cents.",
    ],
)
def test_a_sentence_about_the_markets_own_price_is_left_out(sentence):
    """Venues and strangers write the price into titles and rules; a blind forecaster must not read it there."""
    text = f"Will the Fed cut? {sentence} Resolves by the official statement."

    cleaned = without_own_price(text)

    assert sentence not in cleaned
    assert LEFT_OUT in cleaned
    assert "Will the Fed cut?" in cleaned
    assert "Resolves by the official statement." in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "Will bitcoin trade above $100,000 on 28 November?",
        "Resolves to Yes if the index closes at 4,250.75 or higher.",
        "The unemployment rate is 4.1 percent or lower.",
        "If the volume of shipments exceeds 30, this resolves to No.",
        "Will gas be above $3.10 per gallon?",
    ],
)
def test_a_question_about_prices_stays_whole(text):
    """Most markets are about numbers; cutting those would make the question another one."""
    assert without_own_price(text) == text


def test_blind_takes_the_words_and_leaves_the_rest():
    """The same question, each text cleaned."""
    told = "By statement. Yes trades at 0.42."
    market = make_market(title=told, event_title=told, proposition=told, rules_text=told, close_time=None)

    question = blind(market)

    for text in (question.title, question.event_title, question.proposition, question.rules_text):
        assert text == f"By statement. {LEFT_OUT}"
    assert question.category == market.category
    assert question.close_time is None
