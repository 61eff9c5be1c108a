"""What is deployed agrees with the code: variables, commands, routes, waits and locks, file by file.

No file of a platform is run here; each is parsed and held against the settings classes, the command tables and the
tree. Images and the compose file are built for real by .github/workflows/ci.yml.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from cronsim import CronSim

from agent import cli as edge_cli
from agent.core.instants import EPOCH
from agent.settings import Settings, load_settings
from cloudapi import app as cloud_app
from cloudapi import cli as cloud_cli
from cloudapi.settings import CloudSettings, Environment
from tests.report import environment

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "cloudapi" / "deploy"
WORKFLOWS = ROOT / ".github" / "workflows"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
RAILWAY, STANDBY = (json.loads((DEPLOY / name).read_text()) for name in ("railway.json", "railway.standby.json"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
DOCS = (ROOT / "docs" / "deploy.md").read_text()

CLOUD_SERVICES, EDGE_SERVICES = ("migrate", "api", "worker"), ("edge", "standby")
# Read by the platform, not by us.
PLATFORM = {"SIDE", "RAILWAY_RUN_UID"}
POSTGRES_CONNECTIONS = 100  # its default; three are kept for the owner


def names_of(settings):
    """Every variable a settings class answers to."""
    aliases = [field.validation_alias for field in settings.model_fields.values()]
    choices = {str(choice) for alias in aliases if alias for choice in alias.choices}
    return choices | {f"ODDSD_{name.upper()}" for name in settings.model_fields}


def interpolated(text):
    """As compose fills it in where .env has nothing."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def profile(name):
    """A file of variables as pasted into the platform, its references and blanks filled in."""
    rows = [line for line in (DEPLOY / name).read_text().splitlines() if line and not line.startswith("#")]
    values = dict(row.split("=", 1) for row in rows)
    known = {"${{Postgres.DATABASE_URL}}": "postgresql://u:p@db/railway", "${{Redis.REDIS_URL}}": "redis://redis:6379"}
    return {key: re.sub(r"<[^>]*>", "x" * 32, known.get(value, value)) for key, value in values.items()}


def command_exists(words):
    """Whether `oddsd …` or `oddsd-cloud …` is one of our commands; other programs are not ours to judge."""
    program, *rest = words
    if program == "oddsd-standby":
        return (DEPLOY / "standby").exists()
    group = {"oddsd": edge_cli.commands, "oddsd-cloud": cloud_cli.commands}.get(program)
    return group is None or rest[0] in group.list_commands(click.Context(group))


def test_the_example_of_variables_is_what_the_settings_say():
    """A variable that is not in it is found by nobody, one too many is set in vain. Red: `make env-example`."""
    assert environment.TARGET.read_text() == environment.example(), "run: make env-example"


def test_the_example_names_every_variable_and_sets_none():
    """Copied as it is, it changes nothing."""
    text = environment.TARGET.read_text()
    named = {name.split("__")[0] for name in re.findall(r"^#([A-Z_0-9]+)=", text, re.MULTILINE)}

    assert {f"ODDSD_{name.upper()}" for name in Settings.model_fields} <= named
    assert {name.removeprefix("ODDSD_").lower() for name in named} >= set(CloudSettings.model_fields)
    assert not re.findall(r"^[A-Z]", text, re.MULTILINE)


def test_the_example_is_read_by_a_shell_with_every_line_in_use():
    """Whoever takes all the # away gets the defaults, not a complaint about a space or a bracket."""
    used = re.sub(r"^#([A-Z_0-9]+=)", r"\1", environment.TARGET.read_text(), flags=re.MULTILINE)

    said = subprocess.run(["sh", "-eu"], input=used.encode(), capture_output=True, timeout=10, check=False)

    assert (said.returncode, said.stderr) == (0, b"")


# --- the compose file ---------------------------------------------------------------------------------------------


def test_every_service_of_compose_refers_to_what_is_there():
    """A misspelt name shows when somebody starts it, unless it shows here."""
    services = COMPOSE["services"]

    for name, service in services.items():
        assert service["image"], name
        for needed, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            assert condition in {"service_healthy", "service_completed_successfully"}, name
            assert (condition == "service_healthy") == ("healthcheck" in services[needed]), f"{name} waits for {needed}"
        for volume in service.get("volumes", ()):
            assert volume.split(":")[0] in COMPOSE["volumes"], name
        for config in service.get("configs", ()):
            assert COMPOSE["configs"][config["source"]]["content"]
        if "build" in service:
            context = (DEPLOY / service["build"]["context"]).resolve()
            assert (context, (context / service["build"]["dockerfile"]).is_file()) == (ROOT, True)
            assert f"AS {service['build']['args']['SIDE']}" in DOCKERFILE


