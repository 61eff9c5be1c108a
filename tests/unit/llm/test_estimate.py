"""How many tokens a prompt has: safe at first, near the truth after a while."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.estimate import PromptEstimate


def test_it_starts_with_the_ratio_that_is_safe_for_english_and_json():
    """Characters over 3.2 and 15 % on top."""
    assert PromptEstimate().tokens(3_200) == 1_150


@pytest.mark.parametrize("ratio", [0.2, 0.25, 0.45, 0.8])
def test_it_follows_what_the_service_counts(ratio):
    """A tokeniser of another family, or another script: after thirty calls within a tenth above the truth."""
    estimate = PromptEstimate()
    for _ in range(40):
        estimate.learn(10_000, round(10_000 * ratio))

    assert 10_000 * ratio <= estimate.tokens(10_000) <= 10_000 * ratio * 1.1


def test_scattered_counts_widen_the_margin():
    """Texts differ: what varies is estimated with more room."""
    steady, scattered = PromptEstimate(), PromptEstimate()
    for i in range(40):
        steady.learn(10_000, 3_000)
        scattered.learn(10_000, 2_000 if i % 2 else 4_000)

    assert scattered.tokens(10_000) > steady.tokens(10_000) * 1.3


@given(st.lists(st.tuples(st.integers(-5, 10**6), st.integers(-5, 10**9)), max_size=50))
def test_no_count_can_break_it(counts):
    """Usage is a stranger's number: nonsense is passed over, the estimate stays positive and bounded."""
    estimate = PromptEstimate()
    for n_chars, n_tokens in counts:
        estimate.learn(n_chars, n_tokens)

    assert 0 < estimate.tokens(10_000) <= 70_000
