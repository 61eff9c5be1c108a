"""The operator's file: there is stop, gone is go."""

from agent.llm.killswitch import REASON_CHARS, file_switch


def test_no_file_lets_everything_pass(tmp_path):
    """The normal case."""
    assert file_switch(tmp_path / "kill-switch")() is None


def test_an_empty_file_stops(tmp_path):
    """`touch` is enough in a hurry."""
    path = tmp_path / "kill-switch"
    path.touch()

    assert file_switch(path)() == f"model calls are stopped by the file {path}"


def test_a_file_that_cannot_be_read_stops(tmp_path):
    """In doubt nothing is paid."""
    path = tmp_path / "kill-switch"
    path.mkdir()

    assert "stopped by the file" in file_switch(path)()


def test_its_first_line_is_the_reason_in_plain_characters(tmp_path):
    """It ends up on screens and in logs."""
    path = tmp_path / "kill-switch"
    path.write_bytes(b"too \x1b[31mdear\xff" + b"x" * 5_000 + b"\nmore")

    reason = file_switch(path)()

    assert ": too  [31mdear" in reason
    assert "\x1b" not in reason
    assert "more" not in reason
    assert len(reason) < len(str(path)) + REASON_CHARS + 50
