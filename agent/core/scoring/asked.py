"""The list of statistics an arm asks for: named while parts are laid out, drawn once, answered as measures.

Law: one set of draws serves everything on the list. A part of a report asks first and returns how to finish it once
the draws are there.
"""

from collections.abc import Callable

from msgspec.structs import replace

from agent.core.scoring.bootstrap import Estimate, Statistic, Weighted, estimates
from agent.core.scoring.columns import Columns
from agent.core.scoring.measures import Measure, described, verdict
from sync.records import Evidence


class Asked:
    """Statistics by name; `draw` comes between asking and answering."""

    def __init__(self, table: Columns, *, n_draws: int) -> None:
        """Nothing is reckoned before `draw`."""
        self.table, self._n_draws = table, n_draws
        self._statistics = dict[str, Statistic | Weighted]()
        self._drawn = dict[str, Estimate]()

    def ask(self, name: str, statistic: Statistic | Weighted) -> None:
        """Put on the list."""
        self._statistics[name] = statistic

    def draw(self) -> None:
        """Reckon everything on the list."""
        found = estimates(self.table, list(self._statistics.values()), n_draws=self._n_draws)
        self._drawn = dict(zip(self._statistics, found, strict=True))

    def tested(self, name: str, null: float | None = 0.0) -> Measure:
        """A measure with a verdict; its larger values are the better ones."""
        return self._measure(name, null, verdict)

    def shown(self, name: str, null: float | None = None) -> Measure:
        """A measure without one."""
        return self._measure(name, null, described)

    def _measure(self, name: str, null: float | None, judge: Callable[[Measure], Evidence]) -> Measure:
        one = self._drawn[name]
        low, high = one.interval() or (None, None)
        bare = Measure(
            value=one.value,
            low=low,
            high=high,
            null=null if one.n else None,
            n=one.n,
            events=one.events,
            state=Evidence.NOT_MEASURED,
            p=one.p(null) if judge is verdict and null is not None else None,
        )
        return replace(bare, state=judge(bare))
