"""One replay from a folder of recordings into a database of its own. For the command and for tests."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from agent.core.patterns.registry import guard
from agent.errors import ConfigError
from agent.jobs.detectors import load_detectors
from agent.replay.run import Replayed, SimulatedClock, frames, replay
from agent.replay.series import load_for_replay
from agent.settings import Settings
from agent.store.db import Store
from agent.store.lock import data_dir_lock


async def replay_recordings(
    settings: Settings, folder: Path, *, start: datetime | None, end: datetime | None, into: Path | None
) -> Replayed:
    """Replay what lies within [start, end]; the database is gone afterwards unless `into` names a folder for it.

    Raises: ConfigError where there is nothing to replay, or `into` holds a database already; VenueDataError.
    """
    series = load_for_replay(folder)
    looks = frames(series, _utc(start), _utc(end))
    if not looks:
        raise ConfigError([f"{folder}: no recorded look between {start or 'the first'} and {end or 'the last'}"])
    with TemporaryDirectory(prefix="oddsd-") as temporary:
        target = into or Path(temporary)
        if (target / "oddsd.db").exists():
            raise ConfigError([f"{target}: holds a database already; a replay starts from nothing and mixes with none"])
        clock = SimulatedClock(next(iter(looks)))
        target.mkdir(parents=True, exist_ok=True)
        with data_dir_lock(target):
            async with await Store.open(target / "oddsd.db", clock=clock) as store:
                return await replay(
                    store,
                    clock,
                    looks,
                    names=[one.name for one in series if set(one.looks) & looks.keys()],
                    detectors=load_detectors(settings.patterns),
                    guard=guard(settings.patterns),
                )


def _utc(moment: datetime | None) -> datetime | None:
    """What a command line names is UTC."""
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
