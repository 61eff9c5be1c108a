"""What unresolved markets say already: the moves of each horizon, time to arrival, confidence, and the distribution.

Law: honest measures are tested, descriptive ones only shown, both beside their no-skill value. Pure.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np

from agent.core.scoring import arrival, chance
from agent.core.scoring.asked import Asked
from agent.core.scoring.association import partial_spearman, spearman
from agent.core.scoring.bootstrap import ratio
from agent.core.scoring.calibration import calibration
from agent.core.scoring.columns import Columns, Floats, Mask
from agent.core.scoring.moves import expected_median, latest_percentages, median_of, moves
from agent.core.scoring.rows import PRIMARY
from agent.core.scoring.shapes import ArrivalReport, ConfidenceReport, ConvergenceBand, Distribution, HorizonReport
from agent.core.scoring.sift import missing_prices
from sync.records import Horizon, Movement

HORIZON_MEASURES = ("signed_move", "signed_move_exec", "closure_slope", "lift")  # the tested ones
_SHOWN = ("gap_closed", "direction_hit", "converging", "convergence")
BANDS = (-200.0, -100.0, -50.0, 0.0, 50.0, 100.0, 200.0)


def horizon_part(asked: Asked, horizon: Horizon) -> Callable[[], HorizonReport]:
    """Ask for one horizon."""
    table, found = asked.table, moves(asked.table, horizon)
    for name in (*HORIZON_MEASURES, *_SHOWN):
        asked.ask(f"{horizon}:{name}", getattr(found, name))

    def finish() -> HorizonReport:
        tested = {name: asked.tested(f"{horizon}:{name}") for name in HORIZON_MEASURES}
        return HorizonReport(
            horizon=horizon,
            primary=horizon in PRIMARY,
            n_due=sum(horizon in row.horizons for row in table.rows),
            n_missing={reason.value: n for reason, n in missing_prices(table.rows, horizon).items()},
            n_ties=found.n_ties,
            n_unknown_cost=found.n_unknown_cost,
            gap_closed=asked.shown(f"{horizon}:gap_closed", 0.0),
            direction_hit=asked.shown(f"{horizon}:direction_hit", found.expected_hit),
            converging=asked.shown(f"{horizon}:converging", found.expected_converging),
            convergence=asked.shown(f"{horizon}:convergence", found.expected_convergence),
            mean_cost=found.mean_cost,
            **tested,
        )

    return finish


def arrival_part(asked: Asked) -> Callable[[], ArrivalReport]:
    """Ask how soon prices reached their predictions."""
    table = asked.table
    rows, hours, arrived = arrival.watched(table)
    for within in (24, 168):
        asked.ask(f"arrived:{within}", arrival.share_arrived(hours, arrived, rows, within_h=within))
    most = float(chance.fair_reach(table)[rows].mean()) if rows.any() else None

    def finish() -> ArrivalReport:
        return ArrivalReport(
            n=int(rows.sum()),
            n_arrived=int((rows & arrived).sum()),
            within_24h=asked.shown("arrived:24", most),
            within_168h=asked.shown("arrived:168", most),
            median_hours=arrival.median_hours(hours, arrived, rows),
        )

    return finish


def confidence_part(asked: Asked) -> Callable[[], ConfidenceReport]:
    """Ask what stated confidence was worth at 24 h."""
    table = asked.table
    later = table.at(Horizon.H24)
    rows = (table.side != 0) & np.isfinite(later) & np.isfinite(table.confidence)
    change = np.where(rows, later - table.mid, 0.0)
    signed = table.side * change
    decided = rows & (np.abs(signed) > table.tick / 2 + 1e-9)
    hits = (signed > 0).astype(np.float64)
    usual = chance.side_rates(table, change > 0, decided)
    ours, theirs = (table.confidence - hits) ** 2, (usual - hits) ** 2
    asked.ask("confidence:rank", spearman(table.confidence, signed, rows))
    asked.ask("confidence:partial", partial_spearman(table, table.confidence, signed, rows))
    asked.ask("confidence:skill", ratio(theirs - ours, theirs, decided))

    def finish() -> ConfidenceReport:
        return ConfidenceReport(
            rank_correlation=asked.tested("confidence:rank"),
            partial_correlation=asked.tested("confidence:partial"),
            skill=asked.tested("confidence:skill"),
            calibration=calibration(
                table.confidence[decided], hits[decided], table.market[decided], events=table.n_events(decided)
            ),
        )

    return finish


def distribution_part(asked: Asked) -> Callable[[], Distribution]:
    """Ask for the descriptive convergence of all predictions."""
    table = asked.table
    rows, kept, turned = latest_percentages(table)
    asked.ask("percentage", median_of(kept, rows))
    words = Counter(row.movement for row in table.rows if row.movement is not None)

    def finish() -> Distribution:
        return Distribution(
            n=int(rows.sum()),
            median_percentage=asked.shown("percentage", expected_median(table, rows, kept, turned)),
            bands=_bands(table, rows, kept, turned),
            n_by_movement={movement.value: words[movement] for movement in Movement},
        )

    return finish


def _bands(table: Columns, rows: Mask, kept: Floats, turned: Floats) -> tuple[ConvergenceBand, ...]:
    def inside(values: Floats, number: int) -> Floats:
        return np.asarray(np.digitize(values, BANDS[1:-1]) == number, dtype=np.float64)

    bands = list[ConvergenceBand]()
    for number in range(len(BANDS) - 1):
        own = inside(kept, number)
        expected = chance.mixed(table, rows, own, inside(turned, number))
        bands.append(
            ConvergenceBand(
                low=BANDS[number],
                high=BANDS[number + 1],
                n=int(own[rows].sum()),
                expected=float(expected[rows].sum()),
            )
        )
    return tuple(bands)
