"""Every setting of the edge: one table, read once, frozen.

Sources, the first wins: environment (ODDSD_NAME, and the plain names people already use), systemd credentials,
the TOML file, defaults. All faults are reported at once as sentences; nothing here touches network or state.
"""

import os
import re
import socket
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from cronsim import CronSim, CronSimError
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from agent.core.instants import EPOCH
from agent.errors import ConfigError
from agent.places import DEFAULT_FILE, DEFAULT_RUNTIME_DIR, SNAPSHOT_NAME, SOCKET_NAME
from agent.settings_faults import NOT_HANDED_OVER, cross_faults, missing_credentials, sentence
from agent.settings_tables import ExperimentSettings, LaneSettings, RetentionSettings, SelectionSettings

_QUIET_HOURS = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"


class JobSettings(BaseModel):
    """One `[jobs.NAME]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool | None = None
    schedule: str | None = None  # five-field cron expression, UTC
    missed: Literal["none", "latest", "all"] | None = None  # what becomes of slots that passed
    jitter_s: Annotated[float, Field(ge=0, le=600)] | None = None  # a slot begins up to so much late
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] | None = None  # a run is stopped after it
    heartbeat_url: SecretStr | None = None  # a healthchecks-style address; who knows it can ping

    @field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                CronSim(value, EPOCH)
            except CronSimError as exc:
                raise ValueError(f"not a cron expression: {value!r} ({exc})") from exc
        return value

    @field_validator("heartbeat_url")
    @classmethod
    def _address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_web_address(value.get_secret_value()):
            raise ValueError("not a web address")
        return value


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half a bracket
        return False


def _names(field: str, *plain: str) -> AliasChoices:
    """The names a setting answers to: ours first, then the plain ones, then the TOML key."""
    return AliasChoices(f"ODDSD_{field.upper()}", *plain, field)


class Settings(BaseSettings):
    """The edge's settings; names are the TOML keys, and ODDSD_ plus the upper-case name in the environment."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="ODDSD_", env_nested_delimiter="__", populate_by_name=True
    )

    # Who and where
    host_id: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")] = Field(
        default_factory=lambda: re.sub(r"[^a-z0-9_-]", "-", socket.gethostname().split(".")[0].lower())[:32] or "edge",
        description="the operator's stable name for this box",
    )
    data_dir: Path = Field(
        default=Path("/var/lib/oddsd"), description="holds the database; never on tmpfs or a network disk"
    )
    runtime_dir: Path = Field(default=DEFAULT_RUNTIME_DIR, description="control socket and status snapshot")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool | None = Field(default=None, description="JSON lines; unset: JSON unless stderr is a terminal")

    # Exchanges: public, no key
    venues: Annotated[tuple[Literal["polymarket", "kalshi"], ...], NoDecode] = ("polymarket", "kalshi")
    polymarket_url: str = "https://gamma-api.polymarket.com"
    polymarket_clob_url: str | None = Field(
        default=None, description="unset: the public order book host, if polymarket_url is the public one"
    )
    polymarket_data_url: str | None = Field(
        default=None, description="unset: the public data host, if polymarket_url is the public one"
    )
    kalshi_url: str = "https://external-api.kalshi.com/trade-api/v2"

    # Groq, or a local server that speaks its protocol
    ai_analysis_enabled: bool = Field(
        default=True, validation_alias=_names("ai_analysis_enabled", "AI_ANALYSIS_ENABLED"), description="kill switch"
    )
    groq_api_key: SecretStr | None = Field(default=None, validation_alias=_names("groq_api_key", "GROQ_API_KEY"))
    groq_base_url: str = Field(
        default="https://api.groq.com", validation_alias=_names("groq_base_url", "GROQ_BASE_URL"),
    )  # fmt: skip
    groq_path_prefix: str = Field(default="/openai/v1/", description="/v1/ for Ollama and llama.cpp")
    ai_model: str = Field(default="openai/gpt-oss-20b", validation_alias=_names("ai_model", "AI_MODEL"))
    ai_fallback_models: Annotated[tuple[str, ...], NoDecode] = ("openai/gpt-oss-120b",)
    ai_daily_cap_usd: Annotated[Decimal, Field(ge=0, le=1000)] = Field(
        default=Decimal("0.50"), description="expected use is about 0.06 USD a day; the cap holds under any load"
    )
    ai_daily_tokens: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(
        default=2_000_000, description="of all models; expected use is about 350,000 a day"
    )
    ai_daily_calls: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=900, description="of each model; the free plan ends at 1,000 a day and counts refused ones too"
    )
    ai_timeout_s: Annotated[float, Field(gt=0, le=600)] = Field(default=60.0, description="300 for a local model")
    ai_insights_per_tick: Annotated[int, Field(ge=0, le=500)] = 10

    # Pairs of markets over both venues
    pairs_file: Path | None = Field(
        default=None, description="the operator's list of pairs that are one question, or are not; unset: in data_dir"
    )

    # Predictions
    target_close_window_days: Annotated[int, Field(ge=0, le=365)] = Field(
        default=7, validation_alias=_names("target_close_window_days", "TARGET_CLOSE_WINDOW_DAYS")
    )
    predict_within: bool = Field(default=False, description="also markets closing sooner than the window's day")
    predict_limit: Annotated[int, Field(ge=0, le=10_000)] = 40
    processing_experiments: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("baseline_snapshot", "market_prior", "single_model", "ensemble", "coin", "longshot_fader"),
        validation_alias=_names("processing_experiments", "PROCESSING_EXPERIMENTS"),
    )
    batch_within_days: Annotated[int, Field(ge=0, le=365)] = Field(
        default=30, description="the daily batch takes markets that close at most so many UTC days ahead"
    )
    batch_limit: Annotated[int, Field(ge=0, le=10_000)] = 20
    predict_models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="unset: ai_model in the daily run, its fallbacks too in the batch"
    )
    experiment_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.25, description="of the markets, for forecasters that are not the best of their kind"
    )
    experiment_retire_after: Annotated[int, Field(ge=30, le=1_000_000)] = Field(
        default=200, description="resolved forecasts after which one that is clearly worse is asked no more"
    )
    experiments: dict[str, ExperimentSettings] = Field(
        default_factory=dict, description="[experiments.NAME] revision, pinned"
    )

    # Cloud
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=_names("database_url", "DATABASE_URL"),
        description="Postgres of the cloud; unset: local only",
    )
    cloud_url: str | None = Field(default=None, description="the cloud's API, instead of its Postgres")
    cloud_key: SecretStr | None = Field(default=None, description="API key of scope ingest, for cloud_url")
    cloud_ca: Path | None = Field(default=None, description="the only authority trusted on the way to the cloud")
    cloud_tls_name: str | None = Field(default=None, description="name the Postgres certificate must have")
    standby: bool = Field(default=False, description="works only while no other host does")

    # MQTT status
    mqtt_host: str | None = None
    mqtt_port: Annotated[int, Field(ge=1, le=65535)] = 1883
    mqtt_username: str | None = None
    mqtt_password: SecretStr | None = Field(default=None, validation_alias=_names("mqtt_password"))
    mqtt_tls_ca: Path | None = None
    mqtt_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_/-]+$")] = "oddsd"

    mqtt_discovery: Annotated[str, Field(pattern=r"^[A-Za-z0-9_/-]*$")] = Field(
        default="homeassistant", description="first part of Home Assistant's topics; empty: it is told nothing"
    )
    mqtt_commands: Annotated[tuple[Literal["collect_now", "pause", "resume"], ...], NoDecode] = Field(
        default=(), description="what may be asked over MQTT, by whoever may write to the broker"
    )

    # Telling the operator
    alert_urls: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="apprise addresses; each is a secret"
    )
    alert_level: Literal["degraded", "critical"] = Field(default="degraded", description="milder troubles are not told")
    alert_after_min: Annotated[float, Field(ge=0, le=1440)] = Field(
        default=10.0, description="a trouble must have lasted so long; a critical one a minute"
    )
    alert_quiet_hours: Annotated[str, Field(pattern=_QUIET_HOURS)] | None = Field(
        default=None, description="22:00-07:00, UTC: only what is critical is told"
    )
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(default=None, description="unset: no /metrics")
    metrics_host: str = Field(default="127.0.0.1", description="the address /metrics listens on")
    sentry_dsn: SecretStr | None = Field(default=None, validation_alias=_names("sentry_dsn", "SENTRY_DSN"))

    # What is worth the effort, and how long it is kept
    selection: SelectionSettings = Field(default=SelectionSettings(), description="[selection] gates and watch list")
    retention: RetentionSettings = Field(default=RetentionSettings(), description="[retention] how long what is kept")

    # Jobs
    jobs: dict[str, JobSettings] = Field(
        default_factory=dict, description="[jobs.NAME] enabled, schedule, missed, jitter_s, timeout_s, heartbeat_url"
    )
    lanes: dict[str, LaneSettings] = Field(
        default_factory=dict, description="[lanes.MODEL] at_once, per_minute; all: the sum"
    )
    jobs_database_url: SecretStr | None = Field(
        default=None, description="Postgres through which machines share paid work (oddsd[dbos]); unset: this one alone"
    )

    # Patterns
    patterns: dict[str, dict[str, bool | float]] = Field(
        default_factory=dict, description="[patterns.NAME] enabled and thresholds of a detector; [patterns.guard]"
    )

    @field_validator(
        "venues", "ai_fallback_models", "mqtt_commands", "alert_urls", "processing_experiments", "predict_models",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Lists come from the environment as "a, b" or as JSON."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return msgspec.json.decode(value)
        return [part.strip() for part in value.split(",") if part.strip()]

    @field_validator(
        "polymarket_url", "polymarket_clob_url", "polymarket_data_url", "kalshi_url", "groq_base_url", "cloud_url"
    )
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _is_web_address(value):
            raise ValueError(f"not a web address: {value!r}")
        return value.rstrip("/")

    @field_validator("database_url", "jobs_database_url")
    @classmethod
    def _postgres_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in {"postgres", "postgresql"}:
            raise ValueError("not a Postgres address: it must begin with postgresql://")
        return value

    @property
    def database_path(self) -> Path:
        """The one SQLite file."""
        return self.data_dir / "oddsd.db"

    @property
    def control_socket(self) -> Path:
        """Where the daemon listens for the operator."""
        return self.runtime_dir / SOCKET_NAME

    @property
    def kill_switch_path(self) -> Path:
        """While this file is there no model is asked."""
        return self.data_dir / "kill-switch"

    @property
    def pairs_path(self) -> Path:
        """The operator's list of pairs; it need not be there."""
        return self.pairs_file or self.data_dir / "pairs.toml"

    @property
    def snapshot_path(self) -> Path:
        """Last report, for when the daemon is down."""
        return self.runtime_dir / SNAPSHOT_NAME

    def secrets(self) -> list[str]:
        """Values that must never appear in a log."""
        held = (
            self.groq_api_key, self.database_url, self.cloud_key, self.jobs_database_url, self.mqtt_password,
            self.sentry_dsn,
        )  # fmt: skip
        pinged = (job.heartbeat_url for job in self.jobs.values())
        return [secret.get_secret_value() for secret in (*held, *pinged, *self.alert_urls) if secret is not None]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment, then credentials, then the file."""
        del dotenv_settings, file_secret_settings  # no .env on a server; credentials come from systemd below
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if credentials:
            sources.append(SecretsSettingsSource(settings_cls, secrets_dir=credentials))
        sources.append(TomlConfigSettingsSource(settings_cls, toml_file=_chosen_file.path))
        return tuple(_ByFieldName(settings_cls, source) for source in sources)


class _ByFieldName(PydanticBaseSettingsSource):
    """A source whose values go by the field's own name: else the same setting given twice under two of its names,
    once in the environment and once in the file, would look like an unknown one."""

    def __init__(self, settings_cls: type[BaseSettings], source: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._source = source

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """As the source has it."""
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        """The source's values, renamed."""
        names = {
            str(choice): name
            for name, field in self.settings_cls.model_fields.items()
            if isinstance(field.validation_alias, AliasChoices)
            for choice in field.validation_alias.choices
        }
        return {names.get(key, key): value for key, value in self._source().items()}


class _ChosenFile:
    """The TOML file of the load in progress: pydantic-settings asks for sources on the class, not the call."""

    path: Path | None = None


_chosen_file = _ChosenFile()


def load_settings(file: Path | None = None, *, known_jobs: tuple[str, ...] = ()) -> Settings:
    """Read all sources.

    Args:
        file: the TOML file; None: the one named by ODDSD_CONFIG, else /etc/oddsd/oddsd.toml where it exists.
        known_jobs: job names a [jobs.NAME] table may have.
    Raises: ConfigError with every fault; FileNotFoundError when a file was named and is not there.
    """
    named = file or (Path(os.environ["ODDSD_CONFIG"]) if os.environ.get("ODDSD_CONFIG") else None)
    if named is not None and not named.is_file():
        raise FileNotFoundError(named)
    _chosen_file.path = named or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    missing = [f"credential {name}: {NOT_HANDED_OVER.format(name)}" for name in missing_credentials()]
    try:
        settings = Settings()
    except ValidationError as exc:
        found = [sentence(error, tuple(Settings.model_fields)) for error in exc.errors(include_context=False)]
        blank = tuple(f"{name}: " for name in missing_credentials())  # said better already
        raise ConfigError(missing + [fault for fault in found if not fault.startswith(blank)]) from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError([f"{_chosen_file.path}: not TOML: {exc}"]) from exc
    except SettingsError as exc:
        raise ConfigError([f"{exc}: {exc.__cause__}"]) from exc
    faults = missing + cross_faults(settings, known_jobs)
    if faults:
        raise ConfigError(faults)
    return settings