# What the compose specification lets a service say, and in which form, of what ours say.
DURATION = re.compile(r"(\d+(us|ms|s|m|h))+")
SERVICE = {
    "image": str, "build": dict, "restart": str, "read_only": bool, "tmpfs": list, "cap_drop": list, "security_opt": list,
    "env_file": list, "environment": dict, "volumes": list, "healthcheck": dict, "command": list, "ports": list,
    "configs": list, "depends_on": dict, "stop_grace_period": str, "profiles": list,
}  # fmt: skip
HEALTHCHECK = {"test": list, "interval": str, "timeout": str, "start_period": str, "retries": int}


def test_compose_says_what_the_specification_knows():
    """A key nobody knows is refused at once where compose runs; here it would be found by whoever tries it first."""
    assert set(COMPOSE) - {key for key in COMPOSE if key.startswith("x-")} == {"name", "services", "configs", "volumes"}
    for name, service in COMPOSE["services"].items():
        for key, value in service.items():
            assert type(value) is SERVICE[key], f"{name}.{key}"
        health = service.get("healthcheck", {})
        assert all(type(value) is HEALTHCHECK[key] for key, value in health.items()), name
        spans = [health.get(key) for key in ("interval", "timeout", "start_period")] + [
            service.get("stop_grace_period")
        ]
        assert all(DURATION.fullmatch(span) for span in spans if span is not None), name
        assert service.get("restart", "no") in {"no", "always", "on-failure", "unless-stopped"}, name
        assert all(type(value) is str for value in service.get("environment", {}).values()), name
        if health:
            assert health["test"][0] in {"CMD", "CMD-SHELL", "NONE"}, name
        assert set(service.get("build", {})) <= {"context", "dockerfile", "args"}, name


def test_compose_opens_no_port_to_the_network():
    """Its passwords are for a laptop, its broker asks for none."""
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_asks_only_for_variables_the_example_explains():
    """`${NAME}` without a line in .env.example is a riddle."""
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    explained = set(re.findall(r"^#(\w+)=", environment.TARGET.read_text(), re.MULTILINE))

    assert asked <= explained
    assert set(environment.COMPOSE) <= asked
    told = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (DEPLOY / "compose.yaml").read_text()))
    assert {name: told[name] for name in environment.COMPOSE} == {n: d for n, (d, _) in environment.COMPOSE.items()}


@pytest.mark.parametrize("name", CLOUD_SERVICES)
def test_the_services_of_the_cloud_start_with_what_compose_gives_them(name, monkeypatch):
    """No unknown variable, none missing."""
    given = COMPOSE["services"][name]["environment"]
    for key, value in given.items():
        monkeypatch.setenv(key, interpolated(value))

    settings = CloudSettings.load()

    assert set(given) <= names_of(CloudSettings)
    assert settings.redis_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://postgres:laptop@db:5432/oddsd"


@pytest.mark.parametrize("name", EDGE_SERVICES)
def test_the_edges_of_compose_start_with_what_it_gives_them(name, monkeypatch):
    """They sign in with the least rights, and no variable is misspelt."""
    given = COMPOSE["services"][name]["environment"]
    for key, value in given.items():
        monkeypatch.setenv(key, interpolated(value))

    settings = load_settings()

    assert set(given) <= names_of(Settings)
    assert settings.database_url.get_secret_value().startswith("postgresql://edge_ingest:")
    assert settings.mqtt_host in COMPOSE["services"]


def test_every_command_that_is_deployed_exists():
    """Compose, Railway, the image and its own start."""
    started = [service["command"] for service in COMPOSE["services"].values() if "command" in service]
    started += [RAILWAY["deploy"]["startCommand"].split(), STANDBY["deploy"]["startCommand"].split()]
    started += [command.split() for command in RAILWAY["deploy"]["preDeployCommand"]]
    started += [json.loads(words) for words in re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)]

    assert not [words for words in started if not command_exists(words)]


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not here: compose.yaml is checked by hand only")
def test_compose_itself_accepts_the_file():
    """Its own reader knows more than ours."""
    version = subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=20, check=False)
    if version.returncode:
        pytest.skip("this docker has no compose: compose.yaml is checked by hand only")
    file = ["--file", str(DEPLOY / "compose.yaml"), "--profile", "standby"]
    said = subprocess.run(
        ["docker", "compose", *file, "config", "--quiet"], capture_output=True, timeout=60, check=False
    )

    assert said.returncode == 0, said.stderr.decode()


