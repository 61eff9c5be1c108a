"""The role's own books: every variable has a type and a default, every file the tasks name is there."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.e2e.host.releases import wheelhouse_builder

jinja2 = pytest.importorskip("jinja2")
yaml = pytest.importorskip("yaml")

ANSIBLE = Path(__file__).resolve().parents[3] / "ansible"
ROLE = ANSIBLE / "roles" / "oddsd_edge"
TASKS = sorted((ROLE / "tasks").glob("*.yml"))


def _load(path: Path):
    return yaml.safe_load(path.read_text())


def test_every_variable_of_the_role_has_its_type_and_no_other_is_specified():
    """argument_specs stop a typo before anything changes: they must know every variable."""
    defaults = _load(ROLE / "defaults" / "main.yml")
    options = _load(ROLE / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]

    assert set(defaults) == set(options)
    assert all({"type", "description"} <= set(option) for option in options.values())
    told = {name: option["default"] for name, option in options.items() if "default" in option}
    assert told == {name: defaults[name] for name in told}


def test_every_variable_that_is_read_exists():
    """A misspelt name is an error only on the host where that task runs."""
    known = set(_load(ROLE / "defaults" / "main.yml")) | set(_load(ROLE / "vars" / "main.yml"))
    files = [*ROLE.rglob("*.yml"), *ROLE.rglob("*.j2")]
    text = "\n".join(path.read_text() for path in files)
    set_here = set(re.findall(r"register: (__oddsd_edge_\w+)", text)) | set(
        re.findall(r"(?m)^\s+(__oddsd_edge_\w+):", text)
    )
    read = set(re.findall(r"\b(_*oddsd_edge_\w+)", text))

    assert read - known - set_here == set()


def test_secrets_are_never_shown():
    """Every task that handles a secret hides what it prints; a copy would show it in its diff too."""
    tasks = [task for path in TASKS for task in _flat(_load(path))]
    secret = re.compile(r"__oddsd_edge_credentials\b(?!_dir)|item\.value|stdin|(environment|users)\.j2")
    risky = [
        task for task in tasks
        if secret.search(str({key: task[key] for key in task if key in {"loop", "ansible.builtin.command",
                                                                        "ansible.builtin.copy", "ansible.builtin.template"}}))
    ]  # fmt: skip

    assert len(risky) >= 5
    assert [task["name"] for task in risky if task.get("no_log") is not True] == []
    written = [task for task in risky if "ansible.builtin.command" not in task]
    assert [task["name"] for task in written if task.get("diff") is not False] == []


def test_files_and_tasks_that_are_named_exist():
    """A moved file is found here, not on a host."""
    text = "\n".join(path.read_text() for path in TASKS)

    for name in re.findall(r"(?:import|include)_tasks: (\w+\.yml)", text):
        assert (ROLE / "tasks" / name).is_file(), name
    for name in re.findall(r"src: (\w+[\w.]*\.j2)", text):
        assert (ROLE / "templates" / name).is_file(), name
    for name in re.findall(r"__oddsd_edge_units \}\}/([\w./-]+)\"", text):
        assert (ANSIBLE.parent / "systemd" / name).is_file(), name


def test_the_wheelhouse_takes_what_a_host_needs_and_nothing_else():
    """pip judges conditions by the Python it runs on, not by the host's: the builder must judge them itself."""
    builder = wheelhouse_builder()
    lock = (
        "colorama==1 ; sys_platform == 'win32' \\\n    --hash=sha256:aa\n"
        "numpy==2.4 ; python_full_version < '3.12' \\\n    --hash=sha256:bb\n"
        "numpy==2.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:cc\n"
        "rich==15 \\\n    --hash=sha256:dd \\\n    --hash=sha256:ee\n"
    )

    old, new = builder.locked_for(lock, "3.11"), builder.locked_for(lock, "3.13")

    assert [line.split()[0] for line in old.splitlines() if line[0] != " "] == ["numpy==2.4", "rich==15"]
    assert [line.split()[0] for line in new.splitlines() if line[0] != " "] == ["numpy==2.5", "rich==15"]
    assert "sha256:cc" not in old
    assert "sha256:ee" in old


