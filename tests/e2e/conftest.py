"""A real cloud database for whole processes to talk to."""

from collections.abc import Iterator

import pytest

from tests.fakes.postgres import EmbeddedPostgres


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server of the test's own: it is going to be killed."""
    server = EmbeddedPostgres().start()
    yield server
    server.stop()
