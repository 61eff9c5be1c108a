"""The example in the docs is code: it is taken out of the page and run."""

import importlib.util
import re
import sys
from datetime import date
from pathlib import Path

import pytest

from agent.core.blind import blind
from agent.experiments.base import BlindContext, ExperimentResult, ExperimentSkip
from agent.experiments.registry import BUILT_IN, Registry
from agent.settings import Settings
from tests.factories import NOON, make_market

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "experiments.md").read_text()


@pytest.fixture
def half_way(tmp_path, monkeypatch):
    """The example as a module, found by its name."""
    (code,) = re.findall(r"<!-- example: half_way.py -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "half_way.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("half_way", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "half_way", module)
    spec.loader.exec_module(module)
    return code


async def test_the_example_loads_by_its_path_and_forecasts(half_way):
    """What a researcher copies works as it stands."""
    experiments = list(Registry.load(["market_prior", "half_way:HalfWay", "single_model"]))
    mine = experiments[-1]
    said = {"single_model": (ExperimentResult(probability_yes=0.3), ExperimentResult(probability_yes=0.5))}
    context = BlindContext(now=NOON, run_day=date(2026, 11, 21), results=said, door=None)

    result = await mine.run(blind(make_market()), context)
    skipped = await mine.run(blind(make_market(category="Sports")), context)

    assert mine.name == "half_way"
    assert result.probability_yes == pytest.approx((0.4 + 0.125) / 2)
    assert isinstance(skipped, ExperimentSkip)


def test_the_example_is_about_thirty_lines(half_way):
    """One file, no framework."""
    assert len(half_way.splitlines()) <= 35


def test_every_built_in_stands_in_the_table():
    """With what it sees and what it costs."""
    rows = {
        name: (sees == "yes", asks != "no")
        for name, sees, asks in re.findall(r"^\| `(\w+)` \| (yes|no) \| ([^|]+?) \|", PAGE, re.MULTILINE)
    }

    assert rows == {e.name: (e.saw_price, e.asks_model) for e in Registry.load(BUILT_IN)}
    assert set(Settings().processing_experiments) == set(BUILT_IN) - {"informed", "research", "research_forecast"}
