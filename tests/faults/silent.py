"""Runs inside a network namespace of its own: a sender on loopback, and packets that vanish without a word.

    unshare --net python -m tests.faults.silent FOLDER DSN SECONDS

Law: an `nft` rule drops what goes to the proxy's port, both ways, no reset and no refusal; the namespace ends with the
process. Prints one JSON line: ticks promised, failures met, seconds from the rule's end to the last receipt.
"""

import asyncio
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from sync.transports import postgres as road
from tests.fakes.process import find_program
from tests.faults.house import House, socket_of, through
from tests.faults.proxy import FaultProxy

DEADLINE_S = 0.5


def _nft(words: str) -> None:
    subprocess.run([find_program("nft") or "nft", *words.split()], check=True)


async def _run(folder: Path, dsn: str, silence_s: float) -> None:
    for name in ("CONNECT_S", "HELLO_S", "APPLY_S"):
        setattr(road, name, DEADLINE_S)
    _nft("add table inet faults")
    _nft("add chain inet faults in { type filter hook input priority 0 ; }")
    async with House(folder, lambda: datetime.now(UTC)) as house, FaultProxy(socket_of(dsn)) as proxy:
        transport = through(dsn, proxy.port)
        for number in range(1, 4):
            await house.tick(number)
        await house.drain(transport)
        sender = house.sender(transport, jitter=lambda: 0.01)
        loop = asyncio.create_task(sender.run(), name="sender")
        for number in range(4, 7):
            await house.tick(number)
        _nft(f"add rule inet faults in tcp dport {proxy.port} drop")
        _nft(f"add rule inet faults in tcp sport {proxy.port} drop")
        for number in range(7, 12):
            await house.tick(number)
        await asyncio.sleep(silence_s)
        waiting = sender.state.last_error
        _nft("flush chain inet faults in")
        began = time.monotonic()
        async with asyncio.timeout(30):
            while await house.pending():
                await asyncio.sleep(0.02)
        took = time.monotonic() - began
        sender.stop()
        await loop
        print(json.dumps({"promised": house.promised, "last_error": waiting, "recovery_s": took}))


def main() -> None:
    """Bring loopback up and run."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    asyncio.run(_run(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])))


if __name__ == "__main__":
    main()
