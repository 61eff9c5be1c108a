"""/v1/benchmark, /v1/experiments, /v1/leaderboard: how forecasts fare, as the edge worked it out."""

from datetime import datetime
from typing import Annotated, Literal

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter

from cloudapi.errors import NotFound
from cloudapi.queries import benchmark
from cloudapi.queries.predictions import load_prediction
from cloudapi.routes.predictions import may_read_predictions
from cloudapi.routes.shapes import FAILURES, MISSING, TIERED, Cursor, ExperimentPage, Key, Limit, MarkList, PassPage
from cloudapi.services import AnyRequest, Wired
from sync.records import BenchmarkReport

Order = Literal["brier_skill", "convergence", "confidence", "recent"]


@get(
    "/v1/benchmark/summary",
    tags=["benchmark"],
    guards=[may_read_predictions],
    responses={200: ResponseSpec(PassPage), 400: FAILURES[422], **TIERED, **FAILURES},
)
async def list_passes(
    services: Wired, request: AnyRequest, *, limit: Limit = 24, cursor: Cursor = None
) -> Response[bytes]:
    """Hourly passes of the benchmark, the newest first: counts, rates and where it stands. Descriptive, not a score."""
    before = None
    if cursor is not None:
        before = services.cursors.read(cursor, tuple[datetime, str], listing="passes", filters={})

    async def make() -> PassPage:
        rows = await benchmark.load_passes(services.pool, before=before, limit=limit)
        page, follow = rows[:limit], None
        if len(rows) > limit:
            position = [page[-1].checked_at, page[-1].pass_id]
            follow = services.cursors.make(position, listing="passes", filters={})
        return PassPage(data=page, has_more=follow is not None, next_cursor=follow)

    chosen = {"limit": limit, "before": before}
    return await services.answer(request, "passes", kinds=("benchmark_pass",), parameters=chosen, ttl_s=30, make=make)


@get(
    "/v1/predictions/{prediction_id:str}/marks",
    tags=["predictions"],
    guards=[may_read_predictions],
    responses={200: ResponseSpec(MarkList), **MISSING, **TIERED, **FAILURES},
)
async def list_marks(services: Wired, request: AnyRequest, prediction_id: Key) -> Response[bytes]:
    """The market at the fixed horizons of one prediction, and its score once the market has its answer."""

    async def make() -> MarkList:
        if await load_prediction(services.pool, prediction_id) is None:
            raise NotFound(f"There is no prediction {prediction_id!r}.")
        marks = await benchmark.load_marks(services.pool, prediction_id)
        score = await benchmark.load_score(services.pool, prediction_id)
        return MarkList(prediction_id=prediction_id, data=marks, score=score)

    chosen = {"prediction": prediction_id}
    kinds = ("mark", "score", "prediction")
    return await services.answer(request, "marks", kinds=kinds, parameters=chosen, ttl_s=30, make=make)


@get(
    "/v1/experiments",
    tags=["benchmark"],
    guards=[may_read_predictions],
    responses={200: ResponseSpec(ExperimentPage), **TIERED, **FAILURES},
)
async def list_experiments(services: Wired, request: AnyRequest) -> Response[bytes]:
    """The newest report of every experiment, per category and time frame, each number with n, interval and null."""

    async def make() -> ExperimentPage:
        return ExperimentPage(data=await benchmark.load_experiments(services.pool))

    kinds = ("benchmark_report",)
    return await services.answer(request, "experiments", kinds=kinds, parameters={}, ttl_s=60, make=make)


@get(
    "/v1/experiments/{experiment:str}/report",
    tags=["benchmark"],
    guards=[may_read_predictions],
    responses={200: ResponseSpec(BenchmarkReport), **MISSING, **TIERED, **FAILURES},
)
async def get_report(services: Wired, request: AnyRequest, experiment: Key) -> Response[bytes]:
    """What one experiment has shown so far, or that it is too early to say."""
    return await _newest(services, request, benchmark.EXPERIMENT + experiment, f"There is no report of {experiment!r}.")


@get(
    "/v1/leaderboard",
    tags=["benchmark"],
    guards=[may_read_predictions],
    responses={200: ResponseSpec(BenchmarkReport), 400: FAILURES[422], **MISSING, **TIERED, **FAILURES},
)
async def get_leaderboard(
    services: Wired,
    request: AnyRequest,
    *,
    sort: Annotated[Order, QueryParameter(description="What the order is by.")] = "brier_skill",
) -> Response[bytes]:
    """All experiments in order; those it is too early to rank come last, without a rank."""
    return await _newest(services, request, benchmark.LEADERBOARD + sort, "There is no leaderboard yet.")


async def _newest(services: Wired, request: AnyRequest, scope: str, absent: str) -> Response[bytes]:
    async def make() -> BenchmarkReport:
        report = await benchmark.load_report(services.pool, scope)
        if report is None:
            raise NotFound(absent)
        return report

    kinds = ("benchmark_report",)
    return await services.answer(request, "report", kinds=kinds, parameters={"scope": scope}, ttl_s=60, make=make)