def test_the_configuration_is_written_as_toml_that_means_the_same():
    """Quotes, backslashes, signs beyond ASCII, lists and tables in tables must come back as they were given."""
    values = {
        "host_id": "home-1",
        "mqtt_port": 8883,
        "ai_daily_cap_usd": 0.5,
        "predict_within": False,
        "mqtt_username": None,
        "mqtt_password": 'a "quoted" \\ back\\slash · 🎲',
        "venues": ["polymarket", "kalshi"],
        "selection": {"watch": ["KX", "Ä"], "analyse_max_spread": 0.1},
        "patterns": {"guard": {"max_age_min": 90}, "momentum": {"enabled": False}},
    }
    template = _environment().from_string((ROLE / "templates" / "oddsd.toml.j2").read_text())

    written = template.render(__oddsd_edge_config=values, ansible_managed="Ansible managed")

    assert tomllib.loads(written) == {name: value for name, value in values.items() if value is not None}


def test_a_secret_that_is_written_is_also_named_in_the_unit():
    """`--tags credentials` alone would else leave a file that systemd hands to nobody."""
    tasks = [task for path in TASKS for task in _flat(_load(path))]
    (named,) = [task for task in tasks if task.get("ansible.builtin.template", {}).get("src") == "credentials.conf.j2"]
    (folder,) = [
        task for task in tasks if task.get("ansible.builtin.file", {}).get("path") == "{{ __oddsd_edge_dropin_dir }}"
    ]

    assert "credentials" in named["tags"]
    assert "credentials" in folder["tags"]


def test_every_tag_the_role_tells_of_stands_at_its_tasks():
    """ansible-playbook runs nothing under an unknown tag, and calls that a success."""
    told = re.search(r"(?m)^\| tags \| (.*) \|$", (ROLE / "README.md").read_text())
    used = {tag for path in TASKS for task in _flat(_load(path)) for tag in task.get("tags", ())}

    assert told is not None
    assert set(re.findall(r"`(\w+)`", told[1])) == used - {"always"}


def test_an_uninstall_closes_the_brokers_port():
    """A listener goes with the restart, not with its file."""
    tasks = list(_flat(_load(ROLE / "tasks" / "uninstall.yml")))
    (closing,) = [task for task in tasks if "/etc/mosquitto/conf.d/oddsd.conf" in str(task)]

    assert closing["notify"] == "Restart mosquitto"


def test_a_secret_in_an_environment_file_is_handed_over_as_it_is():
    """systemd knows no \\u: a letter beyond ASCII would arrive as six others."""
    secret = 'pä"ss\\wörd$'
    template = _environment().from_string((ROLE / "templates" / "environment.j2").read_text())

    written = template.render(__oddsd_edge_credentials={"mqtt_password": secret})

    assert written == 'ODDSD_MQTT_PASSWORD="pä\\"ss\\\\wörd$"\n'


def test_what_is_built_on_the_control_machine_is_not_asked_of_a_hosts_index(tmp_path):
    """An index has other bytes under that name, or none that needs no compiler: the archive's own wheel is the one."""
    wheels = [tmp_path / "oddsd-1.0-py3-none-any.whl", tmp_path / "some_source-2.0-py3-none-any.whl"]
    for wheel in wheels:
        wheel.write_bytes(wheel.name.encode())
    lock = (
        "rich==15 \\\n    --hash=sha256:dd \\\n    --hash=sha256:ee\n"
        "some-source==2.0 ; sys_platform == 'linux' \\\n    --hash=sha256:ff\n"
    )

    asked = wheelhouse_builder()._asked_of_the_index(lock, wheels)

    assert re.findall(r"(?m)^[\w-]+==\S+", asked) == ["rich==15", "oddsd==1.0", "some-source==2.0"]
    assert "sha256:ee" in asked
    assert "sha256:ff" not in asked


def test_uv_is_pinned_for_both_kinds_of_processor():
    """A host gets the program the lock names, or none."""
    lock = (ANSIBLE.parent / ".locks" / "uv.txt").read_text()

    assert [entry.partition("==")[0] for entry in wheelhouse_builder().entries(lock)] == ["uv"]
    assert lock.count("--hash=sha256:") > 2


def _environment():
    """Jinja as Ansible sets it, with the one filter of its own that our templates use."""
    environment = jinja2.Environment(trim_blocks=True, autoescape=False)
    environment.filters["to_json"] = json.dumps
    return environment


def _flat(tasks):
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from _flat(task.get(part, []))
