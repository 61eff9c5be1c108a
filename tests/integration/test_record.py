"""The record asked: its head, a verification that finds what was done to it, an export that verifies anywhere."""

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from agent.commands.record import record as command
from agent.core.record import Head, head_after
from agent.desk import record as desk
from agent.desk.base import Desk
from agent.desk.record import AskExport, AskHead, AskVerify, verified
from agent.settings import Settings
from agent.store.predictions import append_predictions, load_head, load_record
from tests.factories import NOON, make_prediction
from tests.integration.predicting import save_open

N = 7


@pytest.fixture
async def asked(store, tmp_path, monkeypatch):
    """A record of seven, read three at a time, and a desk to ask at."""
    monkeypatch.setattr(desk, "STRETCH", 3)
    await save_open(store, ["kalshi:A"])
    async with store.write() as tx:
        await append_predictions(
            tx, [make_prediction(prediction_id=f"p{i}", market_key="kalshi:A", experiment=f"e{i}") for i in range(N)]
        )
    at = Desk(store, Settings(data_dir=tmp_path), NOON)

    async def ask(question):
        return await question.answer(at)

    return ask


async def test_the_head_is_the_newest_prediction(store, asked):
    """What anybody may note down."""
    head = await asked(AskHead())

    assert (head.seq, head.record_hash) == (N, (await load_head(store.reader)).record_hash)
    assert head.chain is not None
    assert head.predicted_at == NOON


async def test_an_empty_record_has_a_head_and_holds(store):
    """Before the first prediction there is nothing to doubt."""
    at = Desk(store, Settings(), NOON)

    assert (await AskHead().answer(at)).seq == 0
    assert (await AskVerify().answer(at)).fault_at is None


@pytest.mark.parametrize("first", range(1, N + 1))
async def test_a_sound_record_holds_from_anywhere(asked, first):
    """Whole, and from each record on."""
    found = await asked(AskVerify(from_seq=first))

    assert (found.fault_at, found.n, found.last) == (None, N - first + 1, N)


TAMPERINGS = {
    "edited": "UPDATE predictions SET body = CAST(json_replace(body, '$.probability_yes', 0.9) AS BLOB) WHERE chain_seq = 4",
    "dropped": "DELETE FROM predictions WHERE chain_seq = 4",
    "reordered": "UPDATE predictions SET body = CASE chain_seq WHEN 4 THEN"
    " (SELECT body FROM predictions WHERE chain_seq = 5) ELSE (SELECT body FROM predictions WHERE chain_seq = 4) END"
    " WHERE chain_seq IN (4, 5)",
    "repeated": "UPDATE predictions SET body = (SELECT body FROM predictions WHERE chain_seq = 3) WHERE chain_seq = 4",
}


@pytest.mark.parametrize("sql", TAMPERINGS.values(), ids=TAMPERINGS)
async def test_tampering_in_the_file_is_found_at_its_place(store, asked, sql):
    """Whoever opens the file with any tool: an edit, a gap, an exchange, a repetition."""
    async with store.write() as tx:
        await tx.execute(sql)

    assert (await asked(AskVerify())).fault_at == 4
    assert (await asked(AskVerify(from_seq=2))).fault_at == 4


async def test_a_cut_tail_shows_against_a_head_noted_before(store, asked):
    """A chain cannot know its own end; whoever noted one can."""
    head = await load_head(store.reader)
    async with store.write() as tx:
        await tx.execute("DELETE FROM predictions WHERE chain_seq > 5")

    assert (await asked(AskVerify())).fault_at is None
    found = await asked(AskVerify(published_seq=head.seq, published_hash=head.record_hash))
    assert (found.fault_at, found.reason) == (6, "the record ends before the published head 7")


async def test_a_published_head_in_the_middle_is_met_or_refused(store, asked):
    """An old note still proves all that came before it."""
    third = (await load_record(store.reader))[2]

    good = await asked(AskVerify(published_seq=3, published_hash=third.record_hash))
    bad = await asked(AskVerify(published_seq=3, published_hash="0" * 64))
    early = await asked(AskVerify(from_seq=5, published_seq=3, published_hash=third.record_hash))

    assert good.fault_at is None
    assert (bad.fault_at, "published head" in bad.reason) == (3, True)
    assert "verify from there" in early.reason


async def test_a_beginning_that_is_not_there_is_told(store, asked):
    """From a number beyond the end, or behind a gap."""
    assert (await asked(AskVerify(from_seq=20))).reason == "record 19 is not there to begin from"


async def test_a_stored_hash_that_is_not_the_records_is_found(store, asked):
    """The column the status shows must be the record's own."""
    async with store.write() as tx:
        await tx.execute("UPDATE predictions SET record_hash = ? WHERE chain_seq = ?", ("f" * 64, N))

    assert "the stored head" in (await asked(AskVerify())).reason


async def test_an_export_verifies_without_us(store, asked, tmp_path):
    """A file and the rule: whole, from the middle, against a head, and after somebody touched it."""
    records = await asked(AskExport())
    file, head = tmp_path / "record.jsonl", head_after(records[-1])
    file.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in records))

    def verify(*options):
        result = CliRunner().invoke(command, ["verify", "--file", str(file), "--json", *options])
        return result.exit_code, json.loads(result.output)

    assert verify()[0] == 0
    assert verify("--from", "3")[1]["n"] == N - 2
    assert verify("--head", f"{head.seq}:{head.record_hash}")[0] == 0
    file.write_text(file.read_text().replace('"probability_yes":0.55', '"probability_yes":0.65', 1))
    assert verify()[0] == 1
    assert verify()[1]["fault_at"] == 1


async def test_an_export_comes_in_stretches(asked):
    """However long the record, an answer has an end."""
    assert [p.chain_seq for p in await asked(AskExport(from_seq=3, limit=2))] == [3, 4]
    assert await asked(AskExport(from_seq=N + 1)) == []


async def test_verification_needs_no_memory_of_the_whole(store, asked):
    """Stretch by stretch gives the same verdict as all at once."""
    assert (await verified(store.reader, 1, Head(N, (await load_head(store.reader)).record_hash))).fault_at is None


def test_a_file_that_is_no_record_is_told_by_its_line(tmp_path: Path):
    """Exit 65: the data are wrong, not the record."""
    file = tmp_path / "x.jsonl"
    file.write_text("hello\n")

    assert CliRunner().invoke(command, ["verify", "--file", str(file)]).exit_code == 65


def test_an_export_that_cannot_be_written_is_a_sentence(tmp_path: Path):
    """A folder misspelt in a cron job is no bug of ours."""
    path = tmp_path / "nowhere" / "record.jsonl"
    result = CliRunner().invoke(command, ["export", "--output", str(path)])

    assert (result.exit_code, str(path) in result.stderr) == (74, True)
