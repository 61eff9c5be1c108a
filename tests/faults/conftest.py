"""Gives each test of a fault its line in the table, and one server for all of them.

A test says which rows of the fault list it stages: @pytest.mark.fault(22). `make faults` prints the table.
"""

import re
import shutil
from collections.abc import Iterator

import pytest

from tests.fakes.postgres import EmbeddedPostgres
from tests.fakes.process import find_program
from tests.faults.trial import Tally, Trial, full_profile, render, save

_TALLIES = pytest.StashKey[list[Tally]]()


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker, and start with an empty table."""
    config.addinivalue_line("markers", "fault(*rows): the rows of the fault list this test stages")
    config.stash[_TALLIES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The table, in the full profile."""
    tallies = config.stash.get(_TALLIES, [])
    if tallies and full_profile():
        terminalreporter.section("faults")
        terminalreporter.write_line(render(tallies))
        save(tallies)


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Trial:
    """This test's line of the table."""
    marker = request.node.get_closest_marker("fault")
    assert marker is not None, "say which rows of the fault list this stages: @pytest.mark.fault(N)"
    words = re.sub(r"^test_(fault(_\d+)+_)?", "", request.node.originalname).replace("_", " ")
    tally = Tally(rows=marker.args, fault=words)
    request.config.stash[_TALLIES].append(tally)
    return Trial(tally, request.node.originalname)


@pytest.fixture(scope="session")
def _server() -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres().start()
    yield server
    server.stop()


@pytest.fixture
def postgres(_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """One server for all faults; a test that kills it starts it again."""
    return _server


@pytest.fixture
def strace() -> str:
    """The tool below the program."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed: no recording and no injection below the program")
    return program


@pytest.fixture
def nft() -> str:
    """The tool that drops packets."""
    program = find_program("nft")
    if program is None:
        pytest.skip("nft is not installed: no packets can be dropped")
    return program
