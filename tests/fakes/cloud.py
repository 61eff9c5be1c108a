"""A cloud in memory that keeps the protocol's promises and can break the line at the worst moment.

It holds state and is asked for it: rows by natural key, a ledger, a fence. Faults: lose_next_reply, refuse_connect,
fail_next (an error of the transport), restore (back to an earlier copy).
"""

import copy
import json
from collections import deque
from datetime import UTC, datetime

from sync.batch import Batch
from sync.errors import SinkUnavailable, TransportError
from sync.protocol import Account, Hello, Lineage, Receipt, Result, Welcome
from sync.records import SCHEMA_VERSION


class FakeCloud:
    """Both the transport and the far end."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.ledger: dict[tuple[str, int], Batch] = {}
        self.rows: list[dict[str, object]] = []  # every row applied, in order of arrival
        self.fence = 0
        self.schema_max = SCHEMA_VERSION
        self.max_rows = 5_000
        self.n_connects = 0
        self.arrivals: list[int] = []  # lo of each batch as it came
        self.hold_reason: str | None = None
        self.connect_errors: deque[TransportError] = deque()
        self.apply_errors: deque[TransportError] = deque()
        self._lose_replies = 0

    def lose_next_reply(self) -> None:
        """The next batch is applied, but the answer never arrives."""
        self._lose_replies += 1

    def copy_state(self) -> tuple[object, ...]:
        """A backup."""
        return copy.deepcopy((self.tokens, self.ledger, self.rows, self.fence))

    def restore(self, state: tuple[object, ...]) -> None:
        """Go back in time."""
        self.tokens, self.ledger, self.rows, self.fence = copy.deepcopy(state)  # type: ignore[assignment]

    async def connect(self) -> "FakeCloud":
        if self.connect_errors:
            raise self.connect_errors.popleft()
        self.n_connects += 1
        return self

    async def hello(self, hello: Hello) -> Welcome:
        if self.hold_reason:
            return Welcome(status=Lineage.HOLD, server_time=datetime.now(UTC), reason=self.hold_reason)
        held = self.tokens.get(hello.stream_id)
        acked = tuple(sorted((b.lo, b.hi) for (stream, _), b in self.ledger.items() if stream == hello.stream_id))
        if held is not None and held not in (hello.prev_token, hello.next_token):
            reason = "another copy uses this stream"
            return Welcome(status=Lineage.FORK, server_time=datetime.now(UTC), reason=reason, acked=acked)
        if held != hello.next_token:
            self.fence += 1
        self.tokens[hello.stream_id] = hello.next_token
        return Welcome(
            status=Lineage.OK, server_time=datetime.now(UTC), acked=acked, fence=self.fence, schema_max=self.schema_max,
            max_rows=self.max_rows,
        )  # fmt: skip

    async def apply(self, batch: Batch, fence: int) -> Receipt:
        self.arrivals.append(batch.lo)
        if self.apply_errors:
            raise self.apply_errors.popleft()
        if fence < self.fence:
            return Receipt(result=Result.FENCED)
        if batch.schema_v > self.schema_max:
            return Receipt(result=Result.HOLD, reason=f"schema {batch.schema_v} is not accepted")
        known = self.ledger.get((batch.stream_id, batch.lo))
        if known is not None:
            return Receipt(result=Result.DUPLICATE if known.digest == batch.digest else Result.CONFLICT)
        self.ledger[batch.stream_id, batch.lo] = batch
        self.rows.extend(json.loads(batch.text()))
        if self._lose_replies:
            self._lose_replies -= 1
            raise SinkUnavailable("apply: connection lost")
        return Receipt(result=Result.APPLIED, inserted=batch.n_rows)

    async def audit(self, stream_id: str, first: int) -> Account:
        """What is held of a stream."""
        held = sorted((batch for (stream, _), batch in self.ledger.items() if stream == stream_id), key=lambda b: b.lo)
        n_rows = sum(batch.n_rows for batch in held)
        return Account(
            known=stream_id in self.tokens, acked=tuple((b.lo, b.hi) for b in held), rows=n_rows, batches=len(held),
            inserted=n_rows, already_known=0, quarantined=0, set_aside=0,
            ledger=tuple((b.lo, b.hi, b.digest.hex()) for b in held if b.hi >= first),
        )  # fmt: skip

    async def close(self) -> None:
        """Nothing to let go of."""
