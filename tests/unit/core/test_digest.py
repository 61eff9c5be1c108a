"""What a digest speaks of, where our rules let it stand, and how it reads."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.digest import (
    MOST_AVOID,
    MOST_FORECASTS,
    MOST_INSIGHTS,
    MOST_PATTERNS,
    MOST_TOP,
    MOST_WATCH,
    Finding,
    Mentions,
    choose,
    newest_insights,
    place,
    render_markdown,
    strongest_patterns,
)
from sync.records import DigestArbitrage, Recommendation
from tests.factories import NOON, make_digest, make_insight, make_market, make_pattern, make_quote


def make_finding(number: int, **over) -> Finding:
    """A market our own insight calls a good bet; `insight` may be changed or None."""
    key = f"kalshi:K{number}"
    insight = over.pop("insight", {})
    return Finding(
        **{
            "alias": f"M{number}",
            "market": make_market(market_key=key),
            "title": f"Question {number}?",
            "quote": make_quote(market_key=key),
            "insight": None if insight is None else make_insight(market_key=key, insight_id=f"i{number}", **insight),
            "forecast": 0.55,
        }
        | over
    )


def mentions(top=(), avoid=(), watch=()) -> Mentions:
    """Aliases by list, each with the same sentence."""
    return Mentions(
        top=[(alias, "why") for alias in top],
        avoid=[(alias, "why") for alias in avoid],
        watch=[(alias, "why") for alias in watch],
    )


def test_a_market_that_was_not_told_of_is_dropped_and_counted():
    """An id that was invented, or talked in by a title, reaches nobody."""
    placed = place(mentions(top=["M1", "M9", ""], watch=["kalshi:K1"]), [make_finding(1)])

    assert [entry.market_key for entry in placed.top] == ["kalshi:K1"]
    assert (placed.watch, placed.n_dropped) == ((), 3)


@pytest.mark.parametrize(
    ("finding", "home", "words"),
    [
        ({"insight": None}, "watch", "nothing of ours has judged it"),
        ({"insight": {"recommendation": Recommendation.AVOID}}, "avoid", "our own verdict is AVOID"),
        ({"insight": {"recommendation": Recommendation.CAUTION}}, "watch", "our own verdict is CAUTION"),
        (
            {"insight": {"actionable": False, "clamps": ("the spread is above 10 points",)}},
            "watch",
            "the spread is above",
        ),
        ({"insight": {"actionable": False, "confidence": 40}}, "watch", "our own verdict is GOOD_BET"),
    ],
)
def test_a_pick_our_own_insight_does_not_carry_is_moved_with_its_reason(finding, home, words):
    """A model may order our verdicts, not overrule them."""
    placed = place(mentions(top=["M1"]), [make_finding(1, **finding)])

    (entry,) = getattr(placed, home)
    assert placed.top == ()
    assert words in entry.moved[0]


def test_a_market_stands_once_and_the_careful_list_wins():
    """Bet on it and avoid it cannot both be advice."""
    placed = place(mentions(top=["M1", "M1"], avoid=["M1"], watch=["M1"]), [make_finding(1)])

    assert len(placed.avoid) == 1
    assert (placed.top, placed.watch, placed.n_dropped) == ((), (), 3)


def test_lists_end_where_a_readers_minute_ends():
    """The rest is counted, not shown."""
    findings = [make_finding(n) for n in range(30)]
    aliases = [f.alias for f in findings]

    placed = place(mentions(top=aliases[:10], avoid=aliases[10:20], watch=aliases[20:]), findings)

    assert (len(placed.top), len(placed.avoid), len(placed.watch)) == (MOST_TOP, MOST_AVOID, MOST_WATCH)
    assert placed.n_dropped == 30 - MOST_TOP - MOST_AVOID - MOST_WATCH


@given(
    st.lists(st.sampled_from([f"M{n}" for n in range(8)]), max_size=20),
    st.lists(st.sampled_from([f"M{n}" for n in range(8)]), max_size=20),
    st.lists(st.sampled_from([f"M{n}" for n in range(8)]), max_size=20),
)
def test_whatever_is_mentioned_only_bets_of_ours_are_picks_and_nothing_gets_lost(top, avoid, watch):
    """The whole attack surface of a digest: lists of aliases."""
    kinds = [None, {"recommendation": Recommendation.AVOID}, {}, {"clamps": ("c",), "actionable": False}]
    findings = [make_finding(n, insight=kinds[n % 4]) for n in range(6)]
    bets = {f.market.market_key for f in findings if f.is_bet}

    placed = place(mentions(top, avoid, watch), findings)

    shown = [*placed.top, *placed.avoid, *placed.watch]
    assert {entry.market_key for entry in placed.top} <= bets
    assert len({entry.market_key for entry in shown}) == len(shown)
    assert len(shown) + placed.n_dropped == len(top) + len(avoid) + len(watch)
    assert all((e.bid, e.ask, e.probability_yes) == (0.40, 0.44, 0.55) for e in shown)  # ours, whoever speaks


def test_the_newest_insight_of_a_market_speaks_and_an_expired_one_is_silent():
    """Yesterday's bet is not today's pick."""
    old = make_insight(insight_id="a", created_at=NOON - timedelta(hours=3))
    new = make_insight(insight_id="b", recommendation=Recommendation.AVOID)
    gone = make_insight(insight_id="c", market_key="kalshi:GONE", expires_at=NOON)

    assert newest_insights([new, gone, old], NOON) == {new.market_key: new}


def test_a_newer_expired_insight_does_not_wake_the_older_one():
    """The later word was the market's last."""
    old = make_insight(insight_id="a", created_at=NOON - timedelta(hours=3), expires_at=NOON + timedelta(days=1))
    new = make_insight(insight_id="b", created_at=NOON - timedelta(hours=2), expires_at=NOON - timedelta(hours=1))

    assert newest_insights([old, new], NOON) == {}


