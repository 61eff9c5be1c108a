"""The checks of the systemd unit and of the running process. Skipped in words where there is no systemd."""

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
    """D24, D25."""
    names = (("D24", "hardening"), ("D25", "restarts"))
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        return [skipped(id_, name, "systemd does not run here") for id_, name in names]
    shown = _said("systemctl", "show", _UNIT, "-p", "LoadState,NRestarts,WatchdogUSec,Type")
    values = dict(line.partition("=")[::2] for line in shown.splitlines())
    if values.get("LoadState") != "loaded":
        return [skipped(id_, name, f"{_UNIT} is not installed") for id_, name in names]
    return [_hardening(), _restarts(values)]


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


def _restarts(values: dict[str, str]) -> Finding:
    n, watchdog = int(values.get("NRestarts") or 0), values.get("WatchdogUSec", "0")
    if watchdog in {"0", "infinity", ""}:
        return warning("D25", "restarts", f"{n} restarts; no watchdog is set", "use the project's unit (WatchdogSec)")
    if n > _MOST_RESTARTS:
        return warning("D25", "restarts", f"{n} restarts, watchdog {watchdog}", "journalctl -u oddsd tells why")
    return good("D25", "restarts", f"{n} restarts, watchdog {watchdog}")


def _said(*command: str) -> str:
    """What a tool of the system prints; nothing where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)  # noqa: S603 - ours
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