# --- Railway ------------------------------------------------------------------------------------------------------


def test_railways_numbers_are_numbers():
    """A wait written as text is refused, or counts as zero seconds between SIGTERM and SIGKILL."""
    deploy = RAILWAY["deploy"]

    for name in ("drainingSeconds", "overlapSeconds", "healthcheckTimeout", "restartPolicyMaxRetries"):
        assert type(deploy[name]) is int, name
    replicas = [region["numReplicas"] for region in deploy["multiRegionConfig"].values()]
    assert replicas == [2]


def test_railway_asks_a_route_that_answers_without_a_key():
    """A health check that is refused stops every release."""
    handlers = {path: handler for handler in cloud_app.HANDLERS for path in handler.paths}

    assert handlers[RAILWAY["deploy"]["healthcheckPath"]].opt.get("public")


@pytest.mark.parametrize("config", [RAILWAY, STANDBY], ids=["api", "standby"])
def test_railway_builds_from_files_that_are_there(config):
    """Its paths count from the top of the repository."""
    assert (ROOT / config["build"]["dockerfilePath"]).is_file()
    assert all((ROOT / pattern.removesuffix("/**")).exists() for pattern in config["build"]["watchPatterns"])


@pytest.mark.parametrize("name", ["staging.env", "production.env"])
def test_a_profile_is_whole_and_fits_the_platforms_waits(name, monkeypatch):
    """Strict settings, no unknown variable, drained before the kill, and two releases at once fit the database."""
    given = profile(name)
    for key, value in given.items():
        monkeypatch.setenv(key, value)

    settings = CloudSettings.load()

    assert set(given) <= names_of(CloudSettings)
    assert settings.env is Environment.PRODUCTION
    assert settings.metrics_token is not None
    assert settings.drain_s < RAILWAY["deploy"]["drainingSeconds"]
    place = RAILWAY["environments"].get(name.removesuffix(".env"), RAILWAY)["deploy"]["multiRegionConfig"]
    replicas = sum(region["numReplicas"] for region in place.values())
    assert 2 * (replicas + 1) * settings.pool_size < POSTGRES_CONNECTIONS  # the worker has a pool too


def test_the_standby_of_railway_is_an_edge_that_starts(monkeypatch):
    """Its variables are the edge's, its image is the edge's, its hour is 07:00 UTC, and it is not started again."""
    given = profile("standby.env")
    for key in given.keys() - PLATFORM:
        monkeypatch.setenv(key, given[key])

    settings = load_settings()

    assert given.keys() - PLATFORM <= names_of(Settings)
    assert (given["SIDE"], settings.host_id) == ("edge", "standby")
    assert settings.database_url is not None
    assert next(CronSim(STANDBY["deploy"]["cronSchedule"], EPOCH)).strftime("%H:%M") == "07:00"
    assert STANDBY["deploy"]["restartPolicyType"] == "NEVER"


# --- the image ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["cloud", "edge"])
def test_an_image_installs_by_hash_from_a_lock_without_the_embedded_database(side):
    """A server that trusts every local user has no place in it; neither has a registry's address."""
    lock = (ROOT / ".locks" / f"{side}.txt").read_text()
    entries = [line for line in lock.splitlines() if line[:1].isalnum()]

    assert entries
    assert "pgserver" not in lock
    assert "http" not in lock.replace("httpx", "").replace("httpcore", "").replace("httptools", "").replace(
        "httpie", ""
    )
    assert all("==" in line and line.endswith("\\") for line in entries)
    assert f"AS {side}\n" in DOCKERFILE


def test_the_sides_hold_what_they_import_and_not_the_other():
    """Each image is small because the other side is not in it."""
    names = {
        side: set(re.findall(r"^([a-z0-9-]+)==", (ROOT / ".locks" / f"{side}.txt").read_text(), re.MULTILINE))
        for side in ("cloud", "edge")
    }

    assert {"asyncpg", "msgspec", "structlog"} <= names["cloud"] & names["edge"]
    assert not names["cloud"] & {"numpy", "groq", "aiosqlite"}
    assert not names["edge"] & {"litestar", "sqlalchemy", "uvicorn", "redis"}


