"""The checks of the systemd unit and of the running process. Skipped in words where there is no systemd."""

import re
import shutil
import subprocess
from pathlib import Path

from agent.doctor.findings import Finding, failed, good, skipped, unknown, warning
from agent.errors import ControlError, NotRunning
from agent.settings import Settings
from agent.status.asking import fetch_report
from agent.status.spans import span
from agent.status.statements import Level

_UNIT = "oddsd.service"
_LIMIT_S = 10.0
_EXPOSURE = 1.5  # of systemd-analyze's ten; OPS1 asks for it
_MOST_RESTARTS = 3
_NO_CREDENTIALS = "243"  # systemd's EXIT_CREDENTIALS, from before our program begins
_CGROUP = Path("/sys/fs/cgroup/cgroup.controllers")
# Directives of our unit, and the systemd that first knew them: an older one says so once in its log and goes on.
_SINCE = {
    "RestrictSUIDSGID": 242, "ProtectHostname": 242, "OOMPolicy": 243, "ProtectKernelLogs": 244, "ProtectClock": 245,
    "ProtectProc": 247, "PrivateIPC": 248,
}  # fmt: skip


def running(settings: Settings) -> Finding:
    """D11: a daemon listens, and it is ok."""
    id_, name = "D11", "daemon"
    try:
        report = fetch_report(settings.control_socket)
    except NotRunning as exc:
        return warning(id_, name, str(exc), "systemctl start oddsd")
    except ControlError as exc:
        return unknown(id_, name, str(exc), exc.advice or "read its log")
    text = f"version {report.version}, up {span(report.at - report.started_at)}, {report.level}"
    bad = [f"{line.key}: {line.why}" for line in report.lines() if line.level is report.level]
    if report.level is Level.OK:
        return good(id_, name, text)
    judge = failed if report.level is Level.CRITICAL else warning
    return judge(id_, name, f"{text}; {'; '.join(bad)}", "oddsd status says what to do for each")


def unit() -> list[Finding]:
    """D24, D25, D26."""
    names = (("D24", "hardening"), ("D25", "restarts"), ("D26", "systemd"))
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        return [skipped(id_, name, "systemd does not run here") for id_, name in names]
    shown = _said("systemctl", "show", _UNIT, "-p", "LoadState,NRestarts,WatchdogUSec,Type,MemoryMax,ExecMainStatus")
    values = dict(line.partition("=")[::2] for line in shown.splitlines())
    if values.get("LoadState") != "loaded":
        return [skipped(id_, name, f"{_UNIT} is not installed") for id_, name in names]
    return [_hardening(), restarts(values), features(_said("systemctl", "--version"), values, _controllers())]


def _hardening() -> Finding:
    said = _said("systemd-analyze", "security", "--no-pager", _UNIT)
    words = said.rpartition("exposure level for")[2].split()
    try:
        exposure = float(words[words.index("oddsd.service:") + 1])
    except (ValueError, IndexError):
        return unknown("D24", "hardening", "systemd-analyze does not tell", "run it by hand, as root")
    if exposure > _EXPOSURE:
        fix = "use the project's unit; systemctl cat oddsd shows what overrides it"
        return warning("D24", "hardening", f"exposure {exposure}, above {_EXPOSURE}", fix)
    return good("D24", "hardening", f"exposure {exposure}")


def restarts(values: dict[str, str]) -> Finding:
    """D25, from the unit's properties: how often it was started again, and what keeps it from starting. Pure."""
    if values.get("ExecMainStatus") == _NO_CREDENTIALS:
        text = "it does not start: systemd cannot read one of its secrets (status 243)"
        fix = "encrypted on another board or disk, or damaged: run the playbook again, it encrypts them anew"
        return failed("D25", "restarts", text, fix)
    n, watchdog = int(values.get("NRestarts") or 0), values.get("WatchdogUSec", "0")
    if watchdog in {"0", "infinity", ""}:
        return warning("D25", "restarts", f"{n} restarts; no watchdog is set", "use the project's unit (WatchdogSec)")
    if n > _MOST_RESTARTS:
        return warning("D25", "restarts", f"{n} restarts, watchdog {watchdog}", "journalctl -u oddsd tells why")
    return good("D25", "restarts", f"{n} restarts, watchdog {watchdog}")


def features(version: str, values: dict[str, str], controllers: frozenset[str] | None) -> Finding:
    """D26: what our unit asks for against what this systemd and this kernel have, and what is used of it. Pure.

    Args:
        version: as `systemctl --version` prints it.
        controllers: cgroup v2's; None where they cannot be read.
    """
    id_, name, found = "D26", "systemd", re.match(r"systemd (\d+)", version)
    if found is None:
        return unknown(id_, name, "systemctl does not tell its version", "run systemctl --version by hand")
    number = int(found[1])
    lacks = [f"{word} (since {since})" for word, since in _SINCE.items() if number < since]
    if controllers is not None and "memory" not in controllers:
        lacks.append("memory limits (no memory controller)")
    unused = [] if values.get("Type") == "notify" else ["readiness (Type=notify)"]
    if values.get("MemoryMax", "infinity") == "infinity":
        unused.append("a memory limit (MemoryMax)")
    told = [f"{what}: {', '.join(words)}" for what, words in (("not available", lacks), ("not used", unused)) if words]
    if not told:
        return good(id_, name, f"{number} has and uses all the unit asks for")
    fix = "use the project's unit" if unused else "a newer system; cgroup_enable=memory on the kernel's command line"
    return warning(id_, name, f"{number}; {'; '.join(told)}", fix)


def _controllers() -> frozenset[str] | None:
    try:
        return frozenset(_CGROUP.read_text(encoding="ascii").split())
    except OSError:  # cgroup v1, or hidden
        return None


def _said(*command: str) -> str:
    """What a tool of the system prints; nothing where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)  # noqa: S603 - ours
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
