"""One arm's rows to its report.

Law: parts ask first, one set of draws answers them all, then they are judged; slices and standouts are shown, never
tested. Pure. Called by report.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np

from agent.core.scoring.asked import Asked
from agent.core.scoring.bootstrap import mean, ratio
from agent.core.scoring.calibration import calibration
from agent.core.scoring.columns import Columns, Mask, columns, day_bucket
from agent.core.scoring.measures import BADGE_EVENTS, MIN_EVENTS, Measure
from agent.core.scoring.moving import arrival_part, confidence_part, distribution_part, horizon_part
from agent.core.scoring.resolved import references_part, resolved_part, squared_error
from agent.core.scoring.rows import HORIZONS, Row
from agent.core.scoring.shapes import ArmReport, HorizonReport, Slice, Standout
from agent.core.scoring.sift import has_signal, sift
from sync.records import Evidence, Horizon

RECENT = timedelta(days=30)
N_STANDOUTS = 5
DAY_NAMES = ("up to 1 day", "1 to 3 days", "3 to 7 days", "7 to 30 days", "over 30 days", "end unknown")


def arm_report(rows: Sequence[Row], *, now: datetime, n_draws: int) -> ArmReport:
    """Report on rows of one experiment, version, model and sight. Raises: ValueError without rows."""
    if not rows:
        raise ValueError("arm report: no rows")
    sifted = sift(rows)
    table = columns(sifted.rows)
    asked = Asked(table, n_draws=n_draws)
    everyone = np.ones(len(table.rows), dtype=bool)
    scores, references = resolved_part(asked), references_part(asked)
    horizons = [horizon_part(asked, horizon) for horizon in HORIZONS]
    arrival, confidence, distribution = arrival_part(asked), confidence_part(asked), distribution_part(asked)
    by_category = [_slice(asked, "category", name, mask) for name, mask in _categories(table)]
    by_days = [_slice(asked, "days", name, mask) for name, mask in _day_buckets(table)]
    is_recent = np.array([now - row.predicted_at <= RECENT for row in table.rows], dtype=bool)
    recent = _slice(asked, "age", "last 30 days", is_recent)
    asked.draw()
    known = np.isfinite(table.outcome)
    measures, at = scores(), tuple(finish() for finish in horizons)
    top, poor = _standouts(table)
    return ArmReport(
        experiment=rows[0].experiment,
        version=rows[0].version,
        model=rows[0].model,
        saw_price=rows[0].saw_price,
        state=_state(table.n_events(everyone), measures["brier_skill"], at),
        badge=has_badge(at),
        n=len(rows),
        n_markets=table.event_of_market.size,
        events=table.n_events(everyone),
        n_resolved=int(known.sum()),
        n_excluded={reason.value: n for reason, n in sifted.n_excluded.items()},
        horizons=at,
        calibration=calibration(
            table.probability[known], table.outcome[known], table.market[known], events=table.n_events(known)
        ),
        arrival=arrival(),
        confidence=confidence(),
        references=references(),
        by_category=tuple(finish() for finish in by_category),
        by_days_to_close=tuple(finish() for finish in by_days),
        recent=recent(),
        distribution=distribution(),
        top=top,
        poor=poor,
        **measures,
    )


def has_badge(horizons: Sequence[HorizonReport]) -> bool:
    """Enough events, and money left after spread and fees, at a horizon that was declared in advance."""
    return any(
        one.primary
        and one.signed_move_exec.events >= BADGE_EVENTS
        and one.signed_move_exec.low is not None
        and one.signed_move_exec.low > 0
        for one in horizons
    )


def _state(events: int, skill: Measure, horizons: Sequence[HorizonReport]) -> Evidence:
    """The one word for an arm: by answers once there are enough of them, by the market's moves until then."""
    if events < MIN_EVENTS:
        return Evidence.TOO_EARLY
    if skill.events >= MIN_EVENTS:
        return skill.state
    move = next(one.signed_move for one in horizons if one.horizon is Horizon.H24)
    return Evidence.TOO_EARLY if move.state is Evidence.NOT_MEASURED else move.state


def _categories(table: Columns) -> Iterator[tuple[str, Mask]]:
    named = np.array([row.category or "none" for row in table.rows], dtype=str)
    for name in np.unique(named):
        yield str(name), named == name


def _day_buckets(table: Columns) -> Iterator[tuple[str, Mask]]:
    buckets = day_bucket(table.days_to_close)
    for number, name in enumerate(DAY_NAMES):
        if (mask := buckets == number).any():
            yield name, mask


def _slice(asked: Asked, cut: str, name: str, mask: Mask) -> Callable[[], Slice]:
    table, key = asked.table, f"{cut}:{name}"
    theirs = squared_error(table.mid, table.outcome)
    paired = mask & np.isfinite(theirs)
    asked.ask(f"{key}:skill", ratio(theirs - squared_error(table.probability, table.outcome), theirs, paired))
    later = table.at(Horizon.H24)
    moved = mask & (table.side != 0) & np.isfinite(later)
    asked.ask(f"{key}:move", mean(table.side * (later - table.mid), moved))

    def finish() -> Slice:
        return Slice(
            name=name,
            n=int(mask.sum()),
            events=table.n_events(mask),
            brier_skill=asked.shown(f"{key}:skill", 0.0),
            signed_move=asked.shown(f"{key}:move", 0.0),
        )

    return finish


def _standouts(table: Columns) -> tuple[tuple[Standout, ...], tuple[Standout, ...]]:
    """The predictions the market has gone with, and against, the most: by the latest horizon each has."""
    found = [one for row in table.rows if (one := _standout(row)) is not None]
    found.sort(key=lambda one: (-one.signed_move, one.prediction_id))
    top = tuple(one for one in found[:N_STANDOUTS] if one.signed_move > 0)
    return top, tuple(one for one in reversed(found[-N_STANDOUTS:]) if one.signed_move < 0)


def _standout(row: Row) -> Standout | None:
    measured = [name for name in HORIZONS if (quote := row.horizons.get(name)) is not None and quote.mid is not None]
    mid, initial = (row.horizons[measured[-1]].mid if measured else None), row.initial_mid
    if mid is None or initial is None or not has_signal(row):
        return None
    return Standout(
        prediction_id=row.prediction_id,
        market_key=row.market_key,
        probability=row.probability,
        initial_mid=initial,
        horizon=measured[-1],
        signed_move=round(mid - initial if row.probability > initial else initial - mid, 9),
        resolution=row.resolution,
    )
