"""The registry: order by dependency, and every fault of a configuration at once."""

import sys
import types
from importlib.metadata import EntryPoint

import pytest

from agent.errors import ConfigError
from agent.experiments import registry as registry_module
from agent.experiments.base import ExperimentResult
from agent.experiments.registry import BUILT_IN, Registry
from agent.settings import Settings


def make_experiment(name: str, *requires: str, saw_price: bool = True):
    """An experiment that always says one half."""

    async def run(market, context):
        return ExperimentResult(probability_yes=0.5)

    return types.SimpleNamespace(
        name=name, version="1", requires=requires, asks_model=False, saw_price=saw_price, run=run
    )


def test_the_built_ins_load_together():
    """All of them together work, and the default configuration is some of them."""
    names = list(BUILT_IN)

    assert {experiment.name for experiment in Registry.load(names)} == set(names)
    assert set(Settings().processing_experiments) <= set(names)


def test_an_experiment_comes_after_what_it_requires():
    """Whoever reads a result finds it."""
    registry = Registry(
        [make_experiment("blend", "left", "right"), make_experiment("right", "left"), make_experiment("left")]
    )

    assert [experiment.name for experiment in registry] == ["left", "right", "blend"]
    assert len(registry) == 3


def test_all_faults_are_told_at_once():
    """An operator fixes a file once, not once per fault."""
    with pytest.raises(ConfigError) as caught:
        Registry(
            [
                make_experiment("twice"),
                make_experiment("twice"),
                make_experiment("lonely", "absent"),
                make_experiment("a", "b"),
                make_experiment("b", "a"),
                make_experiment("priced"),
                make_experiment("blind", "priced", saw_price=False),
            ]
        )

    faults = "\n".join(caught.value.faults)
    assert "twice: named twice" in faults
    assert "lonely: requires absent" in faults
    assert "in a circle" in faults
    assert "blind: is blind and requires priced, which sees the price" in faults
    assert len(caught.value.faults) == 4


def test_an_experiment_that_requires_itself_is_a_circle():
    """The smallest circle there is."""
    with pytest.raises(ConfigError, match="in a circle"):
        Registry([make_experiment("a", "a")])


def test_an_experiment_may_come_by_path(monkeypatch):
    """A private module beside the daemon needs no package."""
    module = types.ModuleType("my_experiments")
    module.Mine = lambda: make_experiment("mine")
    monkeypatch.setitem(sys.modules, "my_experiments", module)

    (experiment,) = Registry.load(["my_experiments:Mine"])

    assert experiment.name == "mine"


def test_an_experiment_may_come_by_entry_point(monkeypatch):
    """A package brings its experiments along."""
    module = types.ModuleType("their_experiments")
    module.Theirs = lambda: make_experiment("theirs")
    monkeypatch.setitem(sys.modules, "their_experiments", module)
    point = EntryPoint(name="theirs", value="their_experiments:Theirs", group="oddsd.experiments")
    monkeypatch.setattr(
        registry_module,
        "entry_points",
        lambda *, group, name: [point] if (group, name) == (point.group, point.name) else [],
    )

    (experiment,) = Registry.load(["theirs"])

    assert experiment.name == "theirs"


def test_names_that_lead_nowhere_are_refused_together(monkeypatch):
    """A misspelt name, a missing module, a broken one and something else entirely: each in words."""
    module = types.ModuleType("broken_experiments")

    def explode():
        raise RuntimeError("no licence")

    module.explode, module.other = explode, dict
    monkeypatch.setitem(sys.modules, "broken_experiments", module)

    with pytest.raises(ConfigError) as caught:
        Registry.load(["coinn", "nowhere:At", "broken_experiments:explode", "broken_experiments:other", "coin"])

    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "experiment coinn",
        "experiment nowhere",
        "experiment broken_experiments",
        "experiment broken_experiments",
    ]
    assert "RuntimeError: no licence" in caught.value.faults[2]
    assert "it has no name" in caught.value.faults[3]
