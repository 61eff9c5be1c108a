"""Thresholds of the detectors are settings: in the file, in the environment, in the docs."""

import re
from pathlib import Path

import pytest

from agent.core.patterns.base import Guard
from agent.core.patterns.knobs import knobs
from agent.core.patterns.registry import BUILT_IN, GUARD
from agent.errors import ConfigError
from agent.jobs.detectors import load_detectors
from agent.settings import load_settings

DOCS = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_thresholds_come_from_the_file(tmp_path):
    """What the operator wrote is what runs."""
    file = tmp_path / "oddsd.toml"
    file.write_text("[patterns.price_jump]\nmin_move = 0.05\n[patterns.closing_soon]\nenabled = false\n")

    detectors = {one.name: one for one in load_detectors(load_settings(file).patterns)}

    assert detectors["price_jump"].min_move == 0.05
    assert "closing_soon" not in detectors


def test_thresholds_come_from_the_environment_too(monkeypatch):
    """As every other setting."""
    monkeypatch.setenv("ODDSD_PATTERNS__PRICE_JUMP__MIN_MOVE", "0.07")
    monkeypatch.setenv("ODDSD_PATTERNS__MOMENTUM__ENABLED", "false")

    detectors = {one.name: one for one in load_detectors(load_settings().patterns)}

    assert detectors["price_jump"].min_move == 0.07
    assert "momentum" not in detectors


def test_a_fault_in_a_table_is_told_with_the_others(tmp_path):
    """check-config tells all at once."""
    file = tmp_path / "oddsd.toml"
    file.write_text(
        '[patterns.price_jmp]\nx = 1\n[patterns.momentum]\nmin_zz = 3\n[patterns.guard]\nmin_volume_24h = "many"\n'
    )

    with pytest.raises(ConfigError) as raised:
        load_settings(file)
    assert any("patterns.guard.min_volume_24h" in fault for fault in raised.value.faults)

    file.write_text("[jobs.colect]\nenabled = false\n[patterns.price_jmp]\nx = 1\n[patterns.momentum]\nmin_zz = 3\n")
    with pytest.raises(ConfigError) as raised:
        load_settings(file, known_jobs=("collect",))
    assert raised.value.faults == [
        "jobs.colect: no such job; did you mean collect?",
        "patterns.price_jmp: no such detector; did you mean price_jump?",
        "patterns.momentum.min_zz: no such threshold; did you mean min_z?",
    ]


def test_every_threshold_stands_in_the_docs_with_its_default_and_reason():
    """A default in the docs that is not the real one is worse than none."""
    things = {GUARD: Guard()} | {one.name: one for one in BUILT_IN}
    wanted = {
        (f"{name}.{field}", f"{found.default:g}", found.metadata["knob"].why)
        for name, thing in things.items()
        for field, found in knobs(thing).items()
    }

    assert (
        set(re.findall(r"^\| `([a-z_]+\.[a-z0-9_]+)` \| `([^`]+)` \| (.+) \|$", DOCS.read_text(), re.MULTILINE))
        == wanted
    )
