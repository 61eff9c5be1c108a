"""Writes `.env.example`: every variable either side reads, explained by the tables of the docs, none of them set.

Law: names and defaults come from the settings classes, words from docs/settings.md and docs/api.md, so the file has
nothing of its own to go stale. `make env-example` writes it, tests/unit/test_deploy.py compares.
"""

import re
import shlex
import sys
import textwrap
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from agent.settings import Settings
from cloudapi.settings import CloudSettings

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / ".env.example"
WIDTH = 116

HEAD = """\
# Every variable of oddsd, none of them set. Made by `make env-example` from the settings and their docs; do not edit.
# Copy it to .env, take the # away where you want another value. Compose reads .env by itself (--env-file .env), a
# shell by `set -a; . ./.env; set +a`. At home secrets belong into credentials instead: docs/settings.md.
"""

# What only compose.yaml reads, to fill in addresses.
COMPOSE = {
    "POSTGRES_PASSWORD": ("laptop", "password of the owner `postgres`; counts when the volume `db` is made"),
    "EDGE_PASSWORD": ("laptop", "password of the edge's login `edge_ingest`, given anew at each start"),
    "API_PORT": ("8000", "port of this machine at which the API answers"),
    "MQTT_PORT": ("1883", "port of this machine at which the broker answers"),
    "TIMESCALEDB_IMAGE": (
        "timescale/timescaledb:latest-pg17",
        "the database; `postgres:17` works too, with STORAGE_BACKEND=native",
    ),
}


def example() -> str:
    """The whole file."""
    cloud = _table("api.md", r"^\| `([A-Z_]+)` \| [^|]* \| (.*) \|$")
    edge = _table("settings.md", r"^\| `([a-z_]+)` \| [^|]* \| ?(.*) \|$")
    blocks = [HEAD, _title("compose.yaml alone")]
    blocks += [_entry(name, default, words) for name, (default, words) in COMPOSE.items()]
    blocks.append(_title("The service, oddsd-cloud (ODDSD_ in front wins over the plain name)"))
    for name, field in CloudSettings.model_fields.items():
        variable = _plain(field, name)
        blocks.append(_entry(variable, shown(field), cloud.get(variable, "see docs/api.md")))
    blocks.append(_title("The edge, oddsd (in its TOML file: the same name in small letters, without ODDSD_)"))
    for name, field in Settings.model_fields.items():
        blocks.append(
            _entry(
                f"ODDSD_{name.upper()}",
                shown(field),
                edge.get(name, "see docs/settings.md"),
                key=_first_key(name, field),
            )
        )
    return "\n".join(blocks)


def _table(file: str, row: str) -> dict[str, str]:
    """Name to meaning, of the first table that has the name."""
    found = dict[str, str]()
    for name, words in re.findall(row, (ROOT / "docs" / file).read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", words))
    return found


def _plain(field: FieldInfo, name: str) -> str:
    """The name people set: the shortest of the names the service answers to."""
    alias = field.validation_alias
    names = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name.upper()]
    return min(names, key=len)


def shown(field: FieldInfo) -> str:
    """A default as one writes it into a variable; nothing where it is unset, found out at the start, or a table."""
    value: Any = None if field.is_required() or field.default_factory else field.default
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))  # no space: a shell reads the file too
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, str | int | Decimal | Path) else ""


def _first_key(name: str, field: FieldInfo) -> str | None:
    """How one key of a table is set, for settings that are tables."""
    if isinstance(field.default, BaseModel):
        key, inner = next(
            (key, inner) for key, inner in type(field.default).model_fields.items() if inner.default not in ((), None)
        )
        return f"ODDSD_{name.upper()}__{key.upper()}={shown(inner)}"
    return None


def _title(words: str) -> str:
    return f"\n# {'=' * 10} {words} {'=' * max(3, WIDTH - 14 - len(words))}\n"


def _entry(name: str, default: str, words: str, *, key: str | None = None) -> str:
    told = words or "see its neighbours"
    lines = textwrap.wrap(told, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    value = shlex.quote(default) if default else ""
    return "".join(f"# {line}\n" for line in lines) + f"#{key or f'{name}={value}'}\n"


def main() -> None:
    """Write the file."""
    TARGET.write_text(example(), encoding="utf-8")
    print(f"wrote {TARGET.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
