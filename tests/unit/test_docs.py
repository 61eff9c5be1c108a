"""Docs are part of the product: every setting, job and command stands in them, and nothing that is gone does."""

import re
from pathlib import Path

import click
import pytest

from agent import cli, settings_faults
from agent.jobs.table import TIMERS
from agent.settings import Settings
from agent.settings_tables import RetentionSettings, SelectionSettings
from cloudapi import app as cloud_app
from cloudapi import cli as cloud_cli
from cloudapi.settings import CloudSettings
from cloudapi.tiers import ENTITLEMENTS
from cloudapi.web import pages

ROOT = Path(__file__).resolve().parents[2]
SETTINGS, README = (ROOT / "docs" / "settings.md").read_text(), (ROOT / "README.md").read_text()
API, DASHBOARD = (ROOT / "docs" / "api.md").read_text(), (ROOT / "docs" / "dashboard.md").read_text()


def test_every_setting_is_documented_and_no_other():
    """An operator reads one table."""
    table = SETTINGS.split("## Jobs")[0]
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE))

    assert documented == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("heading", "table"),
    [("Selection", SelectionSettings), ("Retention", RetentionSettings)],
    ids=["selection", "retention"],
)
def test_every_key_of_a_table_stands_with_its_default_and_reason(heading, table):
    """A threshold without its reason cannot be argued with."""
    section = SETTINGS.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([a-z0-9_]+)` \| (.+?) \| (.+?) \|$", section, re.MULTILINE)

    defaults = {name: field.default for name, field in table.model_fields.items()}
    told = {name: "none" if default == () else f"`{default:g}`" for name, default in defaults.items()}
    assert {name: default for name, default, _ in rows} == told
    assert {name: why for name, _, why in rows} == {
        name: field.description for name, field in table.model_fields.items()
    }


def test_every_job_stands_with_its_schedule():
    """A schedule in the docs that is not the real one is worse than none."""
    for name, timer in TIMERS.items():
        assert f"| `{name}` | `{timer.schedule}` |" in SETTINGS


@pytest.mark.parametrize(
    ("command", "group"), [("oddsd", cli.commands), ("oddsd-cloud", cloud_cli.commands)], ids=["edge", "cloud"]
)
def test_every_command_is_in_the_readme(command, group):
    """What the README does not name, a newcomer does not find."""
    for name in group.list_commands(click.Context(group)):
        assert re.search(rf"`{command} {name}\b", README), name


def test_every_route_is_documented():
    """What is not written down is found by accident."""
    paths = {path for handler in cloud_app.HANDLERS for path in handler.paths}

    assert not {path for path in paths if re.sub(r":\w+", "", path) not in API}


def test_every_page_of_the_dashboard_is_documented():
    """A page nobody tells of is found by whoever mistypes an address. Forms and files are parts of pages."""
    paths = {path for handler in pages.HANDLERS if "GET" in handler.http_methods for path in handler.paths}
    told = {re.sub(r"/ID\b", "/{}", path) for path in re.findall(r"`(/[^`?]*)", DASHBOARD)}

    unlike_pages = {"/app", "/app/static/{}/{}", "/app/{}"}
    assert {re.sub(r"\{[^}]*\}", "{}", path) for path in paths} - unlike_pages <= told


def test_every_variable_of_the_service_is_documented():
    """One table for whoever deploys it."""
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", API, re.MULTILINE))

    assert {name.removeprefix("ODDSD_").lower() for name in documented} == set(CloudSettings.model_fields)


def test_tiers_are_documented_as_the_code_has_them():
    """A subscriber pays for what this table says."""
    for tier, right in ENTITLEMENTS.items():
        insights = "all" if right.insights_per_day is None else f"{right.insights_per_day} of the day"
        row = (
            f"| {tier} | {', '.join(right.series_intervals)} | {right.price_delay_s // 60} min | {insights} |"
            f" {'yes' if right.predictions else 'no'} | {'yes' if right.arbitrage else 'no'} |"
            f" {'yes' if right.signals else 'no'} | {right.requests_per_minute} |"
        )
        assert row in API


def test_the_edge_does_not_take_the_services_variables_for_misspelt_ones():
    """Both may run in one environment, as on a developer's machine."""
    assert set(CloudSettings.model_fields) <= settings_faults.OTHER_ENVIRONMENT | set(Settings.model_fields)
