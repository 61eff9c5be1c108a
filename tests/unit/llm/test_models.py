"""Names of models, their deaths and their prices."""

from decimal import Decimal

import pytest

from agent.llm.models import FREE, JsonMode, chain_of, profile_of


def test_names_of_the_old_price_list_lead_to_real_ids():
    """The first requirements name models by labels the API would refuse."""
    models, notes = chain_of(["gpt-oss-20b-128k", "qwen3-32b-131k", "llama-4-scout-17bx16e-128k"])

    assert models == ("openai/gpt-oss-20b", "openai/gpt-oss-120b")
    assert len(notes) == 2
    assert "qwen3-32b-131k: shut down 2026-07-17, using openai/gpt-oss-120b" in notes[0]


def test_each_model_stands_once_in_the_chain():
    """Two names of one model would be two tries of the same."""
    models, notes = chain_of(["openai/gpt-oss-20b", " gpt-oss-20b-128k ", "my/own-model", ""])

    assert models == ("openai/gpt-oss-20b", "my/own-model")
    assert notes == ()


def test_cost_is_exact_and_rounded_up_to_nano_dollars():
    """0.0375 dollars a million is 37.5 nano-dollars a token: floats or micro-dollars would lose it."""
    price = profile_of("openai/gpt-oss-20b").price

    assert price.cost_nano(prompt_tokens=1, cached_tokens=1, completion_tokens=0) == 38
    assert price.cost_nano(prompt_tokens=1_000, cached_tokens=400, completion_tokens=200) == 45_000 + 15_000 + 60_000
    assert price.cost_nano(prompt_tokens=10, cached_tokens=50, completion_tokens=0) == 375  # never below the truth


def test_an_unknown_model_costs_as_the_dearest():
    """A missing price is never zero: the cap must hold for whatever is configured."""
    unknown = profile_of("somebody/new-model")

    assert unknown.price.completion == Decimal("4.00")
    assert unknown.json_mode is JsonMode.BEST_EFFORT
    assert FREE.cost_nano(prompt_tokens=10**6, cached_tokens=0, completion_tokens=10**6) == 0


def test_the_ladder_of_json_modes_ends():
    """Stepping down must stop somewhere."""
    assert JsonMode.STRICT.weaker is JsonMode.BEST_EFFORT
    assert JsonMode.BEST_EFFORT.weaker is JsonMode.JSON_OBJECT
    assert JsonMode.JSON_OBJECT.weaker is None


def test_what_is_no_chat_model_is_left_out_in_words():
    """A classifier cannot answer, and a system that searches the web would show a blind forecaster the price."""
    models, notes = chain_of(["groq/compound", "openai/gpt-oss-120b", "meta-llama/llama-prompt-guard-2-86m"])

    assert models == ("openai/gpt-oss-120b",)
    assert len(notes) == 2
    assert "left out" in notes[0]


@pytest.mark.parametrize(
    ("model", "mode", "low", "none"),
    [
        ("openai/gpt-oss-20b", JsonMode.STRICT, "low", None),
        ("openai/gpt-oss-120b", JsonMode.STRICT, "low", None),
        ("openai/gpt-oss-safeguard-20b", JsonMode.BEST_EFFORT, None, None),
        ("qwen/qwen3.8-27b", JsonMode.BEST_EFFORT, "low", None),
        ("qwen/qwen3.6-27b", JsonMode.BEST_EFFORT, None, None),
        ("somebody/new-model", JsonMode.BEST_EFFORT, None, None),
    ],
)
def test_each_model_is_asked_only_what_it_understands(model, mode, low, none):
    """An effort a model does not know is a 400; only two models decode under a schema."""
    profile = profile_of(model)

    assert profile.json_mode is mode
    assert (profile.effort("low"), profile.effort("none")) == (low, none)
    assert profile.context_tokens > profile.max_completion_tokens
