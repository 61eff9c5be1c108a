"""What a version is: the parts of an experiment that shape its forecasts, and whether they are still what they were.

Pure. Law: a version that has made a forecast never changes; a changed prompt, model list, parameter or setting under
the same version is refused at start, with the part that changed and what to do. The parts are kept as digests, short
ones in clear.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from agent.experiments.base import Experiment

CLEAR_CHARS = 160  # a shorter part can be shown to a person as it was

Versions = dict[tuple[str, str], dict[str, str]]


def wants_of(experiment: Experiment) -> tuple[str, ...]:
    """What it reads where it is configured."""
    return tuple(getattr(experiment, "wants", ()))


def versions_of(experiments: Iterable[Experiment], models: Sequence[str]) -> Versions:
    """The parts of each experiment, by (name, version).

    Args:
        models: the configured ones, in their order; part of whoever asks them.
    """
    return {(e.name, e.version): _parts(e, models) for e in experiments}


def faults(now: Versions, frozen: Mapping[tuple[str, str], Mapping[str, str]]) -> list[str]:
    """Each experiment that is not what its version was, one sentence each."""
    found = list[str]()
    for (name, version), parts in now.items():
        if (before := frozen.get((name, version))) is None:
            continue
        changed = [_change(part, before.get(part), parts.get(part)) for part in _differing(before, parts)]
        if changed:
            found.append(
                f"experiment {name} {version}: {'; '.join(changed)} since its first forecast. Give it a new version"
                f' (in its code, or revision = "..." in [experiments.{name}]) or take the change back'
            )
    return found


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [part for part in sorted({*before, *now}) if before.get(part) != now.get(part)]


def _change(part: str, before: str | None, now: str | None) -> str:
    words = part.replace("_", " ")
    if before is None or now is None:
        return f"its {words} {'was added' if before is None else 'is gone'}"
    if before.startswith("sha256:") or now.startswith("sha256:"):
        return f"its {words} changed"
    return f"its {words} changed (was {before}, is {now})"


def _parts(experiment: Experiment, models: Sequence[str]) -> dict[str, str]:
    parts: dict[str, Any] = dict(getattr(experiment, "parameters", {}))
    parts |= {"requirements": list(experiment.requires), "sight_of_the_price": experiment.saw_price}
    if experiment.asks_model:
        parts["models"] = list(models)
    return {name: _told(value) for name, value in parts.items()}


def _told(value: Any) -> str:
    text = msgspec.json.encode(value, order="sorted").decode()
    return text if len(text) <= CLEAR_CHARS else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
