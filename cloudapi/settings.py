"""The service's configuration, read once from the environment, frozen.

Law: every name works plain (`DATABASE_URL`, as hosting platforms set it) and with the prefix (`ODDSD_DATABASE_URL`,
which wins); all faults are reported at once; secrets never show in a repr. Exit code of a fault: 78.
"""

import re
from enum import StrEnum
from typing import Annotated, Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from cloudapi.errors import ConfigError
from cloudapi.storage.base import Backend
from cloudapi.tiers import Tier


class Environment(StrEnum):
    """Where this runs. Production refuses whatever is only safe on one laptop."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class SessionsMode(StrEnum):
    """Predictions on demand: not offered, run and compared without being charged or promised, or offered."""

    OFF = "off"
    SHADOW = "shadow"
    ON = "on"


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
    jwt_secret_before: SecretStr | None = Field(default=None, validation_alias=_named("JWT_SECRET_BEFORE"))  # accepted
    registration: bool = Field(default=True, validation_alias=_named("REGISTRATION"))  # False: `account create` only
    # The header in which the platform's own edge names the caller; None: the socket's peer. Never X-Forwarded-For.
    address_header: str | None = Field(default=None, validation_alias=_named("ADDRESS_HEADER"))
    metrics_token: SecretStr | None = Field(default=None, validation_alias=_named("METRICS_TOKEN"))  # None: open
    pool_size: int = Field(default=10, ge=1, le=100, validation_alias=_named("POOL_SIZE"))  # connections per replica
    statement_timeout_s: float = Field(default=2, gt=0, le=60, validation_alias=_named("STATEMENT_TIMEOUT_S"))
    # Open streams of one replica, live and of sessions; each costs about 60 kB. Beyond it: 503, try another replica.
    streams: int = Field(default=12_000, ge=1, le=1_000_000, validation_alias=_named("STREAMS"))
    # The service works as `api_rw`, the worker as `worker`, whoever logs in; False: with all the rights of the login.
    database_roles: bool = Field(default=True, validation_alias=_named("DATABASE_ROLES"))
    # None: as the database records it.
    storage_backend: Backend | None = Field(default=None, validation_alias=_named("STORAGE_BACKEND"))
    price_days: int = Field(default=730, ge=8, validation_alias=_named("PRICE_DAYS"))  # of quotes; hours stay for good
    sessions: SessionsMode = Field(default=SessionsMode.ON, validation_alias=_named("SESSIONS"))
    # What may be asked on demand, the first one unless the caller says; the edge must have them.
    session_models: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("openai/gpt-oss-20b", "openai/gpt-oss-120b"), min_length=1, validation_alias=_named("SESSION_MODELS")
    )
    session_wait_s: int = Field(default=21_600, ge=60, le=86_400, validation_alias=_named("SESSION_WAIT_S"))
    public_url: str = Field(default="http://localhost:8000", validation_alias=_named("PUBLIC_URL"))  # links in mails
    stripe_secret_key: SecretStr | None = Field(default=None, validation_alias=_named("STRIPE_SECRET_KEY"))
    stripe_webhook_secret: SecretStr | None = Field(default=None, validation_alias=_named("STRIPE_WEBHOOK_SECRET"))
    stripe_webhook_secret_before: SecretStr | None = Field(
        default=None, validation_alias=_named("STRIPE_WEBHOOK_SECRET_BEFORE")
    )  # accepted while it is being replaced
    # "premium=price_a,pro=price_b": the first price of a tier is sold, all of them are honoured.
    stripe_prices: Annotated[dict[str, Tier], NoDecode] = Field(
        default_factory=dict, validation_alias=_named("STRIPE_PRICES")
    )
    stripe_trial_days: int = Field(default=14, ge=0, le=90, validation_alias=_named("STRIPE_TRIAL_DAYS"))
    stripe_grace_days: int = Field(default=7, ge=0, le=60, validation_alias=_named("STRIPE_GRACE_DAYS"))
    stripe_api_url: str | None = Field(default=None, validation_alias=_named("STRIPE_API_URL"))  # None: Stripe's own
    stripe_test_clock: str | None = Field(default=None, validation_alias=_named("STRIPE_TEST_CLOCK"))  # new customers'
    smtp_url: SecretStr | None = Field(
        default=None, validation_alias=_named("SMTP_URL")
    )  # smtp[s]://user:word@host:587
    mail_from: str = Field(default="oddsd <oddsd@localhost>", validation_alias=_named("MAIL_FROM"))
    # Where mails that come back arrive, as bounces@host; None: at MAIL_FROM, where a person reads them.
    mail_bounces: str | None = Field(default=None, validation_alias=_named("MAIL_BOUNCES"))
    mails_per_minute: int = Field(default=60, ge=1, le=10_000, validation_alias=_named("MAILS_PER_MINUTE"))
    ntfy_url: str = Field(default="https://ntfy.sh", validation_alias=_named("NTFY_URL"))
    # host:port that webhooks may reach although they are not public; for one laptop, refused in production.
    webhook_exceptions: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), validation_alias=_named("WEBHOOK_EXCEPTIONS")
    )
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

    @field_validator("stripe_prices", mode="before")
    @classmethod
    def _read_prices(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition("=") for part in value.split(",") if part.strip()]
        if any(tier not in {Tier.PREMIUM, Tier.PRO} or not price_id for tier, _, price_id in pairs):
            raise ValueError("must read premium=price_...,pro=price_...")
        return {price_id: Tier(tier) for tier, _, price_id in pairs}

    @field_validator("smtp_url")
    @classmethod
    def _smtp_only(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        parts = urlsplit(value.get_secret_value())
        if parts.scheme not in {"smtp", "smtps", "smtp+starttls"} or not parts.hostname:
            raise ValueError("must be a smtp://, smtp+starttls:// or smtps:// address")
        return value

    @field_validator("mail_bounces")
    @classmethod
    def _mailbox_only(cls, value: str | None) -> str | None:
        # What is added to the name is fifty characters, of the 64 that a name may have.
        if value and re.fullmatch(r"[a-z0-9._-]{1,13}@[a-z0-9.-]+", value) is None:
            raise ValueError("must be a mailbox in lower case with a short name, like bounces@example.com")
        return value or None

    @field_validator("webhook_exceptions")
    @classmethod
    def _none_in_production(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and info.data.get("env") is Environment.PRODUCTION:
            raise ValueError("production sends webhooks to public addresses only")
        return value

    @field_validator("cors_origins", "session_models", "webhook_exceptions", mode="before")
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
