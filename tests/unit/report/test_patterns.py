"""The detectors find something in recorded markets, and little where there is nothing to find."""

import pytest

from agent.core.patterns.registry import BUILT_IN
from agent.replay.series import load_all
from tests.report.patterns import (
    MAX_NOISE,
    MAX_SHUFFLED,
    NO_NULL,
    OF_EVENTS,
    ONE_STEP,
    Measured,
    measure,
    rate,
    table,
)
from tests.report.replay import shuffled


@pytest.fixture(scope="module")
def measured(recordings) -> list[Measured]:
    """Every series, real and with its nulls."""
    return [measure(series) for series in load_all(recordings)]


NAMES = [detector.name for detector in BUILT_IN if detector.name not in NO_NULL]


@pytest.mark.parametrize("name", NAMES)
def test_shuffled_steps_raise_few_alarms(measured, name):
    """The stated rate: patterns per 1,000 looks at a market whose steps come in another order."""
    assert rate(measured, name, "shuffled") <= MAX_SHUFFLED


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_EVENTS])
def test_noise_raises_few_alarms(measured, name):
    """Normal steps of the market's own size: whatever is found in them is a false alarm."""
    assert rate(measured, name, "noise") <= MAX_NOISE


@pytest.mark.parametrize("name", sorted(ONE_STEP))
def test_detectors_of_one_step_see_far_more_in_the_market_than_in_noise(measured, name):
    """Shuffling keeps their jumps, so noise is their null."""
    assert rate(measured, name, "real") > 3 * rate(measured, name, "noise")


@pytest.mark.parametrize("name", ["price_jump", "volume_spike", "momentum", "reversal", "spread_shift", "event_sum",
                                  "ladder", "closing_soon"])  # fmt: skip
def test_recorded_markets_hold_something_to_find(measured, name):
    """A detector that never fires on real markets would pass every null."""
    assert rate(measured, name, "real") > 0


def test_a_shuffle_keeps_where_a_market_ends(recordings):
    """Another order of the same steps: else the null would test another market."""
    series = next(iter(load_all(recordings)))
    longest = max(range(len(series.histories)), key=lambda i: len(series.histories[i].mids))
    before, after = series.histories[longest], shuffled(series, 1).histories[longest]

    assert after.mids[0] == before.mids[0]
    assert after.mids[-1] == pytest.approx(before.mids[-1], abs=1e-6)
    assert after.mids != before.mids


def test_the_table_of_the_architecture_is_the_one_the_report_prints(measured, request):
    """A figure nobody can make again is a claim."""
    architecture = (request.config.rootpath / "ARCHITECTURE.md").read_text()

    assert "\n".join(table(measured)) in architecture
