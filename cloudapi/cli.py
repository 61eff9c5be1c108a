"""The command `oddsd-cloud`: migrate, serve, worker, dev, key. Thin: reads settings and calls the room that knows.

Exit codes: 0 done, 1 nothing to revoke, 69 database away, 75 already running, 78 configuration (all faults listed).
"""

import asyncio
import json
import logging
import os
import secrets
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import msgspec
import rich_click as click
import structlog

from cloudapi import flags, keys
from cloudapi.db import AWAY
from cloudapi.errors import CloudError, ConfigError, DatabaseAway
from cloudapi.flags import Flag
from cloudapi.queries import accounts
from cloudapi.settings import CloudSettings, Environment
from cloudapi.tiers import Tier

CONNECT_TIMEOUT_S = 10

T = TypeVar("T")


def main() -> None:
    """Run a command; what we expect to go wrong is a sentence and an exit code, a traceback is a bug."""
    try:
        commands(prog_name="oddsd-cloud")
    except ConfigError as exc:
        for fault in exc.faults:
            print(f"configuration: {fault}", file=sys.stderr)
        sys.exit(exc.exit_code)
    except CloudError as exc:
        print(f"oddsd-cloud: {exc}", file=sys.stderr)
        sys.exit(exc.exit_code)


@click.group()
@click.version_option(package_name="oddsd")
def commands() -> None:
    """The cloud side of oddsd: serves what the edge has worked out."""


@commands.command()
def migrate() -> None:
    """Bring the database at DATABASE_URL to this release, as STORAGE_BACKEND says if it is new. Safe to repeat."""
    from cloudapi.migrations import runner

    settings = CloudSettings.load()
    address = settings.database_url.get_secret_value()
    _report_migration(runner.migrate(address, storage=settings.storage_backend))


@commands.command()
@click.option("--once", is_flag=True, help="What is due now, as JSON, and end; for a cron job.")
def worker(*, once: bool) -> None:
    """Look after stored prices, and send what subscribers are owed. Any number of them may run."""
    from cloudapi import worker as duties

    settings = CloudSettings.load()
    _set_up_log(settings.env)
    if not once:
        asyncio.run(duties.serve(settings))
        return
    try:
        print(json.dumps(asyncio.run(duties.Worker(settings).run_once())))
    except AWAY as exc:
        raise DatabaseAway(f"DATABASE_URL does not answer: {exc or type(exc).__name__}") from exc


@commands.command()
@click.option("--host", help="Address to bind; without it, all IPv4 and IPv6 addresses.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to bind; PORT, or 8000.")
def serve(host: str | None, port: int | None) -> None:
    """Serve the API from the database at DATABASE_URL."""
    given = {"host": host, "port": port}
    settings = CloudSettings.load(**{name: value for name, value in given.items() if value is not None})
    _set_up_log(settings.env)
    _run(settings, on_ready=lambda bound: print(f"serving on port {bound}", flush=True))


@commands.command()
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Where the database lives.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free port.")
@click.option("--ready-file", type=click.Path(path_type=Path, dir_okay=False), help="JSON written once serving.")
def dev(data_dir: Path | None, port: int, ready_file: Path | None) -> None:
    """Serve and work on this machine alone, with a PostgreSQL of its own. Never for a server."""
    if os.environ.get("ODDSD_ENV") == Environment.PRODUCTION:
        raise ConfigError(["ODDSD_ENV: dev trusts every local user and refuses production; use migrate and serve"])
    try:
        from cloudapi.embedded import EDGE_ROLE, EmbeddedServer, default_data_dir
    except ModuleNotFoundError as exc:
        raise ConfigError(["dev needs a PostgreSQL of its own: pip install 'oddsd[embedded]'"]) from exc
    from cloudapi import worker as duties
    from cloudapi.migrations import runner

    _set_up_log(Environment.DEVELOPMENT)
    with EmbeddedServer((data_dir or default_data_dir()).resolve()) as server:
        server.ensure_database("oddsd")
        owner_dsn = server.dsn("oddsd")
        _report_migration(runner.migrate(owner_dsn))
        settings = CloudSettings.load(database_url=owner_dsn, host="127.0.0.1", port=port, redis_url=None, drain_s=1)

        def announce(bound: int) -> None:
            state = {
                "url": f"http://127.0.0.1:{bound}",
                "database_url": owner_dsn,
                "edge_database_url": server.dsn("oddsd", user=EDGE_ROLE),
                "pid": os.getpid(),
            }
            print(f"serving on {state['url']} (documentation: {state['url']}/docs)")
            print(f"for the edge: DATABASE_URL={state['edge_database_url']}", flush=True)
            if ready_file is not None:
                _write_whole(ready_file, json.dumps(state))

        # Whoever tries it out gets the mails, webhooks and packed days as well.
        _run(settings, on_ready=announce, beside=lambda stop: duties.work(settings, stop))


