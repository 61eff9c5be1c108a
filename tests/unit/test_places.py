"""The short way to the control socket says what the settings say, or says nothing."""

import pytest

from agent.places import quick_runtime_dir
from agent.settings import load_settings


@pytest.mark.parametrize(
    ("toml", "environment"),
    [
        ('host_id = "a"\n', {}),
        ('runtime_dir = "/run/else"\n', {}),
        ('runtime_dir = "/run/else"\n', {"ODDSD_RUNTIME_DIR": "/run/env"}),
        ('runtime_dir = "relative"\n', {}),
        ("", {"oddsd_runtime_dir": "/run/lower"}),
        ("", {}),
    ],
    ids=["not named", "file", "environment wins", "relative", "lower case", "empty file"],
)
def test_where_it_answers_it_answers_as_the_settings(tmp_path, monkeypatch, toml, environment):
    """A status that asks at another place than the daemon listens would call it dead."""
    file = tmp_path / "oddsd.toml"
    file.write_text(toml)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert quick_runtime_dir(file) == load_settings(file).runtime_dir


def test_the_file_may_be_named_in_the_environment(tmp_path, monkeypatch):
    """As for the daemon itself."""
    file = tmp_path / "other.toml"
    file.write_text('runtime_dir = "/run/other"\n')
    monkeypatch.setenv("ODDSD_CONFIG", str(file))

    assert quick_runtime_dir(None) == load_settings(None).runtime_dir


@pytest.mark.parametrize(
    ("toml", "environment"),
    [
        ("not toml", {}),
        ("runtime_dir = 3\n", {}),
        ("", {"ODDSD_RUNTIME_DIR": ""}),
        ("", {"CREDENTIALS_DIRECTORY": "/nowhere"}),
        ("", {"ODDSD_RUNTIME_DIR": "/a", "oddsd_runtime_dir": "/b"}),
    ],
    ids=["no TOML", "no text", "empty", "credentials", "given twice"],
)
def test_where_it_cannot_be_sure_the_settings_are_asked(tmp_path, monkeypatch, toml, environment):
    """They know every source and say every fault."""
    file = tmp_path / "oddsd.toml"
    file.write_text(toml)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert quick_runtime_dir(file) is None


def test_a_file_that_is_not_there_is_for_the_settings_to_tell(tmp_path):
    """Exit code 66 comes from them."""
    assert quick_runtime_dir(tmp_path / "none.toml") is None
