"""Pace: the buckets, what headers teach, and waiting without a clock of one's own."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LlmRefused, LlmUnavailable
from agent.llm.limits import Limiter, ModelLimits, parse_duration

FREE_PLAN = {"requests_per_minute": 30.0, "tokens_per_minute": 8_000.0}


def headers(limit: int, remaining: int, **more: str) -> dict[str, str]:
    """Rate headers of an answer."""
    return {"x-ratelimit-limit-tokens": str(limit), "x-ratelimit-remaining-tokens": str(remaining)} | more


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2m59.56s", 179.56),
        ("7.66s", 7.66),
        ("172ms", 0.172),
        ("9m38.016s", 578.016),
        ("1h2m3s", 3723.0),
        ("0s", 0.0),
        ("", None),
        ("7", None),
        ("7s later", None),
        ("-3s", None),
        ("soon", None),
    ],
)
def test_go_durations_are_read(text, seconds):
    """The service writes times as Go does; anything else is not guessed at."""
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


def test_the_free_plan_admits_one_large_call_per_half_minute():
    """2.5k of prompt and 2k of answer against 8,000 tokens a minute: never a burst."""
    limits = ModelLimits("m", **FREE_PLAN)

    limits.take(4_500, 0.0)

    assert limits.wait_s(4_500, 0.0) == pytest.approx(7.5)
    limits.take(4_500, 7.5)
    assert limits.wait_s(4_500, 7.5) == pytest.approx(33.75)


def test_requests_a_minute_are_a_limit_of_their_own():
    """Thirty tiny calls are allowed, the next waits for the bucket."""
    limits = ModelLimits("m", **FREE_PLAN)

    for _ in range(30):
        assert limits.wait_s(1, 0.0) == 0
        limits.take(1, 0.0)

    assert limits.wait_s(1, 0.0) == pytest.approx(2.0)


def test_headers_replace_what_was_assumed():
    """A paid plan shows itself in the first answer: more tokens, and with them more requests."""
    limits = ModelLimits("m", **FREE_PLAN)
    for _ in range(30):
        limits.take(200, 0.0)
        limits.done(200)

    limits.observe(headers(250_000, 240_000), 0.0)

    assert limits.tokens_per_minute == 250_000
    assert limits.wait_s(4_500, 0.0) == 0
    assert limits.fits(200_000)


def test_what_is_in_flight_is_not_spent_twice():
    """The service may not have counted calls that are on their way: they are taken off what it says is left."""
    limits = ModelLimits("m", **FREE_PLAN)
    limits.take(3_000, 0.0)
    limits.take(3_000, 0.0)
    limits.done(3_000)

    limits.observe(headers(8_000, 5_000), 0.0)

    assert limits.wait_s(2_000, 0.0) == 0
    assert limits.wait_s(2_100, 0.0) > 0


def test_no_more_requests_today_parks_the_model():
    """The request headers count a day; asking on would only burn rejected attempts."""
    limits = ModelLimits("m", **FREE_PLAN)

    limits.observe(
        headers(8_000, 8_000, **{"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h2m"}), 10.0
    )

    assert limits.parked_s(10.0) == pytest.approx(3720.0)


def test_a_server_without_headers_has_no_limits():
    """A local model is limited by its own speed, not by a plan it never heard of."""
    limits = ModelLimits("m", **FREE_PLAN)
    limits.take(8_000, 0.0)
    limits.done(8_000)

    limits.observe({}, 0.0)

    assert limits.wait_s(100_000, 0.0) == 0


def test_parking_is_never_shortened():
    """A later, shorter wish does not undo the long one."""
    limits = ModelLimits("m", **FREE_PLAN)

    limits.park(600.0, 0.0)
    limits.park(5.0, 1.0)

    assert limits.parked_s(1.0) == pytest.approx(599.0)


@given(st.lists(st.tuples(st.integers(1, 8_000), st.floats(0, 120)), max_size=40))
def test_whoever_waits_as_told_never_passes_the_limit(calls):
    """Over any run of calls the tokens taken stay within the first bucket plus what has flowed in since."""
    limits, at, taken = ModelLimits("m", **FREE_PLAN), 0.0, 0

    for tokens, pause in calls:
        at += pause
        at += limits.wait_s(tokens, at)
        limits.take(tokens, at)
        taken += tokens
        assert taken <= 8_000 + at * 8_000 / 60 + 1


async def test_good_news_ends_a_wait():
    """The first answer of a paid plan must wake those who queue by the free plan's limits."""
    limits = ModelLimits("m", **FREE_PLAN)
    limiter = Limiter(limits, max_parked_s=30, monotonic=lambda: 0.0)  # time stands still: only news can help
    await limiter.acquire(8_000)

    waiting = asyncio.create_task(limiter.acquire(8_000))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    limiter.done(8_000, headers(250_000, 240_000))

    await asyncio.wait_for(waiting, 5)


async def test_a_call_above_the_limit_is_refused_before_the_service_does():
    """It would be a 413, paid for with a rejected attempt."""
    limiter = Limiter(ModelLimits("m", **FREE_PLAN), max_parked_s=30, monotonic=lambda: 0.0)

    with pytest.raises(LlmRefused, match="8001 tokens is above its 8000"):
        await limiter.acquire(8_001)


async def test_a_long_parked_model_is_unavailable_at_once():
    """Nobody sits out ten minutes: another model or a later run is better."""
    limiter = Limiter(ModelLimits("m", **FREE_PLAN), max_parked_s=30, monotonic=lambda: 0.0)
    limiter.park(578)

    with pytest.raises(LlmUnavailable, match="578 s") as caught:
        await limiter.acquire(10)
    assert caught.value.retry_after_s == 578
