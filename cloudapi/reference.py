"""The OpenAPI document, the same each time it is made: what `docs/openapi.json` holds and /openapi.json serves."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Litestar


def without_examples(handlers: Iterable[Any]) -> list[Any]:
    """The handlers, told to invent no examples: those are random, and the document would differ at every start."""
    listed = list(handlers)
    for handler in listed:
        for spec in (getattr(handler, "responses", None) or {}).values():
            spec.generate_examples = False
    return listed


def render(app: Litestar) -> str:
    """The document as it is committed: sorted, one field a line, so that a difference can be read."""
    document = msgspec.to_builtins(app.openapi_schema.to_schema())
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
