"""A small load generator: keep-alive connections in one process, one request under way on each; prints JSON.

`python -m tests.bench.cloud.load PORT PATH CONNECTIONS SECONDS [AUTHORIZATION]`. Plain sockets and one selector, so that it
costs less than what it measures; an answer's length is read from its head, any other status than 200 is counted.
"""

import json
import selectors
import socket
import statistics
import sys
import time
from dataclasses import dataclass, field

WARM_UP_S = 0.5


@dataclass
class Connection:
    """One socket with what it is waiting for."""

    sock: socket.socket
    began: float = 0.0
    missing: int = 0  # bytes of the body still to come
    head: bytes = field(default=b"")

    def ask(self, request: bytes) -> None:
        self.began = time.perf_counter()
        self.sock.sendall(request)

    def take(self) -> bytes | None:
        """The status of an answer that has ended, else None."""
        data = self.sock.recv(262_144)
        if not data:
            raise ConnectionError("the server closed a connection that should stay")
        if self.missing:
            self.missing -= len(data)
        else:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return None
            length = int(self.head[:end].lower().split(b"content-length:")[1].split(b"\r\n")[0])
            self.missing = end + 4 + length - len(self.head)
        if self.missing:
            return None
        status, self.head = self.head[9:12], b""
        return status


def run(port: int, path: str, connections: int, seconds: float, authorization: str | None) -> dict[str, float | int]:
    """Ask as fast as answers come. Returns: requests per second, percentiles in ms, answers other than 200."""
    credential = f"Authorization: {authorization}\r\n" if authorization else ""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{credential}\r\n".encode()
    waiting = selectors.DefaultSelector()
    for _ in range(connections):
        connection = Connection(socket.create_connection(("127.0.0.1", port)))
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting.register(connection.sock, selectors.EVENT_READ, connection)
        connection.ask(request)
    taken: list[float] = []
    n_other = n_all = 0
    counted_from = time.perf_counter() + WARM_UP_S
    until = counted_from + seconds
    while (now := time.perf_counter()) < until:
        for key, _ in waiting.select(timeout=1):
            status = key.data.take()
            if status is None:
                continue
            n_all += 1
            n_other += status != b"200"
            if now >= counted_from:
                taken.append(time.perf_counter() - key.data.began)
            key.data.ask(request)
    cuts = statistics.quantiles(taken, n=100)
    return {
        "requests_per_s": round(len(taken) / seconds),
        "p50_ms": round(cuts[49] * 1000, 2),
        "p99_ms": round(cuts[98] * 1000, 2),
        "answers": n_all,  # the warm-up's too
        "not_200": n_other,
    }


if __name__ == "__main__":
    _, port_text, wanted, connections_text, seconds_text, *credential = sys.argv
    found = run(
        int(port_text), wanted, int(connections_text), float(seconds_text), credential[0] if credential else None
    )
    print(json.dumps(found))
