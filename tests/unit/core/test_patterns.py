"""Detectors find what happened, stay quiet where nothing did, and never fire on a book nobody could trade."""

from datetime import timedelta

import pytest

from agent.core.patterns.base import Board, Finding, History
from agent.core.patterns.closing_soon import ClosingSoon
from agent.core.patterns.price_jump import PriceJump
from agent.core.patterns.registry import BUILT_IN, findings, news
from agent.core.patterns.volume_spike import VolumeSpike
from tests.factories import NOON, make_market, make_quote

QUARTER = timedelta(minutes=15)


def history(key: str = "polymarket:0xa", mids=(), volumes=None, *, half=0.01, **market) -> History:
    volumes = volumes if volumes is not None else [1000.0] * len(mids)
    quotes = [
        make_quote(
            market_key=key,
            fetched_at=NOON + i * QUARTER,
            bid=round(mid - half, 6),
            ask=round(mid + half, 6),
            volume_24h=volume,
        )
        for i, (mid, volume) in enumerate(zip(mids, volumes, strict=True))
    ]
    return History(make_market(market_key=key, **market), quotes)


def found(detector, *histories: History) -> list[Finding]:
    return list(detector.find(Board(histories, NOON)))


def test_a_jump_out_of_habit_is_found_with_its_numbers():
    """The evidence is enough to compute the score again."""
    (finding,) = found(PriceJump(), history(mids=[0.40, 0.41, 0.40, 0.41, 0.55]))

    assert finding.evidence == {
        "mid_before": 0.41, "mid_now": 0.55, "move": 0.14, "usual_move": 0.01, "largest_before": 0.01, "hours": 0.25,
        "n_steps": 4.0,
    }  # fmt: skip
    assert finding.score == 70


@pytest.mark.parametrize(
    "mids",
    [
        [0.40, 0.45, 0.40, 0.46, 0.51],  # it always jumps like that
        [0.40, 0.40, 0.42],  # two points: within a normal spread
        [0.40],  # no step at all
        [0.40, 0.40, 0.44],  # four points, from a market with no habit yet
        [0.40, 0.41, 0.49, 0.48, 0.49, 0.48, 0.58],  # it did nearly that before
    ],
)
def test_a_habitual_or_small_move_is_no_jump(mids):
    """A market which always moves stays quiet."""
    assert found(PriceJump(), history(mids=mids)) == []


def test_a_move_narrower_than_the_book_is_no_jump():
    """Crossing a wide spread can fake any move inside it."""
    assert found(PriceJump(), history(mids=[0.40, 0.40, 0.46], half=0.04)) == []


def test_a_jump_needs_a_two_sided_book_now():
    """One side gone is ignorance, not a move."""
    quiet = history(mids=[0.40, 0.40, 0.55])
    last = make_quote(market_key="polymarket:0xa", fetched_at=NOON + 3 * QUARTER, bid=None, ask=0.9, mid=None)

    assert found(PriceJump(), History(quiet.market, [*quiet.quotes, last])) == []


def test_a_volume_spike_is_measured_against_the_markets_own_growth():
    """Median and MAD: an earlier spike does not hide the next."""
    volumes = [1000, 1010, 1021, 1030, 1041, 3050, 3061, 3070, 3079, 11018]
    (finding,) = found(VolumeSpike(), history(mids=[0.4] * 10, volumes=volumes))

    assert finding.evidence["growth"] == 7939
    assert finding.score == 100


@pytest.mark.parametrize(
    "volumes",
    [
        [0, 0, 0, 0, 0, 0, 0, 400],  # one small trader
        [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8100],  # always growing like that
        [1000, 9000],  # no habit known yet
        [1000, 1010, 1021, 1030, 1041, 6050, 6061, 6070, 6079, 13018],  # hardly more than the burst before
    ],
)
def test_ordinary_trading_is_no_spike(volumes):
    """False alarms cost a reader more than silence."""
    assert found(VolumeSpike(), history(mids=[0.4] * len(volumes), volumes=volumes)) == []


def test_an_uncertain_market_in_its_last_hours_is_found():
    """The expected end counts where the venue gives one: a nominal close may lie a year later."""
    (finding,) = found(
        ClosingSoon(),
        history(mids=[0.5], expected_time=NOON + timedelta(hours=6), close_time=NOON + timedelta(days=365)),
    )

    assert finding.evidence["hours_left"] == 6
    assert finding.score > 50


@pytest.mark.parametrize(
    ("mid", "half", "hours"),
    [(0.97, 0.01, 6), (0.5, 0.04, 6), (0.5, 0.01, 100), (0.5, 0.01, -1)],
)
def test_a_decided_wide_distant_or_past_market_is_left_alone(mid, half, hours):
    """Wide books are ignorance, not uncertainty."""
    assert found(ClosingSoon(), history(mids=[mid], half=half, close_time=NOON + timedelta(hours=hours))) == []


def test_a_finding_is_said_again_only_when_clearly_stronger():
    """A reader hears a thing once."""
    strong = Finding(market_key="a", detector="d", score=70, evidence={})

    assert news([strong], {}) == [strong]
    assert news([strong], {("a", "d"): 65}) == []
    assert news([strong], {("a", "d"): 60}) == [strong]


def test_every_detector_has_its_own_name():
    """A name decides what was said already; two detectors must not silence each other."""
    names = [detector.name for detector in BUILT_IN]

    assert len(set(names)) == len(names)


def test_findings_come_strongest_first():
    """What is bounded later is bounded at the weak end."""
    board = Board([history("polymarket:0xa", [0.4, 0.4, 0.5]), history("polymarket:0xb", [0.4, 0.4, 0.6])], NOON)

    assert [finding.market_key for finding in findings(board, BUILT_IN)] == ["polymarket:0xb", "polymarket:0xa"]