@commands.command()
@click.option("--days", type=click.IntRange(1, 365), default=7, show_default=True, help="How far to look back.")
def sessions(*, days: int) -> None:
    """How soon predictions on demand began, and shadow ones beside the daily forecasts; JSON."""
    from cloudapi.queries.sessions import compare_shadows, load_figures

    async def work(db: "asyncpg.Connection[asyncpg.Record]") -> dict[str, object]:
        return {"figures": await load_figures(db, days), "shadows": await compare_shadows(db, days)}

    print(msgspec.json.format(msgspec.json.encode(_with_database(work)), indent=2).decode())


@commands.command()
def openapi() -> None:
    """Print the OpenAPI document of this release; `docs/openapi.json` is this."""
    from cloudapi import reference
    from cloudapi.app import create_app

    async def render() -> str:
        # Nothing connects while the service is built.
        return reference.render(create_app(CloudSettings.load(database_url="postgresql://localhost/none")))

    print(asyncio.run(render()), end="")


@commands.group()
def account() -> None:
    """People's accounts: create, change the tier, operators."""


@account.command("create")
@click.argument("email")
@click.option("--tier", type=click.Choice([tier.value for tier in Tier]), default=Tier.BASIC.value, show_default=True)
@click.option("--operator", is_flag=True, help="May see the edges.")
@click.password_option(help="Asked for unless given.")
def create_account(email: str, tier: str, password: str, *, operator: bool) -> None:
    """Make an account that can log in, also where REGISTRATION is closed."""
    from cloudapi.accounts import normal_email
    from cloudapi.passwords import Passwords, check_strength

    address = normal_email(email)
    check_strength(password, address)

    async def work(db: "asyncpg.Connection[asyncpg.Record]") -> bool:
        password_hash = await Passwords().hash(password)
        made = await accounts.save_person(db, email=address, password_hash=password_hash, tier=Tier(tier))
        if made is not None and operator:
            await accounts.set_operator(db, address, is_operator=True)
        return made is not None

    if not _with_database(work):
        print(f"{address} has an account already; change it with: oddsd-cloud account tier", file=sys.stderr)
        sys.exit(1)
    print(f"{address} may log in, tier {tier}")


@account.command("tier")
@click.argument("email")
@click.argument("tier", type=click.Choice([tier.value for tier in Tier]))
def change_tier(email: str, tier: str) -> None:
    """Move an account to another tier, on every replica at once."""
    from cloudapi.accounts import normal_email

    if not _with_database(lambda db: accounts.set_tier(db, normal_email(email), Tier(tier))):
        print(f"nobody has the e-mail {email}", file=sys.stderr)
        sys.exit(1)
    print(f"{email} is {tier}")


@account.command("operator")
@click.argument("email")
@click.option("--no", "ends", is_flag=True, help="Not any more.")
def change_operator(email: str, *, ends: bool) -> None:
    """Let an account see the edges: when they were seen, what waits there, how they are."""
    from cloudapi.accounts import normal_email

    if not _with_database(lambda db: accounts.set_operator(db, normal_email(email), is_operator=not ends)):
        print(f"nobody has the e-mail {email}", file=sys.stderr)
        sys.exit(1)
    print(f"{email} is {'no ' if ends else 'an '}operator{' any more' if ends else ''}")


@commands.group()
def flag() -> None:
    """Switches of capabilities: set, list. `outside` is the kill switch."""


@flag.command("set")
@click.argument("name", type=click.Choice([one.value for one in Flag]))
@click.argument("state", type=click.Choice(["on", "off"]))
@click.option("--share", type=click.IntRange(0, 100), default=100, show_default=True, help="Per cent of accounts.")
@click.option("--note", default="", help="Why, for who reads the list.")
def set_flag(name: str, state: str, share: int, note: str) -> None:
    """Turn a capability on or off, on every replica at once."""
    _with_database(lambda db: flags.set_flag(db, Flag(name), is_on=state == "on", share=share, why=note))
    print(f"{name} is {state}" + (f" for {share} % of accounts" if state == "on" and share < 100 else ""))


