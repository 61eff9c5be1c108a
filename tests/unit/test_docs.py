"""Docs are part of the product: every setting, job and command stands in them, and nothing that is gone does."""

import re
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from agent import cli, settings_faults
from agent.jobs import errands, sessions
from agent.jobs.table import TIMERS
from agent.settings import Settings
from agent.settings_tables import RetentionSettings, SelectionSettings
from cloudapi import app as cloud_app
from cloudapi import cli as cloud_cli
from cloudapi.settings import CloudSettings
from cloudapi.tiers import DAY_S, ENTITLEMENTS, HOUR_S, Tier
from cloudapi.web import pages
from tests.report.environment import shown

ROOT = Path(__file__).resolve().parents[2]
SETTINGS, README = (ROOT / "docs" / "settings.md").read_text(), (ROOT / "README.md").read_text()
SYNC, DEPLOY = (ROOT / "docs" / "sync.md").read_text(), (ROOT / "docs" / "deploy.md").read_text()
SESSIONS = (ROOT / "docs" / "sessions.md").read_text()
API, DASHBOARD = (ROOT / "docs" / "api.md").read_text(), (ROOT / "docs" / "dashboard.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
# What sends people to files: pages, units, and what is deployed.
TELLING = [*PAGES, *sorted(path for path in (ROOT / "systemd").rglob("*") if path.is_file()),
           *sorted(path for path in (ROOT / "cloudapi" / "deploy").iterdir() if path.is_file())]  # fmt: skip


def test_every_setting_is_documented_and_no_other():
    """An operator reads one table."""
    table = SETTINGS.split("## Jobs")[0]
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE))

    assert documented == set(Settings.model_fields)


@pytest.mark.parametrize(
    ("settings", "page"), [(Settings, SETTINGS.split("## Jobs")[0]), (CloudSettings, API)], ids=["edge", "cloud"]
)
def test_every_default_that_is_told_is_the_real_one(settings, page):
    """An operator leaves out what the table says is so anyway."""
    told = {
        name.removeprefix("ODDSD_").lower(): default
        for name, default in re.findall(r"^\| `([A-Za-z_]+)` \| ([^|]*) \|", page, re.MULTILINE)
    }

    for name, field in settings.model_fields.items():
        if re.fullmatch(r"`[^`]+`", told[name]):
            assert told[name].strip("`").replace(", ", ",") == shown(field), name
        elif told[name] in {"unset", "none", "required"}:
            assert shown(field) == "", name


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
    words = {"latest": "the latest slot", "none": "none"}
    for name, timer in TIMERS.items():
        assert f"| `{name}` | `{timer.schedule}` | {words[timer.missed]}" in SETTINGS


def test_every_jitter_stands_as_it_is():
    """Whoever wonders why a job begins late looks there."""
    row = next(line for line in SETTINGS.splitlines() if line.startswith("| `jitter_s` |"))
    told = dict[str, float]()
    for seconds, jobs in re.findall(r"(\d+) for ((?:`[a-z-]+`(?:, )?)+)", row):
        told |= dict.fromkeys(re.findall(r"`([a-z-]+)`", jobs), float(seconds))

    assert told == {name: timer.jitter_s for name, timer in TIMERS.items() if timer.jitter_s}


def test_every_kind_of_request_is_documented():
    """What the cloud may ask of a machine at home is the first thing its owner wants to know."""
    for kind in (*errands.handlers(None), sessions.KIND):  # type: ignore[arg-type]  # nothing is run
        assert f"`{kind}`" in SYNC.split("## Requests from the cloud")[1].split("\n## ")[0]


def test_the_edges_rights_are_counted_as_they_are_granted():
    """Whoever lets a machine into the database reads how many functions it may call."""
    role = (ROOT / "sync" / "sql" / "edge_role.sql").read_text()
    n = {6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}[role.count("\ngrant execute on function ")]

    assert f"which may call {n} functions and touch no table" in SYNC
    assert f"the login `edge_ingest`: {n} functions, no table" in DEPLOY
    assert f"nothing but {n} functions\n" in DEPLOY


def printed_commands():
    """Each `oddsd …` of the docs with its page: in backticks, or a line of a block."""
    for page in PAGES:
        text = page.read_text()
        spans = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^(?: {4}|\| `)(.+)$", text, re.MULTILINE)
        for span in spans:
            yield from ((page.name, said) for said in re.findall(r"(?<![\w./=-])(oddsd(?:-cloud)? [a-z].*)", span))


def test_every_printed_command_exists_with_its_options():
    """A command that fails as it is printed costs the reader his trust in all the others."""
    groups, n_seen = {"oddsd": cli.commands, "oddsd-cloud": cloud_cli.commands}, 0
    for page, said in printed_commands():
        program, *words = re.split(r"\s+", re.split(r"[#;`)]|  ", said)[0].strip())
        command, context = groups[program], click.Context(groups[program])
        while isinstance(command, click.Group) and words:
            found = command.get_command(context, re.split(r"\\?\|", words[0])[0])
            if found is None:
                break
            command, words = found, words[1:]
        assert command is not groups[program], f"{page}: {said}"
        if isinstance(command, click.Group) and (default := command.get_command(context, "list")) is not None:
            command = default  # `oddsd runs` lists
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        n_seen += 1
        assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(words))) <= known, f"{page}: {said}"
    assert n_seen > 80


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in TELLING])
def test_every_file_that_is_named_is_there(page):
    """Docs and units send people to files; a moved one sends them nowhere."""
    rooms = r"(?<![\w./-])(?:agent|sync|cloudapi|tests|docs|systemd|ansible|\.ci|\.locks|\.github)"
    named = set(re.findall(rf"({rooms}/[\w./-]*\w)", (ROOT / page).read_text()))

    assert not [name for name in named if not list(ROOT.glob(f"{name}*"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_anchor_leads_to_a_heading(page):
    """A link into a page that ends at its top leaves the reader searching."""
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
        headings = re.findall(r"^#+ (.*)$", ((page.parent / file) if file else page).read_text(), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, anchor


def test_help_lists_every_target():
    """`make help` is the README's table of what there is for developers."""
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = ["make", "--no-print-directory", "help"]  # a make within a make tells which folder it enters
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=20).stdout

    assert [line.split()[0] for line in said.splitlines()] == targets
    assert "e2e" in targets


def test_every_library_has_a_word_in_the_architecture():
    """A dependency nobody can say a sentence for is one too many."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[\[<>=]", one)[0] for one in asked} - {"oddsd"}
    table = (ROOT / "ARCHITECTURE.md").read_text().split("## Libraries")[1].split("\n## ")[0]

    assert not {name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", table)}


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
        when = {0: "as they land", HOUR_S: "by the hour", DAY_S: "by the day"}
        second = (
            f"| {tier} | {when[right.insights_every_s]} | {when[right.benchmark_every_s]} |"
            f" {'yes' if right.deep_analysis else 'no'} | {right.live_streams} | {right.requests_per_month} |"
        )
        assert second in API
    assert (
        f"premium {ENTITLEMENTS[Tier.PREMIUM].credits_per_month}, pro {ENTITLEMENTS[Tier.PRO].credits_per_month}"
        in SESSIONS
    )


def test_the_edge_does_not_take_the_services_variables_for_misspelt_ones():
    """Both may run in one environment, as on a developer's machine."""
    assert set(CloudSettings.model_fields) <= settings_faults.OTHER_ENVIRONMENT | set(Settings.model_fields)
