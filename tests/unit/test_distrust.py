"""When a device that failed may be written to again, whatever the clock did meanwhile."""

from datetime import UTC, datetime, timedelta

from agent.distrust import NAME, note, resting_until

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def minutes(n: float) -> datetime:
    return NOON + timedelta(minutes=n)


def test_one_error_is_an_accident(tmp_path):
    """The restart reads the file anew and goes on."""
    note(tmp_path, NOON, "SQLITE_IOERR_FSYNC")

    assert resting_until(tmp_path, minutes(1)) is None


def test_two_within_an_hour_rest_until_an_hour_after_the_second(tmp_path):
    """A device that fails again is failing."""
    for at in (0, 40):
        note(tmp_path, minutes(at), "SQLITE_IOERR_FSYNC")

    assert resting_until(tmp_path, minutes(41)) == minutes(100)
    assert resting_until(tmp_path, minutes(100)) is None


def test_two_far_apart_are_two_accidents(tmp_path):
    """A loose cable once a week stops nobody for an hour."""
    for at in (0, 61):
        note(tmp_path, minutes(at), "SQLITE_IOERR_WRITE")

    assert resting_until(tmp_path, minutes(62)) is None


def test_a_clock_put_back_a_day_does_not_rest_for_a_day(tmp_path):
    """Times from the future of a wrong clock are not waited for."""
    for at in (0, 1):
        note(tmp_path, minutes(at), "SQLITE_IOERR_WRITE")

    assert resting_until(tmp_path, NOON - timedelta(days=1)) is None
    assert resting_until(tmp_path, minutes(-10)) == minutes(61)


def test_a_file_that_cannot_be_read_is_no_error(tmp_path):
    """Half a line is what a failing device leaves."""
    (tmp_path / NAME).write_bytes(b"2026-11-21T12:00:00+00:00 x\n2026-11-2\n\xff\xfe")
    assert resting_until(tmp_path, NOON) is None
    (tmp_path / NAME).write_text(f"{NOON.isoformat()} x\nnonsense\n{minutes(1).isoformat()} y\n")
    assert resting_until(tmp_path, minutes(2)) == minutes(61)


def test_only_the_newest_are_kept(tmp_path):
    """A device that fails for a year does not fill the rest of itself with words."""
    for at in range(30):
        note(tmp_path, minutes(at), "SQLITE_IOERR_WRITE")

    assert len((tmp_path / NAME).read_text().splitlines()) == 10
