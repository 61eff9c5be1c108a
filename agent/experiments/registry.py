"""Which experiments run, and in which order.

Law: an experiment comes after everything it requires; duplicates, unknown names, cycles, and a blind experiment that
would read a sighted one are refused at start, all of them in one ConfigError. A name is a built-in, an entry point of
the group `oddsd.experiments`, or a path "package.module:factory"; each leads to something that, called without
arguments, gives an experiment.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import entry_points
from typing import Any, Self

from agent.errors import ConfigError
from agent.experiments.base import Experiment

GROUP = "oddsd.experiments"
BUILT_IN = {
    "market_prior": "agent.experiments.market_prior:MarketPrior",
    "single_model": "agent.experiments.single_model:SingleModel",
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
    def load(cls, names: Iterable[str]) -> Self:
        """The experiments of these names. Raises: ConfigError with every fault."""
        found, faults = list[Experiment](), list[str]()
        for name in names:
            try:
                found.append(_made(name))
            except ConfigError as exc:
                faults += exc.faults
        if faults:
            raise ConfigError(faults)
        return cls(found)

    def __iter__(self) -> Iterator[Experiment]:
        """What is required comes before what requires it."""
        return iter(self._ordered)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ordered)


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
            elif by_name[required].saw_price and not experiment.saw_price:
                faults.append(f"experiment {experiment.name}: is blind and requires {required}, which sees the price")
    try:
        _order(given)
    except CycleError as exc:
        faults.append(f"experiments {' -> '.join(exc.args[1])}: require each other in a circle")
    return faults


def _order(given: list[Experiment]) -> list[str]:
    """Names, what is required first; in the order given where nothing is required. Raises: CycleError."""
    names = {experiment.name for experiment in given}
    sorter = TopologicalSorter({e.name: [name for name in e.requires if name in names] for e in given})
    return list(sorter.static_order())
