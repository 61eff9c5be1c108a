"""Where each effective setting comes from: environment, credential, file or default. Reads what settings.py reads."""

from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel, SecretStr
from pydantic_settings import EnvSettingsSource, InitSettingsSource

from agent.log import MASK, Redactor
from agent.settings import Settings, load_settings


class Effective(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as it counts; a secret is masked."""

    name: str
    value: Any
    origin: str  # environment, credential, file, default


def load_effective(file: Path | None, *, known_jobs: tuple[str, ...]) -> list[Effective]:
    """Every setting with its origin. Raises: ConfigError, FileNotFoundError."""
    settings = load_settings(file, known_jobs=known_jobs)
    origins, redactor = _origins(), Redactor(settings.secrets())
    return [
        Effective(name=name, value=_shown(getattr(settings, name), redactor), origin=origins.get(name, "default"))
        for name in Settings.model_fields
    ]


def _origins() -> dict[str, str]:
    """By name, the first source that has it; the sources are those of the load just done."""
    sources = Settings.settings_customise_sources(
        Settings,
        InitSettingsSource(Settings, {}),
        EnvSettingsSource(Settings),
        *(InitSettingsSource(Settings, {}),) * 2,
    )
    labels = ["given", "environment", "credential", "file"] if len(sources) == 4 else ["given", "environment", "file"]
    found = dict[str, str]()
    for label, source in zip(labels, sources, strict=True):
        for name in source():
            found.setdefault(name, label)
    return found


def _shown(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, BaseModel):
        return {name: _shown(getattr(value, name), redactor) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {key: _shown(item, redactor) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_shown(item, redactor) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redactor.text(str(value))
