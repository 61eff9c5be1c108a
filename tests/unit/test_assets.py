"""The fetching of what other hands made: by hash or not at all, and nothing is lost where it fails."""

import base64
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from cloudapi.web.render import VENDOR, read_assets

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / ".locks" / "assets.json"
NPM = """#!/bin/sh
for word in "$@"; do case $word in --pack-destination=*) cp {packed} "${{word#*=}}/made-1.0.0.tgz";; esac; done
echo "$@" >> {log}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A tree with the script, a package that a stand-in for npm gives out, and a lock that knows it."""
    packed = tmp_path / "packed.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        for name, body in (
            ("package/dist/made.js", b"made()"),
            ("package/postinstall.sh", b"exit 1"),
            ("package/LICENSE", b"MIT"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".locks").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / ".ci" / "assets.py", tmp_path / ".ci" / "assets.py")
    npm = tmp_path / "bin" / "npm"
    npm.write_text(NPM.format(packed=packed, log=tmp_path / "asked"))
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    lock(tmp_path, hashlib.sha512(packed.read_bytes()).digest())
    return tmp_path


def lock(checkout: Path, digest: bytes) -> None:
    entry = {
        "name": "made",
        "version": "1.0.0",
        "integrity": "sha512-" + base64.b64encode(digest).decode(),
        "into": "there",
    }
    files = {"dist/made.js": "made.js", "LICENSE": "made.LICENSE"}
    (checkout / ".locks" / "assets.json").write_text(json.dumps([entry | {"files": files}]))


def fetch(checkout: Path, *, path: str | None = None) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PATH": path or f"{checkout / 'bin'}:{os.environ['PATH']}"}
    script = checkout / ".ci" / "assets.py"
    return subprocess.run([sys.executable, script], check=False, env=env, capture_output=True, text=True)


def test_a_locked_package_is_taken_apart_and_only_what_is_named_is_kept(checkout: Path):
    """The exact version is asked for, its scripts are not run, two of its three files are put in place."""
    done = fetch(checkout)

    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in (checkout / "there").iterdir()} == {
        "made.js": b"made()",
        "made.LICENSE": b"MIT",
    }
    asked = (checkout / "asked").read_text()
    assert "pack made@1.0.0" in asked
    assert "--ignore-scripts" in asked


def test_a_package_that_is_not_what_was_locked_changes_nothing(checkout: Path):
    """A registry that gives out something else is refused in words, and what was there stays."""
    fetch(checkout)
    (checkout / "there" / "made.js").write_text("before")
    lock(checkout, b"x" * 64)
    done = fetch(checkout)

    assert done.returncode == 69
    assert "made 1.0.0 is not what was locked" in done.stderr
    assert (checkout / "there" / "made.js").read_text() == "before"


def test_without_npm_it_says_what_that_means(checkout: Path, tmp_path: Path):
    """A machine without npm is no broken machine."""
    done = fetch(checkout, path=str(tmp_path / "nothing"))

    assert done.returncode == 69
    assert "npm is not installed" in done.stderr
    assert "SVG" in done.stderr


def test_the_lock_names_versions_and_hashes_and_no_host():
    """Whoever builds brings his own registry; what he gets is decided here."""
    entries = json.loads(LOCK.read_text())

    assert {entry["name"] for entry in entries} == {"htmx.org", "uplot", "axe-core"}
    for entry in entries:
        assert len(base64.b64decode(entry["integrity"].removeprefix("sha512-"))) == 64
        assert entry["version"].count(".") == 2
        assert any(name.endswith("LICENSE") for name in entry["files"].values())
    assert "://" not in LOCK.read_text()
    placed = {name for entry in entries if entry["into"] == "cloudapi/web/vendor" for name in entry["files"].values()}
    assert placed >= set(VENDOR)


def test_what_is_not_there_is_not_served_and_what_is_there_is(tmp_path: Path):
    """Our own files always; those of other hands as far as they were fetched."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "style.css").write_text("a {}")
    assert set(read_assets(tmp_path)) == {"style.css"}
    (tmp_path / "vendor").mkdir()
    for name in (*VENDOR, "stray.js"):
        (tmp_path / "vendor" / name).write_text("b")
    assert set(read_assets(tmp_path)) == {"style.css", *VENDOR}


@pytest.mark.skipif(not (ROOT / "cloudapi/web/vendor" / VENDOR[0]).is_file(), reason="`make assets` was not run")
def test_the_wheel_carries_what_was_fetched(tmp_path: Path):
    """Git does not know these files, so the wheel would leave them out by itself."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")

    names = zipfile.ZipFile(wheel).namelist()
    assert {f"cloudapi/web/vendor/{name}" for name in VENDOR} <= set(names)
    assert not [name for name in names if "deploy" in name or "axe" in name]