def test_the_image_copies_what_is_there_and_runs_as_a_user():
    """And nothing of the tree that it does not name."""
    sources = [
        source
        for copied in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for source in [word for word in copied.split() if not word.startswith("--")][:-1]
    ]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()

    for source in (source.replace("${SIDE}", "cloud") for source in sources):
        assert (ROOT / source).exists(), source
        assert f"!{source.split('/')[0]}" in ignored
    assert ignored[1] == "*"
    final = DOCKERFILE.split("AS runtime")[1]
    assert final.index("USER oddsd") < final.index("CMD")
    assert "USER root" not in DOCKERFILE


# --- workflows ----------------------------------------------------------------------------------------------------


def workflow(name):
    """A workflow; `on` is a word YAML 1.1 takes for true."""
    read = yaml.safe_load((WORKFLOWS / name).read_text())
    return read | {"on": read.pop(True)}


def steps(name):
    """All steps of all jobs."""
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", sorted(path.name for path in WORKFLOWS.glob("*.yml")))
def test_a_workflow_may_only_read_and_its_scripts_are_scripts(name):
    """What a stolen token could do, and what a typo would cost a night."""
    assert workflow(name)["permissions"] == {"contents": "read"}
    for job in workflow(name)["jobs"].values():
        assert job["timeout-minutes"]
    for step in steps(name):
        script = re.sub(r"\$\{\{.*?\}\}", "x", step.get("run", ":"))
        assert subprocess.run(["bash", "-n"], input=script.encode(), timeout=10, check=False).returncode == 0
        assert re.search(r"@v\d+$", step.get("uses", "@v1"))


def test_the_standby_workflow_runs_at_seven_and_by_hand_with_a_window():
    """Its only input reaches the script, as a value and never as a part of a command."""
    on = workflow("standby.yml")["on"]
    (work,) = [step for step in steps("standby.yml") if "deploy/standby" in step.get("run", "")]

    assert on["schedule"] == [{"cron": "0 7 * * *"}]
    assert list(on["workflow_dispatch"]["inputs"]) == ["window_days"]
    assert work["env"]["WINDOW_DAYS"] == "${{ inputs.window_days }}"
    assert '"$WINDOW_DAYS"' in work["run"]
    assert not any("${{" in step.get("run", "") for step in steps("standby.yml"))
    ours = set(work["env"]) - {"STANDBY_SUMMARY", "WINDOW_DAYS", "CLOUD_CA"}
    assert ours <= names_of(Settings)
    (kept,) = [step for step in steps("standby.yml") if "upload-artifact" in step.get("uses", "")]
    assert work["env"]["STANDBY_SUMMARY"].endswith(kept["with"]["path"])


def test_the_standby_workflow_fails_before_it_does_anything_without_a_database():
    """Five seconds, not the price of a day's forecasts."""
    first = steps("standby.yml")[0]
    script = first["run"]

    without = subprocess.run(["bash", "-e", "-c", script], env={}, capture_output=True, timeout=10, check=False)
    given = {"DATABASE_URL": "postgresql://x"}
    with_one = subprocess.run(["bash", "-e", "-c", script], env=given, capture_output=True, timeout=10, check=False)

    assert first["env"] == {"DATABASE_URL": "${{ secrets.DATABASE_URL }}"}
    assert (without.returncode, with_one.returncode) == (78, 0)
    assert b"DATABASE_URL is not set" in without.stdout


# --- the words ----------------------------------------------------------------------------------------------------


def test_the_guide_names_every_file_that_is_deployed():
    """A file nobody tells of is a file nobody uses."""
    ours = [*DEPLOY.iterdir(), *WORKFLOWS.iterdir(), environment.TARGET]
    told = [path.name for path in ours if path.name not in {"warm.py", "Dockerfile.dockerignore", "__pycache__"}]

    assert not [name for name in told if f"`{name}`" not in DOCS and f"/{name}`" not in DOCS]


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_links_within_the_docs_lead_somewhere(page):
    """A newcomer follows them."""
    here = ROOT / page
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", here.read_text()):
        assert (here.parent / target).exists(), target
