"""How the forecasts fare: where the benchmark stands, what experiments have shown, and who decides what is watched.

Law: a verdict is worked out from the stored rows when it is asked for, by the same measures as the daily reports; what
it is too early to say is said so. Pausing stops hourly checks only: horizons and scores go on.
"""

import asyncio
from datetime import datetime
from typing import Any, ClassVar, Literal

import msgspec

from agent.desk.base import Ask, Desk
from agent.errors import UnknownPrediction
from agent.jobs.benchmark import check_one
from agent.store.exports import load_export
from agent.store.passes import load_passes
from agent.store.score_rows import load_rows
from agent.store.standings import count_states, enrol_predictions, load_experiments, set_state
from agent.store.tx import Reader
from sync.records import BenchmarkPass, BenchmarkStatus, Check

Order = Literal["brier_skill", "convergence", "confidence", "recent"]  # core.scoring.shapes.Sort

# Reports are answered as JSON: their types load numpy, 25 MB that an idle daemon need not hold.
Json = dict[str, Any]
MAX_PAGE = 500  # rows of an export per answer: about 700 kB on the socket


class ExperimentCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many predictions of one experiment stand where."""

    experiment: str
    n_active: int
    n_paused: int
    n_completed: int
    n_scored: int
    n_excluded: int


class BenchmarkState(msgspec.Struct, frozen=True, kw_only=True):
    """The benchmark at a glance; `last` is None before the first pass."""

    status: BenchmarkStatus
    n_active: int
    n_paused: int
    n_completed: int
    last: BenchmarkPass | None
    experiments: tuple[ExperimentCount, ...]


class AskBenchmark(Ask[BenchmarkState], frozen=True, kw_only=True):
    """Where it stands."""

    verb: ClassVar[str] = "benchmark"
    answer_type: ClassVar[Any] = BenchmarkState

    async def answer(self, desk: Desk) -> BenchmarkState:
        """Never fails."""
        return await load_state(desk.store.reader)


class StateChange(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator's word did."""

    status: BenchmarkStatus
    n_changed: int


class AskSetBenchmark(Ask[StateChange], frozen=True, kw_only=True):
    """Pause, resume or complete one prediction, an experiment's, or all."""

    verb: ClassVar[str] = "set_benchmark"
    answer_type: ClassVar[Any] = StateChange
    status: BenchmarkStatus
    prediction_id: str | None = None
    experiment: str | None = None

    async def answer(self, desk: Desk) -> StateChange:
        """Raises: UnknownPrediction where the words mean nothing we hold."""
        await _assert_known(desk.store.reader, self.prediction_id, self.experiment)
        async with desk.store.write() as tx:
            n = await set_state(tx, self.status, prediction_id=self.prediction_id, experiment=self.experiment)
        return StateChange(status=self.status, n_changed=n)


class AskCheck(Ask[Check], frozen=True, kw_only=True):
    """Hold one prediction against the market now."""

    verb: ClassVar[str] = "check_prediction"
    answer_type: ClassVar[Any] = Check
    prediction_id: str

    async def answer(self, desk: Desk) -> Check:
        """Raises: UnknownPrediction."""
        async with desk.store.write() as tx:
            await enrol_predictions(tx)
        check = await check_one(desk.store, self.prediction_id, desk.now)
        if check is None:
            raise _unknown(f"no prediction we hold is {self.prediction_id!r:.80}")
        return check


class AskReport(Ask[Json], frozen=True, kw_only=True):
    """What one experiment has shown: a core.scoring.shapes.ExperimentReport."""

    verb: ClassVar[str] = "benchmark_report"
    answer_type: ClassVar[Any] = Json
    deadline_s: ClassVar[float | None] = None  # thousands of draws: seconds on a small machine
    experiment: str
    as_of_last_pass: bool = False  # of a replay: its present is the recording's

    async def answer(self, desk: Desk) -> Json:
        """Raises: UnknownPrediction."""
        from agent.core.scoring.report import experiment_report

        await _assert_known(desk.store.reader, None, self.experiment)
        rows, now = await load_rows(desk.store.reader, self.experiment), await _now(desk, self.as_of_last_pass)
        report = await asyncio.to_thread(experiment_report, rows, self.experiment, now=now)
        told: Json = msgspec.to_builtins(report)
        return told


class AskLeaderboard(Ask[Json], frozen=True, kw_only=True):
    """All experiments in order: a core.scoring.shapes.Leaderboard."""

    verb: ClassVar[str] = "leaderboard"
    answer_type: ClassVar[Any] = Json
    deadline_s: ClassVar[float | None] = None
    sort: Order = "brier_skill"
    as_of_last_pass: bool = False

    async def answer(self, desk: Desk) -> Json:
        """Never fails: without predictions it is empty."""
        from agent.core.scoring.report import leaderboard
        from agent.core.scoring.shapes import Sort

        rows, now = await load_rows(desk.store.reader), await _now(desk, self.as_of_last_pass)
        told: Json = msgspec.to_builtins(await asyncio.to_thread(leaderboard, rows, sort=Sort(self.sort), now=now))
        return told


class ExportPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some flat rows, and the place to go on after; None at the end."""

    rows: list[dict[str, Any]]
    next_after: int | None


class AskExportRows(Ask[ExportPage], frozen=True, kw_only=True):
    """A page of predictions with their horizons and scores."""

    verb: ClassVar[str] = "benchmark_export"
    answer_type: ClassVar[Any] = ExportPage
    experiment: str | None = None
    after_seq: int = 0

    async def answer(self, desk: Desk) -> ExportPage:
        """Raises: UnknownPrediction."""
        await _assert_known(desk.store.reader, None, self.experiment)
        page, follow = await load_export(
            desk.store.reader, experiment=self.experiment, after_seq=self.after_seq, limit=MAX_PAGE
        )
        return ExportPage(rows=page, next_after=follow)


async def _now(desk: Desk, as_of_last_pass: bool) -> datetime:
    passes = await load_passes(desk.store.reader) if as_of_last_pass else []
    return passes[0].checked_at if passes else desk.now


async def load_state(reader: Reader) -> BenchmarkState:
    """Counts and the last pass."""
    from agent.core.movement import overall

    states = await count_states(reader)
    passes = await load_passes(reader)
    n_active, n_paused = states[BenchmarkStatus.ACTIVE], states[BenchmarkStatus.PAUSED]
    return BenchmarkState(
        status=overall(n_active, n_paused),
        n_active=n_active,
        n_paused=n_paused,
        n_completed=states[BenchmarkStatus.COMPLETED],
        last=passes[0] if passes else None,
        experiments=tuple(ExperimentCount(**counts) for counts in await load_experiments(reader)),
    )


async def _assert_known(reader: Reader, prediction_id: str | None, experiment: str | None) -> None:
    """Raises: UnknownPrediction, naming the experiments there are."""
    if prediction_id is not None:
        known = await reader.fetch_value("SELECT 1 FROM predictions WHERE prediction_id = ?", (prediction_id,))
        if known is None:
            raise _unknown(f"no prediction we hold is {prediction_id!r:.80}")
    if experiment is not None:
        names = [counts["experiment"] for counts in await load_experiments(reader)]
        if experiment not in names:
            advice = f"there are: {', '.join(names)}" if names else "nothing has been forecast yet"
            raise UnknownPrediction(f"experiment {experiment!r:.80} has no prediction", advice=advice)


def _unknown(sentence: str) -> UnknownPrediction:
    return UnknownPrediction(sentence, advice="`oddsd benchmark export` lists their ids")
