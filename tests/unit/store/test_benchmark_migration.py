"""Predictions and checks from before the benchmark had tables of its own: nothing of them is lost, nothing invented."""

import sqlite3
from datetime import timedelta
from pathlib import Path

import msgspec

from agent.core.instants import to_ms
from agent.store.checks import load_checks
from agent.store.db import APPLICATION_ID, Store, _migrations
from agent.store.score_rows import load_rows
from sync.records import Check, Movement
from tests.factories import NOON, make_check, make_market, make_prediction

HOUR = timedelta(hours=1)
BEFORE = 7


def old_file(path: Path, checks: list[Check]) -> None:
    """A file of the release before, with one market, two predictions and the checks of the first."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")
    for number, sql in _migrations():
        if number <= BEFORE:
            connection.executescript(sql)
    connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {BEFORE};")
    market, encode = make_market(), msgspec.json.encode
    connection.execute(
        "INSERT INTO markets (id, market_key, venue, status, event_id, digest, first_seen_at, changed_at, body)"
        " VALUES (1, ?, ?, 'open', ?, x'00', 0, 0, ?)",
        (market.market_key, market.venue, market.event_id, encode(market)),
    )
    for seq, state in ((1, "active"), (2, "completed")):
        one = make_prediction(prediction_id=f"p{seq}", chain_seq=seq, model=f"m{seq}", probability_yes=0.55)
        connection.execute(
            "INSERT INTO predictions (chain_seq, prediction_id, market_id, experiment, experiment_version, model,"
            " run_day, predicted_at, state, record_hash, body) VALUES (?, ?, 1, ?, '1', ?, ?, ?, ?, '', ?)",
            (seq, f"p{seq}", one.experiment, one.model, one.run_day.isoformat(), to_ms(NOON), state, encode(one)),
        )
    connection.executemany(
        "INSERT INTO checks (prediction_id, checked_at, abs_delta, body) VALUES (?, ?, ?, ?)",
        [(one.prediction_id, to_ms(one.checked_at), one.abs_delta, encode(one)) for one in checks],
    )
    connection.close()


async def test_checks_and_predictions_come_through_the_migration_unchanged(tmp_path: Path, clock) -> None:
    """The same records, field by field; the last one with a price is what the next rate is reckoned from."""
    stale = {"yes_price": None, "no_price": None, "abs_delta": None, "convergence_rate": None,
             "cumulative_convergence": None, "signed_move": None}  # fmt: skip
    checks = [
        make_check(prediction_id="p1", checked_at=NOON + HOUR),
        make_check(
            prediction_id="p1", checked_at=NOON + 2 * HOUR, hours_since_prediction=2.0,
            movement_direction=Movement.STALE, **stale,
        ),
    ]  # fmt: skip
    old_file(tmp_path / "oddsd.db", checks)

    async with await Store.open(tmp_path / "oddsd.db", clock=clock) as store:
        found = await load_checks(store.reader, "p1")
        first, second = await load_rows(store.reader)
        (row, _) = await store.reader.fetch("SELECT * FROM standings ORDER BY chain_seq")

    assert found == checks
    assert (first.latest_mid, first.movement, first.hours_watched) == (0.45, Movement.STALE, 1.0)
    assert (second.prediction_id, second.latest_mid, second.hours_watched) == ("p2", None, 0.0)
    assert (row["checked_at"], row["abs_delta"], row["probability"]) == (to_ms(NOON + HOUR), 0.10, 0.55)
    assert (row["marked"], row["settled"], row["scored"]) == (0, 0, 0)
