"""What can be wrong with settings beyond a single field, and every fault as a sentence that says what was meant.

Law: pure but for the names in the environment and the credentials folder, which are part of the configuration. Called
by settings.load_settings, which tells all faults at once.
"""

import difflib
import os
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.settings import Settings

# Read by others: the file's own name, what the unit tells (boot, promised credentials), and the cloud service where it
# shares the environment.
OTHER_ENVIRONMENT = frozenset(
    {
        "config",
        "boot_id",
        "credentials_expected",
        "env",
        "address_header",
        "jwt_secret_before",
        "registration",
        "public_url",
        "stripe_secret_key",
        "stripe_webhook_secret",
        "stripe_webhook_secret_before",
        "stripe_prices",
        "stripe_trial_days",
        "stripe_grace_days",
        "stripe_api_url",
        "stripe_test_clock",
        "smtp_url",
        "mail_from",
        "mails_per_minute",
        "mail_bounces",
        "ntfy_url",
        "webhook_exceptions",
        "redis_url",
        "host",
        "port",
        "cors_origins",
        "jwt_secret",
        "metrics_token",
        "pool_size",
        "statement_timeout_s",
        "drain_s",
        "storage_backend",
        "streams",
        "database_roles",
        "price_days",
        "sessions",
        "session_models",
        "session_wait_s",
    }
)


def cross_faults(settings: "Settings", known_jobs: tuple[str, ...]) -> list[str]:
    """What no single field can see: misspelt environment names, jobs, models and detectors nobody has, two roads."""
    known = tuple(type(settings).model_fields)
    given = [key for key in os.environ if key.startswith("ODDSD_")]
    names = {key: key.removeprefix("ODDSD_").lower().split("__")[0] for key in given}
    faults = [
        f"{key}: no such setting{_suggestion(name, known)}"
        for key, name in names.items()
        if name not in known and name not in OTHER_ENVIRONMENT
    ]
    chain = {settings.ai_model, *settings.ai_fallback_models}
    faults += [
        f"predict_models: {name} is neither ai_model nor one of ai_fallback_models"
        for name in settings.predict_models
        if name not in chain
    ]
    faults += _road_faults(settings)
    unknown_jobs = [name for name in settings.jobs if known_jobs and name not in known_jobs]
    faults += [f"jobs.{name}: no such job{_suggestion(name, known_jobs)}" for name in unknown_jobs]
    return faults + _pattern_faults(settings)


def _road_faults(settings: "Settings") -> list[str]:
    """Two ways to the cloud, or one that lacks its key."""
    if settings.cloud_url is None:
        return []
    faults = list[str]()
    if settings.database_url is not None:
        faults.append("database_url and cloud_url: two ways to the cloud; choose one")
    if settings.cloud_key is None and not _is_kept_for_the_service("cloud_key"):
        faults.append("cloud_url: needs cloud_key, made with: oddsd-cloud key create --scope ingest")
    return faults


_KEPT = Path("/etc/oddsd/credentials")
NOT_HANDED_OVER = "not handed over, or empty; put it into /etc/oddsd/credentials/{} and start again"


def _is_kept_for_the_service(name: str) -> bool:
    """Whether systemd has it to hand over: an operator's own command is handed nothing and must not call it missing."""
    if os.environ.get("CREDENTIALS_DIRECTORY"):
        return name in missing_credentials()  # said better already
    try:
        return (_KEPT / name).stat().st_size > 0
    except PermissionError:
        return True
    except OSError:
        return False


def missing_credentials() -> list[str]:
    """Secrets the unit promises and that did not come: an old systemd ignores what it does not know, without a word."""
    promised = os.environ.get("ODDSD_CREDENTIALS_EXPECTED", "").replace(",", " ").split()
    folder = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent"))
    return [name for name in promised if not _holds_text(folder / name)]


def _holds_text(file: Path) -> bool:
    try:
        return bool(file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeError):
        return False


def _pattern_faults(settings: "Settings") -> list[str]:
    """Tables and thresholds no detector has. Packages are asked for names alone; their thresholds when they are loaded.

    The detectors are imported only for who turns one: a command starts without them.
    """
    if not settings.patterns:
        return []
    from agent.core.patterns.registry import GROUP, table_faults

    return table_faults(settings.patterns, others=[point.name for point in entry_points(group=GROUP)])


def sentence(error: Any, known: tuple[str, ...]) -> str:
    """One fault in words: the setting, what is wrong, what was meant."""
    name = ".".join(str(part) for part in error["loc"]) or "configuration"
    name = re.sub(r"^ODDSD_", "", name).lower() if name.isupper() or name.startswith("ODDSD_") else name
    if error["type"] == "extra_forbidden":
        return f"{name}: no such setting{_suggestion(name, known)}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{name}: {message[:1].lower()}{message[1:]}"


def _suggestion(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
