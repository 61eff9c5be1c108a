"""Errors to the operator's own Sentry, where he runs one: an optional extra, silent without `sentry_dsn`.

Law: what leaves is what the log shows: the traceback with every secret masked, no local variables, no requests, no
breadcrumbs. Loaded only for who wants it.
"""

import sys
from collections.abc import Iterable
from typing import Any

from structlog.typing import EventDict, WrappedLogger

from agent.errors import ConfigError

_GOODBYE_S = 2  # a stopping daemon waits no longer for its last report


def watch_errors(dsn: str, *, release: str, host_id: str, secrets: Iterable[str]) -> None:
    """Send what nobody foresaw from here on. Raises: ConfigError where the extra is missing or the address is none."""
    try:
        import sentry_sdk
        from sentry_sdk.integrations.atexit import AtexitIntegration
        from sentry_sdk.integrations.excepthook import ExcepthookIntegration
        from sentry_sdk.utils import BadDsn
    except ImportError as exc:
        raise ConfigError(["sentry_dsn: needs the extra: pip install 'oddsd[sentry]'"]) from exc
    from agent.log import Redactor

    redactor = Redactor(secrets)

    def clean(event: Any, _hint: Any) -> Any:
        return redactor.clean(event)

    try:
        sentry_sdk.init(
            dsn=dsn,
            release=release,
            server_name=host_id,
            before_send=clean,
            include_local_variables=False,
            include_source_context=False,
            send_default_pii=False,
            max_breadcrumbs=0,
            auto_session_tracking=False,
            default_integrations=False,
            integrations=[ExcepthookIntegration(), AtexitIntegration(callback=lambda _pending, _timeout: None)],
            shutdown_timeout=_GOODBYE_S,
        )
    except BadDsn as exc:
        raise ConfigError(["sentry_dsn: not a Sentry address"]) from exc


def to_sentry(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: hand on the exception a line carries; nothing where Sentry is not used."""
    sdk = sys.modules.get("sentry_sdk")
    if sdk is not None and event.get("exc_info"):
        given = event["exc_info"]
        error = given if isinstance(given, BaseException) else sys.exc_info()[1]
        if error is not None:
            sdk.capture_exception(error)
    return event
