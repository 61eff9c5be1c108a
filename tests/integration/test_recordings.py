"""`oddsd once collect --recordings`: recorded files through the whole of collect, each accounted for."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.core.patterns.registry import BUILT_IN
from agent.errors import ConfigError, VenueDataError
from agent.recordings import NO_LISTING, collect_recordings, events_in, read_file, render
from sync.records import Venue
from tests.factories import NOON
from tests.fakes.exchange_pages import GAMMA_EVENT, GAMMA_MARKET, KALSHI_MARKET


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings of Polymarket, four files of Kalshi of which one is a listing and one is broken."""
    files = {
        "polymarket/a.json": [GAMMA_EVENT | {"markets": [GAMMA_MARKET, GAMMA_MARKET | {"bestBid": 7}]}],
        "polymarket/b.json": {"captured": 1, "data": [GAMMA_MARKET | {"bestBid": 0.39}]},
        "kalshi/book.json": {"orderbook": {"yes": [[1, 2]]}},
        "kalshi/markets.json": {"response": {"markets": [KALSHI_MARKET, KALSHI_MARKET | {"ticker": "KXMVE-1"}]}},
    }
    for name, document in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(document))
    (tmp_path / "kalshi" / "broken.json").write_text('{"markets": [')
    (tmp_path / "kalshi" / "series.csv").write_text("a,b\n")
    return tmp_path


async def test_every_file_is_accounted_for(store, folder):
    """What was not read is said beside what was."""
    files = {one.file: one for one in await collect_recordings(store, folder, BUILT_IN)}

    a, b, listing = files["a.json"], files["b.json"], files["markets.json"]
    assert (a.records, a.markets, a.rejects, a.standing) == (2, 1, 1, {"open": 1})
    assert (b.markets, b.stored) == (1, 1)  # the same market, its bid has moved
    assert (listing.records, listing.markets, listing.dropped) == (2, 1, 1)
    assert (files["book.json"].note, files["series.csv"].note) == (NO_LISTING, NO_LISTING)
    assert (files["broken.json"].error or "").startswith("broken.json: not JSON")
    assert render(list(files.values())).splitlines()[-1] == "6 files, 1 exceptions"
    assert await store.reader.fetch_value("SELECT count(*) FROM quotes") == 3


@pytest.mark.parametrize("body", ["[" * 100_000, '{"markets":' * 50_000, "\x00", '"\udcff'])
def test_a_file_that_is_no_document_is_named_and_not_a_crash(tmp_path: Path, body: str) -> None:
    """Somebody's disk, somebody's editor: the other files are still read."""
    file = tmp_path / "odd.json"
    file.write_bytes(body.encode("utf-8", "surrogateescape"))
    with pytest.raises(VenueDataError, match=r"odd\.json: not JSON"):
        read_file(Venue.KALSHI, file, NOON)


async def test_a_folder_without_recordings_is_an_error(store, tmp_path):
    """A table of nothing would look like success."""
    with pytest.raises(ConfigError, match="no recordings there"):
        await collect_recordings(store, tmp_path, BUILT_IN)


async def test_the_recordings_beside_the_project_are_read_without_an_exception(store, recordings):
    """Real payloads of six years and every format of both venues."""
    files = await collect_recordings(store, recordings, BUILT_IN)

    assert [one.file for one in files if one.error] == []
    assert sum(one.rejects for one in files) == 0
    sums = {name: sum(getattr(one, name) for one in files) for name in ("records", "markets", "quotes", "dropped")}
    assert sums == {"records": 1819, "markets": 1740, "quotes": 1351, "dropped": 79}
    assert sum(one.patterns for one in files) > 0


def test_bare_markets_go_back_under_the_event_they_name():
    """A detector of sums looks at events."""
    one, other = KALSHI_MARKET | {"ticker": "A"}, KALSHI_MARKET | {"ticker": "B"}

    (event,) = events_in({"cursor": "", "markets": [one, other]})
    assert (event["event_ticker"], event["series_ticker"]) == ("KXNBA-27", "KXNBA")
    assert [market["ticker"] for market in event["markets"]] == ["A", "B"]


def command(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """The installed command with a configuration of its own."""
    config = folder / "oddsd.toml"
    config.write_text(f"data_dir = {json.dumps(str(folder / 'live'))}\nruntime_dir = {json.dumps(str(folder))}\n")
    run = [Path(sys.executable).with_name("oddsd"), *words, "--config", config]
    return subprocess.run(run, capture_output=True, text=True, timeout=30, check=False)


def test_the_command_prints_the_counts_and_keeps_its_database_where_asked(folder):
    """The live data directory is never touched: recordings must not travel."""
    asked = ("once", "collect", "--recordings", folder)
    kept = command(folder, *asked, "--json", "--into", folder / "kept")

    assert kept.returncode == 1  # one file is broken
    assert [one["file"] for one in json.loads(kept.stdout) if one["error"]] == ["broken.json"]
    assert (folder / "kept" / "oddsd.db").is_file()
    assert not (folder / "live").exists()
    (folder / "kalshi" / "broken.json").unlink()
    shown = command(folder, *asked)
    assert (shown.returncode, shown.stdout.splitlines()[-1]) == (0, "5 files, 0 exceptions")


def test_the_command_refuses_what_would_spoil_the_live_store(folder):
    """And jobs that recordings cannot serve."""
    asked = ("once", "collect", "--recordings", folder)
    live, other = command(folder, *asked, "--into", folder / "live"), command(folder, *asked, "predict")

    assert (live.returncode, other.returncode) == (78, 64)
    assert "recordings do not go into the data directory" in live.stderr


def test_why_reads_the_store_while_no_daemon_runs(folder):
    """The question often comes after the daemon was stopped."""
    command(folder, "once", "collect", "--recordings", folder, "--into", folder / "kept")
    (folder / "kept").rename(folder / "live")
    told, scripted, unknown = (
        command(folder, "why", *words) for words in (["clippers"], ["0x4e2d", "--json"], ["nobody"])
    )

    title, seen, sent, *_ = told.stdout.splitlines()
    assert title == "polymarket:0x4e2d  Will the Clippers win?"
    assert seen.startswith("  seen     book as of 20")
    assert sent.startswith("  send     its records travel")
    assert [one["question"] for one in json.loads(scripted.stdout)[0]["answers"]] == ["send", "analyse", "predict"]
    assert unknown.returncode == 64
    assert "no market we hold is 'nobody'" in unknown.stderr
