"""Half-open lines and names that do not resolve, in a network of the test's own."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from sync.errors import SinkUnavailable
from sync.transports.postgres import PostgresTransport
from tests.faults.caves import inside
from tests.faults.promises import landed_in_postgres, settle

pytestmark = pytest.mark.timeout(0)


@pytest.mark.fault(23)
async def test_fault_23_packets_that_vanish_end_at_the_deadline_and_the_line_is_found_again(
    trial, tmp_path, postgres, nft
):
    """No reset ever comes: the deadline fires, a new connection is made, and the server holds no lock of ours."""
    for seed in trial.seeds(quick=1):
        owner, edge = postgres.create_database()
        script = f"exec {sys.executable} -m tests.faults.silent {tmp_path / str(seed)} {shlex.quote(edge)} 1.5"
        code, said = await inside(script, "--net")
        assert code == 0, said
        told = json.loads(said.splitlines()[-1])
        assert "no answer" in (told["last_error"] or "") or "Timeout" in (told["last_error"] or ""), told
        trial.counted_recovery(told["recovery_s"])
        landed, quarantined = await landed_in_postgres(owner)
        trial.judged(settle(told["promised"], (), landed, quarantined))


@pytest.mark.fault(29)
@pytest.mark.parametrize("hosts", ["nxdomain", "wrong"])
async def test_fault_29_a_name_that_does_not_resolve_or_points_elsewhere_is_waited_out(trial, tmp_path: Path, hosts):
    """A resolver's failure is the network's, not a person's: the same batch again, later, and the name asked anew."""
    name = "cloud.invalid" if hosts == "nxdomain" else "127.0.0.1:1"
    host, _, port = name.partition(":")
    transport = PostgresTransport(f"postgresql://edge@{host}:{port or 5432}/db?sslmode=disable", host_id="faults")

    with pytest.raises(SinkUnavailable):
        await transport.connect()
    trial.counted()
