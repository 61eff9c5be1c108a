"""Addresses of our own pages. Pure."""

from urllib.parse import urlencode


def with_query(path: str, **values: object) -> str:
    """The path with what has a value as its query."""
    given = {name: str(value) for name, value in values.items() if value not in {None, ""}}
    return f"{path}?{urlencode(given)}" if given else path


def own_page(wanted: str | None) -> str:
    """Where to go after signing in: a page of ours, whatever a link said."""
    is_ours = wanted is not None and (wanted == "/app" or wanted.startswith("/app/"))
    is_plain = wanted is not None and wanted.isprintable() and "\\" not in wanted and "//" not in wanted
    return wanted if wanted is not None and is_ours and is_plain else "/app/insights"
