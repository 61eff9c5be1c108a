"""What one prediction run has come to, for a person or a program. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime

import msgspec

from agent.jobs.forecast_tasks import Failed, Tally
from agent.jobs.predict_window import PredictOptions, Window
from sync.records import Market

FAILURES_SHOWN = 200  # of a summary; each is in the store


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A forecast that was not made."""

    market_key: str
    experiment: str
    model: str | None
    reason: str
    retriable: bool  # whether the same question may succeed later the same day


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One run, told to a person or a program. Its JSON form only gains fields."""

    job: str
    run_day: date
    span: str
    closing_from: datetime
    closing_before: datetime
    dry_run: bool
    version: str
    commit: str | None
    started_at: datetime
    ended_at: datetime
    runtime_s: float
    counts: dict[str, int]  # markets, made, earlier, recorded, skipped, left_out, failed, calls
    cost_usd: str
    experiments: dict[str, dict[str, int]]  # "name model" -> state -> how many
    reasons: dict[str, int]  # why something was skipped or left to others -> how often
    failures: tuple[Failure, ...]
    markets: tuple[str, ...]
    run_id: str | None = None
    state: str = "ok"
    reason: str | None = None


def by_state(tally: Tally) -> Counter[str]:
    """How many forecasts ended so."""
    found = Counter[str]()
    for (_, _, state), n in tally.states.items():
        found[state] += n
    return found


def summarised(
    options: PredictOptions,
    job: str,
    run_day: date,
    window: Window,
    *,
    markets: Sequence[Market],
    tally: Tally,
    started_at: datetime,
    ended_at: datetime,
) -> Summary:
    """What a run over these markets has come to."""
    states, experiments = by_state(tally), dict[str, dict[str, int]]()
    for (name, model, state), n in sorted(tally.states.items()):
        experiments.setdefault(f"{name} {model}".rstrip(), {})[state] = n
    counts = {"markets": len(markets), "made": states["made"] - tally.n_earlier, "earlier": tally.n_earlier}
    counts |= {"due": states["due"]} if states["due"] else {}
    counts |= {"recorded": len(tally.recorded), "skipped": states["skipped"], "left_out": states["left_out"]}
    counts |= {"failed": len(tally.failed), "calls": tally.bill.n_calls, "remembered": tally.bill.n_remembered}
    return Summary(
        job=job,
        run_day=run_day,
        span=window.span,
        closing_from=window.start,
        closing_before=window.end,
        dry_run=False,
        version=options.version,
        commit=options.commit,
        started_at=started_at,
        ended_at=ended_at,
        runtime_s=round((ended_at - started_at).total_seconds(), 3),
        counts=counts,
        cost_usd=f"{tally.bill.cost_usd:f}",
        experiments=experiments,
        reasons=dict(tally.reasons.most_common()),
        failures=tuple(_failure(one) for one in tally.failed[:FAILURES_SHOWN]),
        markets=tuple(market.market_key for market in markets),
    )


def _failure(failed: Failed) -> Failure:
    return Failure(
        market_key=failed.key.market_key,
        experiment=failed.key.experiment,
        model=failed.key.model or None,
        reason=failed.reason,
        retriable=failed.retriable,
    )
