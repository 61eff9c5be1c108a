"""An arm's report in the few numbers that stand beside everything its forecasts are used for. Pure."""

from agent.core.scoring.measures import BADGE_EVENTS, MIN_EVENTS, Measure
from agent.core.scoring.shapes import ArmReport
from sync.records import Evidence, Horizon, TrackRecord


def track_record(arm: ArmReport) -> TrackRecord:
    """The honest record of an arm: its verdict, how much it rests on, skill and move with their intervals."""
    skill = arm.brier_skill
    move = next(one.signed_move for one in arm.horizons if one.horizon is Horizon.H24)
    return TrackRecord(
        state=arm.state,
        summary=_sentence(arm, skill, move),
        n=arm.n,
        events=arm.events,
        n_resolved=arm.n_resolved,
        brier_skill=skill.value,
        brier_skill_low=skill.low,
        brier_skill_high=skill.high,
        signed_move=move.value,
        signed_move_low=move.low,
        signed_move_high=move.high,
    )


def _sentence(arm: ArmReport, skill: Measure, move: Measure) -> str:
    if arm.state is Evidence.TOO_EARLY:
        return f"too early: {arm.events} events, nothing is said below {MIN_EVENTS}"
    decided = skill if skill.events >= MIN_EVENTS else move
    name = "Brier skill against the market" if decided is skill else "move toward the forecast in 24 h"
    said = {
        Evidence.BETTER: "better than no skill",
        Evidence.WORSE: "worse than no skill",
        Evidence.NO_EVIDENCE: "no evidence of skill",
    }.get(arm.state, "not measured")
    if decided.value is None or decided.low is None or decided.high is None:
        return f"{said}: {arm.events} events"
    few = "" if arm.events >= BADGE_EVENTS else f", of which {BADGE_EVENTS} would be wanted"
    return (
        f"{said}: {name} {decided.value:+.3f} ({decided.low:+.3f} to {decided.high:+.3f}), {decided.events} events{few}"
    )