@flag.command("list")
def list_flags() -> None:
    """Every switch that was ever touched; the others are on."""
    for row in _with_database(flags.load_flags):
        word = "on" if row.is_on else "off"
        print(f"{row.name:<14} {word:<4} {row.share:>3} %  {row.changed_at:%Y-%m-%d}  {row.note}")


@commands.group()
def key() -> None:
    """API keys: create, list, revoke."""


@key.command("create")
@click.option("--name", required=True, help="Whose key it is.")
@click.option("--tier", type=click.Choice([tier.value for tier in Tier]), default=Tier.BASIC.value, show_default=True)
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["read", "manage", "ingest"]),
    multiple=True,
    default=("read",),
    show_default=True,
    help="May be given twice. manage: makes keys, opens a session in a browser; ingest: an edge's, which delivers "
    "over HTTPS and reads nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of words.")
def create_key(name: str, tier: str, scopes: tuple[str, ...], *, as_json: bool) -> None:
    """Make an account with a key. The key is shown this once and never again."""
    if "ingest" in scopes and len(set(scopes)) > 1:
        raise ConfigError(["--scope: ingest goes alone: who delivers reads nothing"])
    made = keys.make_key(secrets.token_bytes(keys.N_RANDOM_BYTES))
    prefix = _with_database(lambda db: accounts.save_key(db, key=made, name=name, tier=Tier(tier), scopes=scopes))
    if as_json:
        print(json.dumps({"key": made, "prefix": prefix, "name": name, "tier": tier, "scopes": scopes}))
    else:
        print(f"{made}\nKeep it: it is not shown again. Revoke it with: oddsd-cloud key revoke {prefix}")


@key.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
def list_keys(*, as_json: bool) -> None:
    """All keys ever made, by prefix; never the keys."""
    rows = _with_database(accounts.load_keys)
    if as_json:
        print(msgspec.json.encode(rows).decode())
        return
    for row in rows:
        state = f"revoked {row.revoked_at:%Y-%m-%d}" if row.revoked_at else "live"
        print(f"{row.prefix}...{row.last_four}  {row.tier:<8} {row.created_at:%Y-%m-%d}  {state:<18} {row.name}")


@key.command("revoke")
@click.argument("prefix")
def revoke_key(prefix: str) -> None:
    """Close the key with this prefix, on every replica at once."""
    if not _with_database(lambda db: accounts.revoke_key(db, prefix)):
        print(f"no live key has the prefix {prefix}; see: oddsd-cloud key list", file=sys.stderr)
        sys.exit(1)
    print(f"{prefix} is revoked")


def _with_database(work: Callable[["asyncpg.Connection[asyncpg.Record]"], Awaitable[T]]) -> T:
    """Run one piece of work on a connection of its own."""
    settings = CloudSettings.load()

    async def run() -> T:
        try:
            connection = await asyncpg.connect(settings.database_url.get_secret_value(), timeout=CONNECT_TIMEOUT_S)
        except AWAY as exc:
            raise DatabaseAway(f"DATABASE_URL does not answer: {exc or type(exc).__name__}") from exc
        try:
            return await work(connection)
        finally:
            await connection.close(timeout=CONNECT_TIMEOUT_S)

    return asyncio.run(run())


def _run(
    settings: CloudSettings,
    *,
    on_ready: Callable[[int], None],
    beside: Callable[[asyncio.Event], Coroutine[Any, Any, None]] | None = None,
) -> None:
    from cloudapi import server
    from cloudapi.app import create_app

    server.serve(lambda: create_app(settings), settings, on_ready=on_ready, beside=beside)


def _report_migration(done: list[str]) -> None:
    for sentence in done or ["the database is up to date"]:
        print(sentence, flush=True)


def _write_whole(path: Path, text: str) -> None:
    """A reader sees the whole file or none."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _set_up_log(env: Environment) -> None:
    """One line per event on stderr: JSON where a machine reads it, words elsewhere."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    # Plain tracebacks: the pretty ones print local variables, and those hold keys and addresses.
    words = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    last: list[Any] = [words]
    if env is Environment.PRODUCTION:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
