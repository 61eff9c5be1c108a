"""Rows to reports: one experiment with all its arms, or all arms in order.

Law: versions, models, and forecasts that saw the price are kept apart, always. Of each measure, the horizons that
were not declared in advance are corrected together over all arms of the report, so that the more one looks, the more
it takes. Pure; the same rows give the same report. Called by commands, jobs and the cloud's records.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from agent.core.scoring.arm import arm_report
from agent.core.scoring.bootstrap import N_DRAWS
from agent.core.scoring.measures import MIN_EVENTS, Measure, holm, verdict
from agent.core.scoring.moving import HORIZON_MEASURES
from agent.core.scoring.rows import Row
from agent.core.scoring.shapes import (
    ArmReport,
    ExperimentReport,
    HorizonReport,
    Leaderboard,
    LeaderboardEntry,
    Sort,
)
from sync.records import Evidence, Horizon

_Arm = tuple[str, str, str, bool]


def experiment_report(
    rows: Iterable[Row], experiment: str, *, now: datetime, n_draws: int = N_DRAWS
) -> ExperimentReport:
    """Everything the rows of one experiment say; rows of others are passed over."""
    own = [row for row in rows if row.experiment == experiment]
    return ExperimentReport(
        experiment=experiment,
        made_at=now,
        n=len(own),
        events=len({row.event_key for row in own}),
        arms=_arms(own, now, n_draws),
    )


def leaderboard(rows: Iterable[Row], *, sort: Sort, now: datetime, n_draws: int = N_DRAWS) -> Leaderboard:
    """All arms, the best first; those it is too early to rank come last, without a rank."""
    return order(entries(rows, now=now, n_draws=n_draws), sort, now)


def leaderboards(rows: Iterable[Row], *, now: datetime, n_draws: int = N_DRAWS) -> dict[Sort, Leaderboard]:
    """Every order of the same arms, reckoned once."""
    found = entries(rows, now=now, n_draws=n_draws)
    return {sort: order(found, sort, now) for sort in Sort}


def entries(rows: Iterable[Row], *, now: datetime, n_draws: int) -> list[LeaderboardEntry]:
    """Each arm in one line, in no order."""
    return [_entry(arm) for arm in _arms(list(rows), now, n_draws)]


def order(unranked: Sequence[LeaderboardEntry], sort: Sort, now: datetime) -> Leaderboard:
    """Arms ranked by one of their measures."""
    ordered = sorted(
        unranked,
        key=lambda entry: (_sorted_by(entry, sort).state in _UNRANKED, -(_sorted_by(entry, sort).value or 0.0)),
    )
    ranked = [
        replace(entry, rank=None if _sorted_by(entry, sort).state in _UNRANKED else place)
        for place, entry in enumerate(ordered, start=1)
    ]
    return Leaderboard(sort=sort, made_at=now, entries=tuple(ranked))


_UNRANKED = (Evidence.TOO_EARLY, Evidence.NOT_MEASURED)


def _arms(rows: Sequence[Row], now: datetime, n_draws: int) -> tuple[ArmReport, ...]:
    grouped = defaultdict[_Arm, list[Row]](list)
    for row in rows:
        grouped[row.experiment, row.version, row.model or "", row.saw_price].append(row)
    return _corrected([arm_report(grouped[arm], now=now, n_draws=n_draws) for arm in sorted(grouped)])


def _corrected(arms: Sequence[ArmReport]) -> tuple[ArmReport, ...]:
    """Holm's correction of each measure over the secondary horizons of all arms."""
    family = [(number, one.horizon) for number, arm in enumerate(arms) for one in arm.horizons if not one.primary]
    horizons = {(n, one.horizon): one for n, arm in enumerate(arms) for one in arm.horizons}
    for name in HORIZON_MEASURES:
        tested = [key for key in family if _testable(getattr(horizons[key], name))]
        corrected = holm([getattr(horizons[key], name).p for key in tested])
        for key, p in zip(tested, corrected, strict=True):
            horizons[key] = _with_p(horizons[key], name, p)
    return tuple(
        replace(arm, horizons=tuple(horizons[number, one.horizon] for one in arm.horizons))
        for number, arm in enumerate(arms)
    )


def _testable(measure: Measure) -> bool:
    return measure.p is not None and measure.events >= MIN_EVENTS


def _with_p(report: HorizonReport, name: str, p: float) -> HorizonReport:
    measure = replace(getattr(report, name), p=p, corrected=True)
    return replace(report, **{name: replace(measure, state=verdict(measure))})


def _entry(arm: ArmReport) -> LeaderboardEntry:
    day = next(one for one in arm.horizons if one.horizon is Horizon.H24)
    return LeaderboardEntry(
        rank=None,
        experiment=arm.experiment,
        version=arm.version,
        model=arm.model,
        saw_price=arm.saw_price,
        state=arm.state,
        badge=arm.badge,
        n=arm.n,
        events=arm.events,
        brier_skill=arm.brier_skill,
        signed_move=day.signed_move,
        closure_slope=day.closure_slope,
        convergence=arm.distribution.median_percentage,
        confidence=arm.confidence.partial_correlation,
        recent=arm.recent.signed_move,
    )


def _sorted_by(entry: LeaderboardEntry, sort: Sort) -> Measure:
    return {
        Sort.CONVERGENCE: entry.convergence,
        Sort.CONFIDENCE: entry.confidence,
        Sort.RECENT: entry.recent,
        Sort.BRIER_SKILL: entry.brier_skill,
    }[sort]
