"""Half-open lines and names that do not resolve, in a network of the test's own."""

import asyncio
import json
import shlex
import socket
import sys
import time

import pytest

from sync.errors import SinkUnavailable
from tests.faults.caves import inside
from tests.faults.house import House, socket_of, through
from tests.faults.promises import landed_in_postgres, settle
from tests.faults.proxy import FaultProxy

pytestmark = pytest.mark.timeout(0)

SAYS = ["nxdomain", "servfail", "slow", "elsewhere", "right"]
STALL_S = 1.0


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
async def test_fault_29_a_resolver_that_refuses_stalls_or_points_elsewhere_is_asked_anew_and_blocks_nothing(
    trial, tmp_path, clock, postgres, monkeypatch
):
    """A resolver's failure is the network's, not a person's: each attempt asks again, and the loop goes on meanwhile."""
    ask, name, asked = socket.getaddrinfo, "cloud.test", list[str]()
    owner, edge = postgres.create_database()

    def answer(host, *rest, **more):
        if host != name:
            return ask(host, *rest, **more)
        says = SAYS[len(asked)]
        asked.append(says)
        if says == "slow":
            time.sleep(STALL_S)
        if says in {"nxdomain", "servfail", "slow"}:
            raise socket.gaierror(socket.EAI_NONAME if says == "nxdomain" else socket.EAI_AGAIN, says)
        port = 1 if says == "elsewhere" else rest[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    gaps = list[float]()

    async def beat():
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - before)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    async with House(tmp_path / "home", clock) as house, FaultProxy(socket_of(edge)) as proxy:
        await house.tick(1)
        beating = asyncio.create_task(beat(), name="beat")
        trial.recovering()
        transport = through(edge, proxy.port, host=name)
        for _ in SAYS[:-1]:
            with pytest.raises(SinkUnavailable):
                await house.sender(transport).drain()
        await house.drain(transport)
        trial.recovered()
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        assert await house.pending() == 0

    assert asked == SAYS
    assert max(gaps) < STALL_S
    trial.judged(await house.judge(owner), n=len(SAYS) - 1)