def test_each_kind_of_finding_has_its_place():
    """Neither a day full of insights nor one full of patterns hides the rest."""
    insights = {f"kalshi:I{n}": make_insight(market_key=f"kalshi:I{n}", confidence=n) for n in range(20)}
    patterns = strongest_patterns(
        [make_pattern(market_key=f"kalshi:P{n}", pattern_id=f"p{n}", score=50 + n) for n in range(20)]
    )
    forecasts = {f"kalshi:F{n}": 0.42 + n / 50 for n in range(20)}
    quotes = {key: make_quote(market_key=key) for key in forecasts}

    chosen = choose(insights, patterns, forecasts, quotes)

    assert chosen[0] == "kalshi:I19"
    assert [key[7] for key in chosen] == ["I"] * MOST_INSIGHTS + ["P"] * MOST_PATTERNS + ["F"] * MOST_FORECASTS
    assert chosen[MOST_INSIGHTS] == "kalshi:P19"
    assert chosen[MOST_INSIGHTS + MOST_PATTERNS] == "kalshi:F19"


def test_a_forecast_near_the_price_or_without_one_is_no_finding():
    """Inside spread and fees there is no disagreement; without a middle there is nothing to disagree with."""
    forecasts = {"kalshi:NEAR": 0.45, "kalshi:ONESIDED": 0.9, "kalshi:NONE": 0.9}
    quotes = {
        "kalshi:NEAR": make_quote(market_key="kalshi:NEAR"),
        "kalshi:ONESIDED": make_quote(market_key="kalshi:ONESIDED", bid=None, mid=0.4),
    }

    assert choose({}, {}, forecasts, quotes) == []


def test_markdown_shows_our_numbers_and_lets_no_text_become_markup():
    """Titles are strangers' words and sentences a model's: in the page both are only text."""
    entry = make_digest().watch[0]
    hostile = type(entry)(
        market_key="kalshi:K1",
        title="# [free](https://x) <b>money</b>",
        why="a `b` | *c*\n## d",
        bid=0.4,
        ask=0.44,
        probability_yes=0.55,
    )
    edge = DigestArbitrage(market_keys=("a", "b"), summary="YES here, NO there", net_edge=0.031)

    page = render_markdown(make_digest(watch=(hostile,), summary="_calm_", arbitrage=(edge,)))

    assert "bid 0.400, ask 0.440, our forecast 0.55" in page
    assert "net 0.031 a contract" in page
    assert "\\# \\[free\\]\\(https://x\\) \\<b\\>money\\</b\\>" in page
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "# 2026-11-21: calm", "## Top picks", "## Avoid", "## Watch", "## Arbitrage",
    ]  # fmt: skip
    assert "Information, not advice" in page
