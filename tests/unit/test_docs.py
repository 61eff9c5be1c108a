"""Docs are part of the product: every setting, job and command stands in them, and nothing that is gone does."""

import re
from pathlib import Path

import pytest

from agent import cli
from agent.jobs.table import TIMERS
from agent.settings import Settings
from cloudapi import cli as cloud_cli

ROOT = Path(__file__).resolve().parents[2]
SETTINGS, README = (ROOT / "docs" / "settings.md").read_text(), (ROOT / "README.md").read_text()


def test_every_setting_is_documented_and_no_other():
    """An operator reads one table."""
    table = SETTINGS.split("## Jobs")[0]
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE))

    assert documented == set(Settings.model_fields)


def test_every_job_stands_with_its_schedule():
    """A schedule in the docs that is not the real one is worse than none."""
    for name, timer in TIMERS.items():
        assert f"| `{name}` | `{timer.schedule}` |" in SETTINGS


@pytest.mark.parametrize(
    ("command", "group"), [("oddsd", cli.commands), ("oddsd-cloud", cloud_cli.commands)], ids=["edge", "cloud"]
)
def test_every_command_is_in_the_readme(command, group):
    """What the README does not name, a newcomer does not find."""
    for name in group.commands:
        assert re.search(rf"`{command} {name}\b", README), name
