"""The units as systemd itself reads them, and what they promise that systemd cannot check."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands.base import EXIT_NO_FILE
from agent.errors import AlreadyRunning, ConfigError, ControlForbidden, SchemaMismatch, UnknownJob

SYSTEMD = Path(__file__).resolve().parents[3] / "systemd"
SERVICES = sorted(path.name for path in SYSTEMD.glob("*.service"))
ANALYZE = shutil.which("systemd-analyze")
THRESHOLD = 15  # exposure times ten

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed (Debian's systemd)")


def directives(name: str) -> dict[str, list[str]]:
    """All [Service] directives; a repeated one has several values."""
    section = re.search(r"(?ms)^\[Service\]\n(.*?)(?=^\[|\Z)", (SYSTEMD / name).read_text())
    assert section is not None
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"(?m)^(\w+)=(.*)$", section[1]):
        found.setdefault(key, []).append(value)
    return found


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_exposure_stays_below_the_gate(name):
    """1.5 or less, as systemd counts it without a running system; a directive lost in an edit is seen here."""
    assert ANALYZE is not None
    done = subprocess.run(
        [ANALYZE, "security", "--no-pager", "--offline=true", f"--threshold={THRESHOLD}", str(SYSTEMD / name)],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-400:] + done.stderr
    assert "Overall exposure level" in done.stdout


@needs_systemd
@pytest.mark.parametrize("name", sorted(path.name for path in SYSTEMD.glob("*.*") if path.is_file()))
def test_systemd_understands_every_line(name, tmp_path):
    """A misspelt directive is only a warning at start: hardening that is not there."""
    assert ANALYZE is not None
    for unit in SYSTEMD.glob("*.*"):
        if unit.is_file():
            text = re.sub(r"/opt/[\w/-]+/(python|oddsd-cloud)\b", sys.executable, unit.read_text())
            text = text.replace("EnvironmentFile=/", "EnvironmentFile=-/").replace("User=oddsd-cloud", "User=root")
            (tmp_path / unit.name).write_text(re.sub(r"(?m)^(User|Group)=.*$", r"\1=root", text))
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False, timeout=30
    )
    about_us = [line for line in done.stderr.splitlines() if "oddsd" in line]

    assert about_us == []


def test_a_person_is_waited_for_where_only_a_person_helps():
    """Usage, permission and configuration end it for good; what may pass by itself is tried again."""
    prevented = {int(code) for code in directives("oddsd.service")["RestartPreventExitStatus"][0].split()}

    assert {UnknownJob.exit_code, ControlForbidden.exit_code, ConfigError.exit_code} == prevented
    assert SchemaMismatch.exit_code in prevented
    assert AlreadyRunning.exit_code not in prevented
    assert EXIT_NO_FILE not in prevented


def test_nothing_outside_is_a_condition_for_starting():
    """It must collect while the line is down and the clock not yet set."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(SYSTEMD / "oddsd.service")
    unit = dict(parser["Unit"])

    assert not set(unit) & {"Requires", "Wants", "After", "BindsTo", "Requisite"}
    assert unit["StartLimitIntervalSec"] == "0"


def test_directives_of_newer_systemds_stand_in_drop_ins_of_their_own():
    """An older one would only warn, and somebody would believe in them."""
    young = {"RestartSteps", "RestartMaxDelaySec", "ImportCredential", "MemoryZSwapMax"}

    assert not young & set(directives("oddsd.service"))
    assert "RestartSteps=" in (SYSTEMD / "drop-ins" / "restart-254.conf").read_text()


def test_the_gpu_drop_in_opens_devices_and_compiling_and_nothing_else():
    """What it takes back must be little enough to read at a glance."""
    text = (SYSTEMD / "drop-ins" / "gpu.conf").read_text()
    keys = set(re.findall(r"(?m)^(\w+)=", text))

    assert keys == {
        "PrivateDevices", "DevicePolicy", "DeviceAllow", "SupplementaryGroups", "MemoryDenyWriteExecute",
        "MemoryHigh", "MemoryMax", "TasksMax",
    }  # fmt: skip


def test_memory_is_kept_small_the_same_way_wherever_the_daemon_runs():
    """The unit, the image and the figures: one threshold, or the figures tell of another program."""
    root = SYSTEMD.parent
    places = (SYSTEMD / "oddsd.service", root / "cloudapi/deploy/Dockerfile", root / "Makefile")
    told = [re.findall(r"MALLOC_MMAP_THRESHOLD_=(\d+)", place.read_text()) for place in places]
    assert told == [["262144"]] * 3
