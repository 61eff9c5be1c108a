"""Runs one experiment on one market with what it may see, and refuses what is no forecast.

Law: a blind experiment gets `BlindMarket`, and nothing here hands it more; whatever a third party's code raises comes
out as one named error.
"""

import math
from collections.abc import Mapping
from typing import Any

import structlog

from agent.core.blind import blind
from agent.core.ensemble import TrackRecord
from agent.errors import AnalysisError, OddsdError
from agent.experiments.base import BlindContext, Experiment, ExperimentResult, ExperimentSkip, SightedContext
from sync.records import Market, Quote

log = structlog.get_logger("predict")


async def run_experiment(
    experiment: Experiment,
    market: Market,
    context: BlindContext,
    *,
    quote: Quote | None,
    track: TrackRecord,
    versions: Mapping[str, str],
) -> ExperimentResult | ExperimentSkip:
    """Run an experiment with what it may see.

    Raises: AnalysisError for whatever a third party's code raises, and for what is no probability.
    """
    try:
        if experiment.saw_price:
            sighted = SightedContext(
                now=context.now,
                run_day=context.run_day,
                results=context.results,
                door=context.door,
                quote=quote,
                track=track,
                versions=versions,
                model=context.model,
            )
            return _checked(await experiment.run(market, sighted), experiment)
        if (question := blind(market)) is None:
            return ExperimentSkip("its title speaks of nothing but its own price: no blind question is left")
        return _checked(await experiment.run(question, context), experiment)
    except (OddsdError, TimeoutError):
        raise
    except Exception as exc:
        log.exception("experiment raised", action="experiment_raised", experiment=experiment.name)
        raise AnalysisError(f"experiment {experiment.name}: {type(exc).__name__}: {exc}") from exc


def _checked(given: Any, experiment: Experiment) -> ExperimentResult | ExperimentSkip:
    """Refuse what is no probability. Raises: AnalysisError."""
    if isinstance(given, ExperimentSkip):
        return given
    if not isinstance(given, ExperimentResult):
        raise AnalysisError(f"experiment {experiment.name}: gave {type(given).__name__}, neither result nor skip")
    said = given.probability_yes
    if said is not None and not (math.isfinite(said) and 0 <= said <= 1):
        raise AnalysisError(f"experiment {experiment.name}: gave {said} as a probability")
    return given
