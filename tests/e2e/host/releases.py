"""Other releases of the project for a machine to go to: the same code under another number, or a broken one."""

import importlib.util
import platform
import re
import shutil
import tarfile
from pathlib import Path
from types import ModuleType

from tests.e2e.host.tree import ROOT

PARTS = ("agent", "cloudapi", "sync", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")


def add_release(wheelhouse: Path, version: str, *, spoil: tuple[str, str] | None = None) -> None:
    """Put an archive of that version beside the ones that are there, with the same packages.

    Args:
        spoil: a file of the project and what is added to its end.
    """
    builder = wheelhouse_builder()
    (archive,) = wheelhouse.glob(f"oddsd-{own_version()}-cp*.tar")
    work = wheelhouse.parent / f"release-{version}"
    source = work / "source"
    source.mkdir(parents=True)
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, source / part)
    project = source / "pyproject.toml"
    project.write_text(re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', project.read_text()))
    if spoil is not None:
        with (source / spoil[0]).open("a") as file:
            file.write(spoil[1])
    with tarfile.open(archive) as tar:
        tar.extractall(work / "packages", filter="data")
    wheels = [wheel for wheel in sorted((work / "packages").glob("*.whl")) if not wheel.name.startswith("oddsd-")]
    own = builder._own_wheel(source, work)
    target = wheelhouse / archive.name.replace(own_version(), version)
    builder._pack(target, [own, *wheels], requirements="".join(map(builder._pin, [own, *wheels])))
    with tarfile.open(wheelhouse / f"oddsd-{own_version()}-registry.tar") as tar:
        carried = [wheel for wheel in wheels if wheel.name in tar.getnames()]
    asked = builder._asked_of_the_index((ROOT / ".locks/edge.txt").read_text(), [own, *carried])
    builder._pack(wheelhouse / f"oddsd-{version}-registry.tar", [own, *carried], requirements=asked)
    shutil.rmtree(work)


def cloud_wheels(wheelhouse: Path, into: Path) -> None:
    """What `pip install -r .locks/cloud.txt` and the project would fetch, for a machine that reaches no index."""
    (archive,) = wheelhouse.glob(f"oddsd-{own_version()}-cp*.tar")
    python = archive.name.split("-cp")[1].split("-")[0]
    wheels, _ = wheelhouse_builder()._wheels(
        ROOT / ".locks/cloud.txt", f"{python[0]}.{python[1:]}", platform.machine(), into
    )
    for source in into.iterdir():
        if source not in wheels:
            source.unlink()
    with tarfile.open(archive) as tar:
        tar.extract(f"oddsd-{own_version()}-py3-none-any.whl", into, filter="data")


def own_version() -> str:
    """What this checkout calls itself."""
    found = re.search(r'(?m)^version = "(.*)"$', (ROOT / "pyproject.toml").read_text())
    assert found is not None
    return found[1]


def wheelhouse_builder() -> ModuleType:
    """The wheelhouse's own builder; it is a script beside the playbooks, not a package."""
    spec = importlib.util.spec_from_file_location("wheelhouse", ROOT / "ansible" / "wheelhouse.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
