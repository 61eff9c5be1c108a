"""What the cloud may ask of this edge: one handler for each kind of request, and nothing else.

Law: a request is done once: its run has the request's own instant for a slot, and a slot is run once. What costs money
is bounded by the budget, as everything is. An error of ours becomes a sentence for whoever asked.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from agent.core.instants import to_the_ms
from agent.errors import OddsdError
from agent.jobs.runner import Runner
from sync.downlink import Handler, RequestFailed
from sync.protocol import Request

# Looks at the world or at what is stored; none that rewrites a record or deletes.
REFRESHABLE = frozenset({
    "collect", "pairs", "arbitrage", "analyse", "benchmark", "signals", "resolve", "refresh-events",
})  # fmt: skip


class Refresh(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request of kind `refresh`."""

    job: str


def handlers(runner: Runner) -> Mapping[str, Handler]:
    """Each kind with what answers it."""

    async def refresh(request: Request) -> dict[str, Any]:
        wish = _body(request, Refresh)
        if wish.job not in REFRESHABLE:
            raise RequestFailed(f"{wish.job[:60]}: not a job that can be asked for: {', '.join(sorted(REFRESHABLE))}")
        try:
            result = await runner.run(wish.job, to_the_ms(request.requested_at), "hand")
        except OddsdError as exc:
            raise RequestFailed(str(exc)) from exc
        return {"run_id": result.run_id, "state": result.state, "counts": result.counts, "reason": result.reason}

    return {"refresh": refresh}


def _body(request: Request, kind: type[Refresh]) -> Refresh:
    try:
        return msgspec.convert(request.body, kind)
    except msgspec.ValidationError as exc:
        raise RequestFailed(f"{request.kind}: {exc}") from exc
