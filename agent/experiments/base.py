"""What an experiment is: something that gives a probability for a market, or a reason why not.

Law: a blind experiment is handed types that have no place for a price, and may not require a sighted one; so
`saw_price=False` is true by construction, not by discipline. Experiments store nothing: the prediction jobs do, each
answered step at once. Third parties implement one of the two protocols and name it in the settings or the entry points
`oddsd.experiments`; docs/experiments.md has one to copy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, Protocol, TypeVar

from agent.core.blind import BlindMarket
from agent.core.ensemble import TrackRecord
from agent.llm.gateway import Reply
from agent.llm.prompt import Prompt
from agent.llm.schemas import ModelReply, ReplySchema
from sync.records import Market, Quote

R = TypeVar("R", bound=ModelReply)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentResult:
    """A probability of YES and what led to it, or findings others build on."""

    probability_yes: float | None  # None: findings only, nothing enters the record
    confidence: int | None = None  # percent: the mid is on the predicted side in 24 h
    rationale: str | None = None
    model: str | None = None  # the one that answered, which may not be the one that was asked
    prompt_version: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)  # for experiments that require this one; JSON-able
    score: float | None = None  # the experiment's own measure of its result, if it has one
    artifact: str | None = None  # a text worth keeping for debugging


@dataclass(frozen=True, slots=True)
class ExperimentSkip:
    """No probability, and why: never a default in its place."""

    reason: str


class Door(Protocol):
    """The part of the gateway an experiment may use; purpose, market and run are filled in by the job."""

    async def complete(self, schema: ReplySchema[R], prompt: Prompt, *, step: str = "forecast") -> Reply[R]:
        """A checked answer of the given shape, kept under the step's name: a retry is not asked again.

        Args:
            step: names the question within the forecast; each name is used once.
        Raises: AnalysisError.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindContext:
    """What surrounds a blind experiment: no price, and only results of blind experiments."""

    now: datetime
    run_day: date
    results: Mapping[str, tuple[ExperimentResult, ...]]  # of what it requires, by name; see `model`
    door: Door
    model: str | None = None  # the one it is asked by; results of other models are then left out


@dataclass(frozen=True, slots=True, kw_only=True)
class SightedContext:
    """What surrounds an experiment that may look at the market. No subclass of the blind one: none passes for it."""

    now: datetime
    run_day: date
    results: Mapping[str, tuple[ExperimentResult, ...]]
    door: Door
    quote: Quote | None
    track: TrackRecord  # how everybody's resolved forecasts stand
    versions: Mapping[str, str]  # of every configured experiment, by name
    model: str | None = None


class _Named(Protocol):
    """May also have `wants`, names of experiments it reads where they are configured, and `parameters`, everything
    beside its code that shapes its forecasts (prompts, schemas, numbers), by name: they are frozen with the version."""

    @property
    def name(self) -> str:
        """Unique; part of every stored row."""

    @property
    def version(self) -> str:
        """Changes with anything that changes the forecasts; a change without a new one is refused at start."""

    @property
    def requires(self) -> tuple[str, ...]:
        """Names of the experiments whose results it reads and cannot do without."""

    @property
    def asks_model(self) -> bool:
        """Whether it costs money: such ones run once for each configured model, and not without a gateway."""


class BlindExperiment(_Named, Protocol):
    """A forecaster that does not know the price."""

    @property
    def saw_price(self) -> Literal[False]:
        """It did not."""

    async def run(self, market: BlindMarket, context: BlindContext) -> ExperimentResult | ExperimentSkip:
        """Forecast one market. Raises: AnalysisError."""


class SightedExperiment(_Named, Protocol):
    """A forecaster that may use the price; kept apart in every score."""

    @property
    def saw_price(self) -> Literal[True]:
        """It did."""

    async def run(self, market: Market, context: SightedContext) -> ExperimentResult | ExperimentSkip:
        """Forecast one market. Raises: AnalysisError."""


Experiment = BlindExperiment | SightedExperiment
