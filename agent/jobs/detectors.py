"""Which detectors run: ours and those of installed packages, as the settings want them.

Law: everything wrong is told at once and before the first run: a package that cannot be loaded, a thing that is no
detector, two of one name, a table or threshold nobody knows.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from agent.core.patterns.base import Detector
from agent.core.patterns.knobs import Knobs
from agent.core.patterns.registry import BUILT_IN, GROUP, chosen, table_faults
from agent.errors import ConfigError


def load_detectors(tables: Mapping[str, Knobs]) -> list[Detector]:
    """The detectors that are switched on, thresholds turned. Raises: ConfigError with every fault."""
    detectors, faults = list(BUILT_IN), list[str]()
    for point in entry_points(group=GROUP):
        try:
            detectors.append(_made(point.load()()))
        except Exception as exc:  # noqa: BLE001  # a third party's import may raise anything; the operator must see it
            faults.append(f"detector {point.name} ({point.value}): cannot be loaded: {type(exc).__name__}: {exc}")
    faults += table_faults(tables, detectors)
    if faults:
        raise ConfigError(faults)
    return chosen(detectors, tables)


def _made(thing: Any) -> Detector:
    missing = [attribute for attribute in ("name", "find") if not hasattr(thing, attribute)]
    if missing:
        raise TypeError(f"not a detector, it has no {' and no '.join(missing)}")
    detector: Detector = thing
    return detector
