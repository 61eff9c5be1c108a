"""What every command shares: its options, settings with their faults in words, one sentence and a code for errors.

Exit codes: 0 done · 1 once: partial · 2 once: failed · 3 not running · 4 unknown · 64 usage · 65 not a record ·
66 no such file · 69 refused · 70 bug · 74 storage · 75 already running · 77 permission · 78 configuration.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import rich_click as click

from agent.errors import ConfigError

if TYPE_CHECKING:  # imported when a command needs them: `status` must be on the screen in a blink
    from agent.desk.base import Ask
    from agent.settings import Settings

EXIT_PARTIAL, EXIT_FAILED, EXIT_NO_FILE, EXIT_IO = 1, 2, 66, 74

T = TypeVar("T")

config_option = click.option(
    "--config", "config", type=click.Path(path_type=Path), help="TOML file; default /etc/oddsd/oddsd.toml"
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, for scripts.")


def fail(sentence: str, *, advice: str | None, code: int) -> NoReturn:
    """Leave with a sentence for people and a code for scripts."""
    print(f"oddsd: {sentence}", file=sys.stderr)
    if advice:
        print(f"       {advice}", file=sys.stderr)
    raise SystemExit(code)


def settings_from(file: Path | None) -> "Settings":
    """Read the configuration or leave with every fault in words."""
    from agent.jobs.table import TIMERS
    from agent.settings import load_settings

    try:
        return load_settings(file, known_jobs=tuple(TIMERS))
    except ConfigError as exc:
        print(f"oddsd: the configuration has {len(exc.faults)} fault{'s'[: len(exc.faults) > 1]}:", file=sys.stderr)
        for fault in exc.faults:
            print(f"  - {fault}", file=sys.stderr)
        raise SystemExit(exc.exit_code) from exc
    except FileNotFoundError as exc:
        fail(f"no configuration file at {exc}", advice=None, code=EXIT_NO_FILE)


def asked(config: Path | None, question: "Ask[T]") -> T:
    """The answer to a question, with and without the daemon. Raises: OddsdError."""
    import asyncio

    from agent.app import utc_now
    from agent.desk.base import ask

    return asyncio.run(ask(settings_from(config), question, clock=utc_now))


def configure_log(settings: "Settings") -> None:
    """For commands that work themselves; those that only ask print their answer and nothing else."""
    from agent.log import configure

    configure(json=settings.log_json, level=settings.log_level, secrets=settings.secrets())
