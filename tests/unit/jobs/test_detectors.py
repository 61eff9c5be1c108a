"""Detectors of installed packages: loaded by entry point, checked like ours, refused in words."""

from importlib.metadata import EntryPoint

import pytest

from agent.core.patterns.price_jump import PriceJump
from agent.core.patterns.registry import BUILT_IN, GROUP
from agent.errors import ConfigError
from agent.jobs import detectors
from agent.jobs.detectors import load_detectors


class Theirs:
    """Somebody else's detector; no dataclass, no thresholds."""

    name = "theirs"

    def find(self, board):
        """Nothing."""
        return iter(())


class Nothing:
    """Not a detector."""


class Broken:
    """Raises when it is made."""

    def __init__(self) -> None:
        raise RuntimeError("no licence")


@pytest.fixture
def installed(monkeypatch):
    """Stands for packages that offer detectors."""
    points = list[EntryPoint]()
    monkeypatch.setattr(detectors, "entry_points", lambda *, group: [point for point in points if point.group == group])
    return lambda name, value: points.append(EntryPoint(name, value, GROUP))


def faults(tables=None):
    with pytest.raises(ConfigError) as raised:
        load_detectors(tables or {})
    return raised.value.faults


def test_without_packages_ours_run():
    """The defaults need no settings."""
    assert load_detectors({}) == list(BUILT_IN)


def test_an_installed_detector_runs_and_can_be_switched_off(installed):
    """A plug-in has the same switch as a detector of ours."""
    installed("theirs", f"{__name__}:Theirs")

    assert [one.name for one in load_detectors({})][-1] == "theirs"
    assert "theirs" not in [one.name for one in load_detectors({"theirs": {"enabled": False}})]


def test_an_installed_detector_with_a_name_of_ours_is_refused(installed, monkeypatch):
    """Two of one name would silence each other."""
    monkeypatch.setattr(Theirs, "name", PriceJump.name)
    installed("theirs", f"{__name__}:Theirs")

    assert faults() == ["detector price_jump: named 2 times"]


def test_what_cannot_be_loaded_is_told_with_every_other_fault(installed):
    """All at once: a package that raises, one that is no detector, one that is not there, a table nobody reads."""
    installed("broken", f"{__name__}:Broken")
    installed("nothing", f"{__name__}:Nothing")
    installed("gone", "no_such_package:Detector")

    told = "\n".join(faults({"price_jmp": {}}))

    assert "broken" in told
    assert "RuntimeError: no licence" in told
    assert "not a detector, it has no name and no find" in told
    assert "ModuleNotFoundError" in told
    assert "patterns.price_jmp: no such detector; did you mean price_jump?" in told
