"""Which experiments run, and in which order.

Law: an experiment comes after everything it requires or wants; duplicates, unknown names, cycles, and a blind
experiment that would read a sighted one are refused at start, all of them in one ConfigError. A name is a built-in, an
entry point of the group `oddsd.experiments`, or a path "package.module:factory"; each leads to something that, called
without arguments, gives an experiment. An operator's revision is part of the version.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Self, cast

from agent.errors import ConfigError
from agent.experiments.base import Experiment
from agent.experiments.frozen import wants_of

GROUP = "oddsd.experiments"
BUILT_IN = {
    "baseline_snapshot": "agent.experiments.baseline_snapshot:BaselineSnapshot",
    "market_prior": "agent.experiments.market_prior:MarketPrior",
    "single_model": "agent.experiments.single_model:SingleModel",
    "informed": "agent.experiments.informed:Informed",
    "research": "agent.experiments.research:Research",
    "research_forecast": "agent.experiments.research_forecast:ResearchForecast",
    "ensemble": "agent.experiments.ensemble:Ensemble",
    "coin": "agent.experiments.coin:Coin",
    "longshot_fader": "agent.experiments.longshot_fader:LongshotFader",
}
_ATTRIBUTES = ("name", "version", "requires", "asks_model", "saw_price", "run")


class Registry:
    """Experiments in the order of their dependencies. Iterate over it."""

    def __init__(self, experiments: Iterable[Experiment]) -> None:
        """Check and order. Raises: ConfigError with every fault."""
        given = list(experiments)
        by_name = {experiment.name: experiment for experiment in given}
        faults = _faults(given, by_name)
        if faults:
            raise ConfigError(faults)
        self._ordered = tuple(by_name[name] for name in _order(given))

    @classmethod
    def load(cls, names: Iterable[str], revisions: Mapping[str, str] = MappingProxyType({})) -> Self:
        """The experiments of these names.

        Args:
            revisions: by experiment's name, what the operator adds to its version.
        Raises: ConfigError with every fault.
        """
        found, faults = list[Experiment](), list[str]()
        for name in names:
            try:
                found.append(_made(name))
            except ConfigError as exc:
                faults += exc.faults
        known = {experiment.name for experiment in found}
        faults += [f"experiments.{name}: no such experiment is configured" for name in revisions if name not in known]
        if faults:
            raise ConfigError(faults)
        return cls(_Revised(e, revisions[e.name]).experiment if e.name in revisions else e for e in found)

    def __iter__(self) -> Iterator[Experiment]:
        """What is required comes before what requires it."""
        return iter(self._ordered)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ordered)


class _Revised:
    """An experiment under a version the operator gave it."""

    def __init__(self, experiment: Experiment, revision: str) -> None:
        self._experiment = experiment
        self.version = f"{experiment.version}+{revision}"

    @property
    def experiment(self) -> Experiment:
        """As one of the protocols: everything but the version is the experiment's own."""
        return cast("Experiment", self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._experiment, name)


def _made(name: str) -> Experiment:
    """The experiment behind a name. Raises: ConfigError."""
    try:
        experiment = _factory(name)()
    except ConfigError:
        raise
    except Exception as exc:  # a third party's import may raise anything; the operator must see which and why
        raise ConfigError([f"experiment {name}: cannot be loaded: {type(exc).__name__}: {exc}"]) from exc
    missing = [attribute for attribute in _ATTRIBUTES if not hasattr(experiment, attribute)]
    if missing:
        raise ConfigError([f"experiment {name}: not an experiment, it has no {', '.join(missing)}"])
    made: Experiment = experiment
    return made


def _factory(name: str) -> Callable[[], Any]:
    path = BUILT_IN.get(name, name)
    if ":" in path:
        module, _, attribute = path.partition(":")
        factory: Callable[[], Any] = getattr(importlib.import_module(module), attribute)
        return factory
    for point in entry_points(group=GROUP, name=name):
        loaded: Callable[[], Any] = point.load()
        return loaded
    known = ", ".join(sorted(BUILT_IN))
    raise ConfigError([f"experiment {name}: unknown; built in are {known}, or give package.module:factory"])


def _faults(given: list[Experiment], by_name: dict[str, Experiment]) -> list[str]:
    faults = list[str]()
    seen = set[str]()
    for experiment in given:
        if experiment.name in seen:
            faults.append(f"experiment {experiment.name}: named twice")
        seen.add(experiment.name)
        for required in experiment.requires:
            if required not in by_name:
                faults.append(f"experiment {experiment.name}: requires {required}, which is not configured")
        for read in (*experiment.requires, *wants_of(experiment)):
            if read in by_name and by_name[read].saw_price and not experiment.saw_price:
                faults.append(f"experiment {experiment.name}: is blind and requires {read}, which sees the price")
    try:
        _order(given)
    except CycleError as exc:
        faults.append(f"experiments {' -> '.join(exc.args[1])}: require each other in a circle")
    return faults


def _order(given: list[Experiment]) -> list[str]:
    """Names, what is required first; in the order given where nothing is required. Raises: CycleError."""
    names = {experiment.name for experiment in given}
    sorter = TopologicalSorter({e.name: [name for name in (*e.requires, *wants_of(e)) if name in names] for e in given})
    return list(sorter.static_order())
