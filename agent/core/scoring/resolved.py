"""What resolved markets say: Brier and log score beside the market's on the same rows, hits beside the price.

Law: skill is only reckoned where our forecast and the market's price stand for the same row and instant. Pure.
"""

from collections.abc import Callable, Mapping

import numpy as np

from agent.core.scoring.asked import Asked
from agent.core.scoring.bootstrap import mean, ratio
from agent.core.scoring.chance import expected_at_settlement
from agent.core.scoring.columns import Columns, Floats, Mask, floats
from agent.core.scoring.measures import Measure
from agent.core.scoring.references import ALWAYS_HALF, faded, status_quo, tossed
from agent.core.scoring.scores import LOG_CLIP
from agent.core.scoring.shapes import ReferenceReport
from sync.records import Horizon


def squared_error(said: Floats, outcome: Floats) -> Floats:
    """Of each row; nan where there is no outcome."""
    return np.asarray((said - outcome) ** 2)


def surprise(said: Floats, outcome: Floats) -> Floats:
    """Minus the logarithm of what was given to the outcome, clipped as the scalar score is."""
    given = np.where(outcome == 1, said, 1 - said)
    return np.asarray(-np.log(np.clip(given, LOG_CLIP, 1 - LOG_CLIP)))


def resolved_part(asked: Asked) -> Callable[[], Mapping[str, Measure]]:
    """Ask for the scores of resolved rows; the answer is keyed as the arm's fields are."""
    table = asked.table
    known = np.isfinite(table.outcome)
    paired = known & np.isfinite(table.mid)
    before = table.at(Horizon.DAY_BEFORE)
    ours, theirs = squared_error(table.probability, table.outcome), squared_error(table.mid, table.outcome)
    asked.ask("brier", mean(ours, known))
    asked.ask("log_score", mean(surprise(table.probability, table.outcome), known))
    asked.ask("market_brier", mean(theirs, paired))
    asked.ask("market_log_score", mean(surprise(table.mid, table.outcome), paired))
    late = known & np.isfinite(before)
    asked.ask("market_brier_before_close", mean(squared_error(before, table.outcome), late))
    asked.ask("brier_skill", ratio(theirs - ours, theirs, paired))
    asked.ask("brier_difference", mean(theirs - ours, paired))
    took_side = paired & (table.side != 0)
    hits = (table.side > 0) == (table.outcome == 1)
    expected = expected_at_settlement(table)
    asked.ask("hit_at_resolution", mean(hits.astype(np.float64), took_side))
    asked.ask("lift_at_resolution", mean(hits - expected, took_side))

    def finish() -> Mapping[str, Measure]:
        anchors = ("market_brier", "market_log_score", "market_brier_before_close")
        market = {name: asked.shown(name) for name in anchors}
        return market | {
            "brier": asked.shown("brier", market["market_brier"].value),
            "log_score": asked.shown("log_score", market["market_log_score"].value),
            "brier_skill": asked.tested("brier_skill"),
            "brier_difference": asked.tested("brier_difference"),
            "hit_at_resolution": asked.shown(
                "hit_at_resolution", float(expected[took_side].mean()) if took_side.any() else None
            ),
            "lift_at_resolution": asked.tested("lift_at_resolution"),
        }

    return finish


def references_part(asked: Asked) -> Callable[[], tuple[ReferenceReport, ...]]:
    """Ask for the forecasters without skill, on the rows that have a market price."""
    table = asked.table
    finishes = [_reference(asked, name, said) for name, said in _references(table).items()]

    def finish() -> tuple[ReferenceReport, ...]:
        return tuple(one() for one in finishes)

    return finish


def _references(table: Columns) -> Mapping[str, Floats]:
    priced = [(row, row.initial_mid) for row in table.rows]
    return {
        "market": table.mid,
        "coin": floats(
            [None if mid is None else tossed(mid, row.market_key, row.predicted_at.date()) for row, mid in priced]
        ),
        "longshot_fader": floats([None if mid is None else faded(mid) for _, mid in priced]),
        "status_quo": np.where(np.isfinite(table.mid), floats(status_quo(table.rows)), np.nan),
        "always_half": np.where(np.isfinite(table.mid), ALWAYS_HALF, np.nan),
    }


def _reference(asked: Asked, name: str, said: Floats) -> Callable[[], ReferenceReport]:
    table = asked.table
    rows: Mask = np.isfinite(table.outcome) & np.isfinite(table.mid)
    ours, theirs = squared_error(said, table.outcome), squared_error(table.mid, table.outcome)
    asked.ask(f"{name}:brier", mean(ours, rows))
    asked.ask(f"{name}:log", mean(surprise(said, table.outcome), rows))
    asked.ask(f"{name}:skill", ratio(theirs - ours, theirs, rows))
    later = table.at(Horizon.H24)
    moved = np.isfinite(later) & np.isfinite(said) & (said != table.mid)
    asked.ask(f"{name}:move", mean(np.sign(said - table.mid) * (later - table.mid), moved))

    def finish() -> ReferenceReport:
        return ReferenceReport(
            name=name,
            brier=asked.shown(f"{name}:brier").value,
            log_score=asked.shown(f"{name}:log").value,
            brier_skill=asked.tested(f"{name}:skill"),
            signed_move=asked.tested(f"{name}:move"),
        )

    return finish
