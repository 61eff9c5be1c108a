"""Which variables of a shell would reach the product; tests and the demo leave them out.

Law: the names come from the settings of both sides, so a new setting cannot leak in. Beside them stand those a service
manager hands over and those that change what a terminal is told.
"""

from collections.abc import Iterable

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from agent.settings import Settings
from cloudapi.settings import CloudSettings

FROM_OUTSIDE = ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "COLUMNS", "LINES")


def _plain_names(settings: type[BaseSettings]) -> Iterable[str]:
    """The names without our prefix a side answers to, such as DATABASE_URL."""
    aliases = (field.validation_alias for field in settings.model_fields.values())
    choices = (str(choice) for alias in aliases if isinstance(alias, AliasChoices) for choice in alias.choices)
    return (name for name in choices if name.isupper() and not name.startswith("ODDSD_"))


PLAIN_NAMES = frozenset({*_plain_names(Settings), *_plain_names(CloudSettings), *FROM_OUTSIDE})


def is_ours(name: str) -> bool:
    """Whether the product, or its screen, would read this variable; settings are found in either case of letters."""
    return name.upper().startswith("ODDSD_") or name.upper() in PLAIN_NAMES
