"""`oddsd replay`: recorded series through today's rules, offline, the same every time."""

import json
import socket
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from agent.commands.benchmark import benchmark
from agent.commands.replay import replay
from agent.core.patterns.base import History
from agent.core.patterns.registry import BUILT_IN, guard
from agent.errors import ConfigError
from agent.replay.run import Replayed, SimulatedClock, frames
from agent.replay.run import replay as replay_frames
from agent.replay.series import Series, load_for_replay
from agent.replay.session import replay_recordings
from agent.settings import Settings
from agent.store.db import Store
from sync.records import Market, MarketStatus, Resolution
from tests.factories import NOON, make_market, make_quote

HOUR = timedelta(hours=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An edge whose own data directory stays untouched."""
    return Settings(data_dir=tmp_path / "live", runtime_dir=tmp_path / "run", host_id="t")


def made_series(n_markets: int = 3, *, ends: bool = True) -> Series:
    """A day and a half of hourly looks at some markets, the last of them decided."""
    histories, endings = list[History](), list[Market]()
    looks = [NOON + n * HOUR for n in range(36)]
    for number in range(n_markets):
        key = f"kalshi:MADE-{number}"
        market = make_market(market_key=key, event_id=f"E{number}", close_time=None, category="Made")
        quotes = [
            make_quote(market_key=key, fetched_at=at, bid=round(0.40 + 0.005 * n, 3), ask=round(0.42 + 0.005 * n, 3))
            for n, at in enumerate(looks)
        ]
        histories.append(History(market, quotes))
        if ends:
            endings.append(
                msgspec.structs.replace(
                    market, status=MarketStatus.RESOLVED, resolution=Resolution.YES, resolution_value=1.0,
                    fetched_at=looks[-1] + 2 * HOUR, closed_time=looks[-1] + 2 * HOUR,
                )
            )  # fmt: skip
    day = timedelta(days=1)
    return Series("made", histories, looks, day, day, HOUR, frozenset(), tuple(endings))


async def replayed(path: Path, series: Series, start: datetime | None = None, end: datetime | None = None) -> Replayed:
    looks = frames([series], start, end)
    clock = SimulatedClock(next(iter(looks)))
    async with await Store.open(path, clock=clock) as store:
        return await replay_frames(store, clock, looks, names=["made"], detectors=BUILT_IN, guard=guard({}))


async def test_two_replays_end_with_the_same_digest_and_another_series_with_another(tmp_path):
    """Without that a changed rule could not be told from a changed draw."""
    first = await replayed(tmp_path / "a.db", made_series())
    second = await replayed(tmp_path / "b.db", made_series())
    other = await replayed(tmp_path / "c.db", made_series(4))

    assert first == second
    assert other.digest != first.digest
    assert other.record_head != first.record_head


async def test_a_replay_goes_the_whole_way(tmp_path):
    """Forecasts of the references, checks each hour, horizons with their prices, scores at the answer."""
    found = await replayed(tmp_path / "a.db", made_series())

    assert (found.looks, found.markets, found.predictions) == (37, 3, 9)
    assert found.checks == 9 * 36 + 9  # an hourly one each, and the last that says it is over
    assert found.scores == 9
    assert found.scores_excluded == 0
    assert found.marks == 9 * 7
    assert found.marks_missing == 9 * 2  # 72 and 168 hours: the market was over before


async def test_a_stretch_of_time_is_replayed_alone(tmp_path):
    """From and to are moments of the recording, both included."""
    found = await replayed(tmp_path / "a.db", made_series(), NOON + 2 * HOUR, NOON + 5 * HOUR)

    assert (found.first_at, found.last_at, found.looks) == (NOON + 2 * HOUR, NOON + 5 * HOUR, 4)


async def test_a_market_that_ended_is_not_revived_by_later_rows(tmp_path):
    """Recorders go on listing what is over."""
    series = made_series(1)
    early = msgspec.structs.replace(series.endings[0], fetched_at=NOON + 10 * HOUR, closed_time=NOON + 10 * HOUR)
    cut = Series(*(getattr(series, name) for name in series.__dataclass_fields__ if name != "endings"), (early,))

    found = await replayed(tmp_path / "a.db", cut)

    assert (found.looks, found.scores) == (11, 3)


@pytest.mark.slow
def test_recorded_hours_twice_give_the_same_digest_and_a_report(recordings, tmp_path, monkeypatch):
    """Real recordings, without a network: tables with n, intervals and nulls come out of the database it keeps."""
    monkeypatch.setenv("COLUMNS", "80")
    config = tmp_path / "oddsd.toml"
    config.write_text(f'data_dir = "{tmp_path}/live"\nruntime_dir = "{tmp_path}/run"\n')
    told = list[dict[str, object]]()
    for name in ("a", "b"):
        words = ["--recordings", str(recordings), "--from", "2026-07-26", "--to", "2026-07-26T02:00", "--json"]
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a replay is offline"))
            result = CliRunner().invoke(
                replay, [*words, "--into", str(tmp_path / name), "--config", str(config)], catch_exceptions=False
            )
        assert result.exit_code == 0
        told.append(json.loads(result.stdout))

    assert told[0] == told[1]
    assert told[0]["series"] == ["Kalshi games, 15 min"]
    shown = CliRunner().invoke(
        benchmark, ["report", "--experiment", "coin", "--data-dir", str(tmp_path / "a"), "--config", str(config)]
    )
    for word in ("no skill", "95 %", "events", "signed move", "1h (corrected"):
        assert word in shown.output
    assert not (tmp_path / "live").exists()


async def test_every_recorded_series_can_be_read(recordings):
    """Nine of them, each with looks; the settled ones with their answers."""
    found = {one.name: one for one in load_for_replay(recordings)}

    assert len(found) == 8
    assert {market.resolution for market in found["World Cup, 12 h"].endings} >= {Resolution.YES, Resolution.NO}
    assert len(found["Kalshi weather, settled"].endings) == 1134
    assert all(one.looks for one in found.values())


async def test_a_folder_without_series_is_refused_in_words(settings, tmp_path):
    """It says where recordings are looked for."""
    with pytest.raises(ConfigError, match="no recorded series there"):
        await replay_recordings(settings, tmp_path, start=None, end=None, into=None)


async def test_a_stretch_without_looks_is_refused_in_words(settings, recordings):
    """A typing error in a date is not an empty success."""
    with pytest.raises(ConfigError, match="no recorded look"):
        await replay_recordings(settings, recordings, start=NOON + timedelta(days=3000), end=None, into=None)


async def test_a_database_that_is_there_is_never_replayed_into(settings, recordings, tmp_path):
    """Neither a live one, whose records travel, nor another replay's."""
    (tmp_path / "oddsd.db").touch()

    with pytest.raises(ConfigError, match="holds a database already"):
        await replay_recordings(settings, recordings, start=None, end=None, into=tmp_path)


def test_from_after_to_is_refused(recordings, tmp_path):
    """Usage, not a failure of the replay."""
    config = tmp_path / "oddsd.toml"
    config.write_text(f'data_dir = "{tmp_path}/live"\n')
    words = ["--recordings", str(recordings), "--from", "2026-07-27", "--to", "2026-07-26", "--config", str(config)]

    assert CliRunner().invoke(replay, words).exit_code == 64
