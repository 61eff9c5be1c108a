"""The blend: price-blind forecasts weighted by their past skill, then a tenth of them beside nine tenths of the price.

Law: each member is recalibrated and weighted by resolved forecasts alone; the weight of all of them against the price
starts at 0.10 and only leaves it where resolved events support that (core/ensemble).
"""

from typing import Any, Literal

from agent.core import ensemble
from agent.core.ensemble import Author, blend
from agent.experiments.base import ExperimentResult, ExperimentSkip, SightedContext
from sync.records import Market


class Ensemble:
    """Reads whatever price-blind members are configured; sees the price, so its score stands apart from theirs."""

    name = "ensemble"
    version = "1"
    requires: tuple[str, ...] = ("market_prior",)
    asks_model = False
    saw_price: Literal[True] = True

    def __init__(self, members: tuple[str, ...] = ("single_model", "research_forecast")) -> None:
        self.wants = members

    @property
    def parameters(self) -> dict[str, Any]:
        """Frozen with the version."""
        return {
            "members": list(self.wants),
            "start_weight": ensemble.START_WEIGHT,
            "priors": [ensemble.WEIGHT_PRIOR_EVENTS, ensemble.SKILL_PRIOR_EVENTS, ensemble.PLATT_PRIOR],
            "skill_scale": ensemble.SKILL_SCALE,
            "platt_min_resolved": ensemble.PLATT_MIN_RESOLVED,
        }

    async def run(self, market: Market, context: SightedContext) -> ExperimentResult | ExperimentSkip:
        """Blend what is there."""
        del market
        price = context.results["market_prior"][0].probability_yes
        members = _members(self.wants, context)
        if price is None or not members:
            return ExperimentSkip("no price-blind forecast to blend")
        weights = context.track.weights(list(members))
        said = {author: context.track.platt(author)(p) for author, p in members.items()}
        ours = blend((said[author], weights[author]) for author in members)
        share = context.track.blend_weight(self.wants)
        return ExperimentResult(
            probability_yes=blend([(ours, share.weight), (price, 1 - share.weight)]),
            rationale=f"{share.weight:.2f} on {len(members)} blind forecasts ({share.reason}), the rest the price",
            payload={
                "weight": share.weight,
                "n_events": share.n_events,
                "ours": ours,
                "price": price,
                "members": [
                    {"experiment": a.experiment, "model": a.model, "said": p, "recalibrated": said[a],
                     "weight": weights[a]}
                    for a, p in members.items()
                ],
            },
        )  # fmt: skip


def _members(names: tuple[str, ...], context: SightedContext) -> dict[Author, float]:
    """Each model once, though another may have answered in its place."""
    return {
        Author(name, context.versions[name], result.model): result.probability_yes
        for name in names
        for result in context.results.get(name, ())
        if result.probability_yes is not None
    }
