"""The way to the cloud as the settings name it: straight to its Postgres, or over HTTPS to its API.

Law: one of the two or none; whoever dials, daemon and doctor alike, dials as this says, with the same trust.
"""

import ssl

from agent.errors import ConfigError
from agent.settings import Settings
from sync.transports.https import HttpsTransport
from sync.transports.postgres import PostgresTransport, pinned


def cloud_road(settings: Settings) -> PostgresTransport | HttpsTransport | None:
    """The transport, where there is a cloud. Raises: ConfigError."""
    if settings.database_url is None and settings.cloud_url is None:
        return None
    try:
        tls = trust(settings)
        if settings.cloud_url is not None:
            if settings.cloud_key is None:  # kept where only the service may read it: said when it is needed
                raise ConfigError(["cloud_url: needs cloud_key, made with: oddsd-cloud key create --scope ingest"])
            key = settings.cloud_key.get_secret_value()
            return HttpsTransport(settings.cloud_url, key, host_id=settings.host_id, tls=tls)
        assert settings.database_url is not None  # noqa: S101 - one of the two is given
        return PostgresTransport(settings.database_url.get_secret_value(), host_id=settings.host_id, tls=tls)
    except ValueError as exc:
        raise ConfigError([str(exc)]) from exc


def trust(settings: Settings) -> ssl.SSLContext | None:
    """Whom we believe beyond the defaults: over HTTPS also `cloud_ca`, from Postgres that authority alone.

    Raises: ConfigError.
    """
    if settings.cloud_ca is None:
        return None
    try:
        if settings.cloud_url is not None:
            return ssl.create_default_context(cafile=str(settings.cloud_ca))
        return pinned(str(settings.cloud_ca), settings.cloud_tls_name)
    except OSError as exc:
        raise ConfigError([f"cloud_ca {settings.cloud_ca}: {exc.strerror or exc}"]) from exc
