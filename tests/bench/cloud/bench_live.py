"""The live feed: a thousand streams, ten events a second each; what it costs the server and how late an event comes.

An event carries the moment it was committed; each client tells how old it was on arrival. The baseline is the same
server with the streams open and nothing said. Clients are plain sockets in this process, on the other core.
"""

import asyncio
import re
import statistics
import time
from collections.abc import Awaitable

import asyncpg
import httpx
import psutil  # type: ignore[import-untyped]

from tests.bench.cloud.processes import pro_key, served
from tests.fakes.postgres import EmbeddedPostgres

N_CLIENTS = 1000
EVENTS_PER_S = 10
PADDING = "x" * 200
# As a landing tells it: the event and the call that wakes the replicas, in one commit.
TELL = """
with told as (select live_tell('prices', $1))
select pg_notify('edge_landed', json_build_object(
    'stamp', $2::text, 'kinds', json_build_object('quote', 1), 'applied_at', now()
)::text) from told
"""


async def measure(seconds: float) -> dict[str, object]:
    """CPU of the server in percent of a core, and the age of events at the clients."""
    postgres = EmbeddedPostgres().start()
    try:
        dsn, _ = postgres.create_database()
        key = await pro_key(dsn)
        async with served("ours", dsn=dsn) as (port, pid):
            ages: list[float] = []
            async with httpx.AsyncClient() as first:  # a key nobody has seen counts against its address: be known first
                known = await first.get(f"http://127.0.0.1:{port}/v1/usage", headers={"authorization": f"Bearer {key}"})
                known.raise_for_status()
            clients = [asyncio.create_task(_listen(port, key, ages)) for _ in range(N_CLIENTS)]
            try:
                await asyncio.sleep(3)  # all are connected, the key is warm
                server = psutil.Process(pid)
                idle = await _cpu_percent(server, asyncio.sleep(seconds))
                ages.clear()
                busy = await _cpu_percent(server, _tell(dsn, seconds))
                await asyncio.sleep(1)
            finally:
                for client in clients:
                    client.cancel()
                ended = await asyncio.gather(*clients, return_exceptions=True)
        n_failed = sum(not isinstance(end, asyncio.CancelledError) for end in ended)
        cuts = statistics.quantiles(ages or [0.0, 0.0], n=100)
        return {
            "clients": N_CLIENTS,
            "events_per_s": EVENTS_PER_S,
            "goal_cpu_percent_of_a_core": 30,
            "cpu_percent": busy,
            "cpu_percent_nothing_said": idle,
            "age_ms": {"p50": round(cuts[49], 1), "p99": round(cuts[98], 1)},
            "arrived_share": round(len(ages) / (N_CLIENTS * int(seconds * EVENTS_PER_S)), 4),
            "clients_failed": n_failed,
        }
    finally:
        postgres.stop()


async def _tell(dsn: str, seconds: float) -> None:
    connection = await asyncpg.connect(dsn)
    began = time.monotonic()
    for n in range(int(seconds * EVENTS_PER_S)):
        await asyncio.sleep(max(0.0, began + n / EVENTS_PER_S - time.monotonic()))
        await connection.execute(TELL, f'{{"at":{time.time()},"padding":"{PADDING}"}}', str(n))
    await connection.close()


async def _listen(port: int, key: str, ages: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /v1/live HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    try:
        async for line in reader:
            found = re.search(rb'"at":\s*([\d.]+)', line)
            if found is not None:
                _note(ages, float(found[1]))
        raise ConnectionError("the stream ended")
    finally:
        writer.close()


def _note(ages: list[float], told_at: float) -> None:
    ages.append((time.time() - told_at) * 1000)


async def _cpu_percent(process: psutil.Process, work: Awaitable[None]) -> float:
    began, before = time.monotonic(), process.cpu_times()
    await work
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return round(spent / (time.monotonic() - began) * 100, 1)
