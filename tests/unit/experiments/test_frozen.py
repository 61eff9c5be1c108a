"""A version is what it was when it first spoke: any part that differs is named."""

import hashlib
import types

from agent.experiments.frozen import faults, versions_of
from agent.experiments.registry import BUILT_IN, Registry
from tests.unit.experiments.test_registry import make_experiment

# What each built-in's version is. A line changes only together with that experiment's version: forecasts made before
# and after a change of prompt must never share a name.
FROZEN = {
    "baseline_snapshot 1": "094b6447c3ab",
    "market_prior 1": "094b6447c3ab",
    "single_model 1": "ba55ff81a9fb",
    "informed 1": "b7b51dfc529c",
    "research 1": "c26638e1d773",
    "coin 1": "094b6447c3ab",
    "longshot_fader 1": "094b6447c3ab",
    "research_forecast 1": "c0b6a189c8c4",
    "ensemble 1": "3f4d787adb42",
}


def with_parameters(**parameters):
    """An experiment with something to freeze."""
    experiment = make_experiment("mine")
    return types.SimpleNamespace(**vars(experiment) | {"asks_model": True, "parameters": parameters})


def changed(before, now, *, models=("a",), models_now=("a",)):
    """The faults of going from one to the other."""
    return faults(versions_of([now], models_now), versions_of([before], models))


def test_the_same_parts_are_no_fault():
    """A restart changes nothing."""
    assert changed(with_parameters(prompt="x" * 500), with_parameters(prompt="x" * 500)) == []


def test_a_changed_prompt_parameter_and_model_are_each_named():
    """One sentence with all of them; long parts by name, short ones with their values."""
    (fault,) = changed(
        with_parameters(prompt="x" * 500, floor=0.1),
        with_parameters(prompt="y" * 500, floor=0.2),
        models_now=("a", "b"),
    )

    assert "experiment mine 1: " in fault
    assert "its prompt changed" in fault
    assert "its floor changed (was 0.1, is 0.2)" in fault
    assert 'its models changed (was ["a"], is ["a","b"])' in fault
    assert 'revision = "..." in [experiments.mine]' in fault


def test_an_added_and_a_lost_part_are_changes():
    """A knob that was not there shaped nothing."""
    assert "its floor was added" in changed(with_parameters(), with_parameters(floor=1))[0]
    assert "its floor is gone" in changed(with_parameters(floor=1), with_parameters())[0]


def test_models_are_no_part_of_who_asks_none():
    """The coin is the same coin whatever the operator's models are."""
    coin = list(Registry.load(["coin"]))

    assert versions_of(coin, ["a"]) == versions_of(coin, ["b"])


def test_a_new_version_and_an_unknown_one_are_free():
    """Only what has spoken is frozen."""
    now = versions_of([with_parameters(prompt="new")], ["a"])

    assert faults(now, {}) == []
    assert faults(now, {("mine", "0"): {"prompt": '"old"'}}) == []


def test_a_revision_is_part_of_the_version():
    """The operator's way to another forecaster; the experiment stays itself otherwise."""
    (coin,) = Registry.load(["coin"], {"coin": "b"})

    assert (coin.name, coin.version, coin.saw_price, coin.asks_model) == ("coin", "1+b", True, False)


def test_the_built_ins_are_what_their_versions_were():
    """Who changes a prompt, a schema or a number gives it a new version, here and in its file."""
    parts = versions_of(Registry.load(BUILT_IN), [])
    told = {f"{name} {version}": _digest(these) for (name, version), these in parts.items()}

    assert told == FROZEN


def _digest(parts):
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()[:12]
