"""The service's configuration, read once from the environment, frozen.

Law: every name works plain (`DATABASE_URL`, as hosting platforms set it) and with the prefix (`ODDSD_DATABASE_URL`,
which wins); all faults are reported at once; secrets never show in a repr. Exit code of a fault: 78.
"""

from enum import StrEnum
from typing import Annotated, Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cloudapi.errors import ConfigError


class Environment(StrEnum):
    """Where this runs. Production refuses whatever is only safe on one laptop."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


def _named(name: str) -> AliasChoices:
    return AliasChoices(f"ODDSD_{name}", name)


class CloudSettings(BaseSettings):
    """All settings of the cloud service; one environment variable each."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, validate_default=True)

    env: Environment = Field(default=Environment.DEVELOPMENT, validation_alias=AliasChoices("ODDSD_ENV"))
    database_url: SecretStr = Field(validation_alias=_named("DATABASE_URL"))
    redis_url: SecretStr | None = Field(default=None, validation_alias=_named("REDIS_URL"))
    host: str = Field(default="", validation_alias=_named("HOST"))  # "" binds IPv4 and IPv6; "::" would be IPv6 only
    port: int = Field(default=8000, ge=0, le=65535, validation_alias=_named("PORT"))  # 0: any free port
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(default=(), validation_alias=_named("CORS_ORIGINS"))
    jwt_secret: SecretStr | None = Field(default=None, validation_alias=_named("JWT_SECRET"))  # signs cursors too
    metrics_token: SecretStr | None = Field(default=None, validation_alias=_named("METRICS_TOKEN"))  # None: open
    pool_size: int = Field(default=10, ge=1, le=100, validation_alias=_named("POOL_SIZE"))  # connections per replica
    statement_timeout_s: float = Field(default=2, gt=0, le=60, validation_alias=_named("STATEMENT_TIMEOUT_S"))
    drain_s: int = Field(default=10, ge=1, le=60, validation_alias=_named("DRAIN_S"))  # for requests in flight at stop

    @field_validator("database_url")
    @classmethod
    def _postgres_only(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must be a postgresql:// address")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("must be a redis://, rediss:// or unix:// address")
        # `family=0` is a Node option that hosting guides add; redis-py raises on it and needs nothing of the kind.
        query = urlencode([(name, text) for name, text in parse_qsl(parts.query) if name != "family"])
        return SecretStr(urlunsplit(parts._replace(query=query)))

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("jwt_secret")
    @classmethod
    def _strong_in_production(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("env") is Environment.PRODUCTION and (value is None or len(value.get_secret_value()) < 32):
            raise ValueError("production needs a secret of at least 32 characters, the same on every replica")
        return value

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the environment; overrides win. Raises: ConfigError with every fault."""
        try:
            return cls(**overrides)
        except ValidationError as exc:
            raise ConfigError([_sentence(error["loc"], error["msg"]) for error in exc.errors()]) from None


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    """Name the variable as people set it, never its value."""
    name = str(location[0]) if location else "settings"
    plain = name if name == "ODDSD_ENV" else name.removeprefix("ODDSD_")
    said = message.removeprefix("Value error, ")
    return f"{plain.upper()}: {said[:1].lower()}{said[1:]}"
