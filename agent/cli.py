"""The command `oddsd`: which subcommand lives where, and how every command ends.

Law: a subcommand is imported when it is called, so that asking for the status loads neither exchanges nor models.
"""

import importlib
import os
import sys

import rich_click as click

from agent.errors import OddsdError

COMMANDS = {
    "run": "agent.commands.daemon:run",
    "run-now": "agent.commands.daemon:run_now",
    "status": "agent.commands.status:status",
    "once": "agent.commands.once:once",
    "runs": "agent.commands.runs:runs",
    "pause": "agent.commands.jobs:pause",
    "resume": "agent.commands.jobs:resume",
    "dead-letter": "agent.commands.jobs:dead_letter",
    "take-over": "agent.commands.jobs:take_over",
    "predict": "agent.commands.predict:predict",
    "benchmark": "agent.commands.benchmark:benchmark",
    "replay": "agent.commands.replay:replay",
    "record": "agent.commands.record:record",
    "why": "agent.commands.market:why",
    "backfill": "agent.commands.market:backfill",
    "spend": "agent.commands.spend:spend",
    "arbitrage": "agent.commands.arbitrage:arbitrage",
    "doctor": "agent.commands.doctor:doctor",
    "check": "agent.commands.check:check",
    "queue": "agent.commands.queue:queue",
    "sync-now": "agent.commands.sync:sync_now",
    "audit": "agent.commands.sync:audit",
    "rotate-stream": "agent.commands.sync:rotate_stream",
    "recover": "agent.commands.sync:recover",
    "backup": "agent.commands.backup:backup",
    "check-config": "agent.commands.config:check_config",
    "show-config": "agent.commands.config:show_config",
}


class _Commands(click.RichGroup):
    """Finds a subcommand by its name in the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table: what is used most comes first."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="oddsd")
def commands() -> None:
    """Watch prediction markets, explain them, forecast them, and keep an honest record. It never trades."""


def main() -> None:
    """Run a command; what can be foreseen is a sentence, its advice and an exit code, a traceback is a bug."""
    try:
        commands(prog_name="oddsd")
    except OddsdError as exc:
        print(f"oddsd: {exc}", file=sys.stderr)
        if exc.advice:
            print(f"       {exc.advice}", file=sys.stderr)
        raise SystemExit(exc.exit_code) from exc
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] in {"agent", "sync"}:
            raise  # ours: a bug
        print(f"oddsd: the package {exc.name} is not installed here", file=sys.stderr)
        print("       the daemon's packages are an extra: pip install 'oddsd[edge]'", file=sys.stderr)
        raise SystemExit(69) from exc
    except BrokenPipeError:
        # The reader of a pipe has seen enough; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
