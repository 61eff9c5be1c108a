"""/v1/benchmark, /v1/experiments, /v1/leaderboard: how forecasts fare, as the edge worked it out. For every tier: a
record only subscribers see convinces nobody; they see it by the hour, the lowest tier by the day.
"""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter

from cloudapi.errors import NotFound
from cloudapi.queries import benchmark
from cloudapi.queries.predictions import load_prediction
from cloudapi.routes.predictions import may_read_predictions
from cloudapi.routes.shapes import FAILURES, MISSING, TIERED, Cursor, ExperimentPage, Key, Limit, MarkList, PassPage
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.tiers import visible_until
from sync.records import BenchmarkReport, TimeFrame

Order = Literal["brier_skill", "convergence", "confidence", "recent"]
Category: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        max_length=100, description="Questions of this category alone; `body.categories` lists those there are."
    ),
]
Frame: TypeAlias = Annotated[
    TimeFrame | None,
    QueryParameter(
        description="Questions whose end was so far away when they were forecast: up to 1 day, 1 to 3, 3 to 7, 7 to 30 "
        "or later; `body.frames` lists those there are."
    ),
]


@get(
    ["/v1/benchmark/summary", "/v1/benchmarks/hourly"],
    tags=["benchmark"],
    responses={200: ResponseSpec(PassPage), 400: FAILURES[422], **FAILURES},
)
async def list_passes(
    services: Wired, request: AnyRequest, *, limit: Limit = 24, cursor: Cursor = None
) -> Response[bytes]:
    """Hourly passes of the benchmark, the newest first: counts, rates and where it stands. Descriptive, not a score."""
    until = _until(services, request)
    before = None
    if cursor is not None:
        before = services.cursors.read(cursor, tuple[datetime, str], listing="passes", filters={})

    async def make() -> PassPage:
        rows = await benchmark.load_passes(services.pool, before=before, until=until, limit=limit)
        page, follow = rows[:limit], None
        if len(rows) > limit:
            position = [page[-1].checked_at, page[-1].pass_id]
            follow = services.cursors.make(position, listing="passes", filters={})
        return PassPage(data=page, has_more=follow is not None, next_cursor=follow)

    chosen = {"limit": limit, "before": before, "until": until}
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
    responses={200: ResponseSpec(ExperimentPage), **FAILURES},
)
async def list_experiments(services: Wired, request: AnyRequest) -> Response[bytes]:
    """The newest report of every experiment, per category and time frame, each number with n, interval and null."""
    until = _until(services, request)

    async def make() -> ExperimentPage:
        return ExperimentPage(data=await benchmark.load_experiments(services.pool, until=until))

    kinds, chosen = ("benchmark_report",), {"until": until}
    return await services.answer(request, "experiments", kinds=kinds, parameters=chosen, ttl_s=60, make=make)


@get(
    "/v1/experiments/{experiment:str}/report",
    tags=["benchmark"],
    responses={200: ResponseSpec(BenchmarkReport), **MISSING, **FAILURES},
)
async def get_report(services: Wired, request: AnyRequest, experiment: Key) -> Response[bytes]:
    """What one experiment has shown so far, or that it is too early to say."""
    return await _newest(services, request, benchmark.EXPERIMENT + experiment, f"There is no report of {experiment!r}.")


@get(
    "/v1/leaderboard",
    tags=["benchmark"],
    responses={200: ResponseSpec(BenchmarkReport), 400: FAILURES[422], **MISSING, **FAILURES},
)
async def get_leaderboard(
    services: Wired,
    request: AnyRequest,
    *,
    sort: Annotated[Order, QueryParameter(description="What the order is by.")] = "brier_skill",
    category: Category = None,
    frame: Frame = None,
) -> Response[bytes]:
    """All experiments in order; those it is too early to rank come last, without a rank.

    Narrowed to a category or a time frame it is shown and never tested: nothing there is better or worse, and a part in
    which nobody has 30 independent events has no order.
    """
    return await _board(services, request, sort, category, frame)


@get(
    "/v1/leaderboards/{name:str}",
    tags=["benchmark"],
    responses={200: ResponseSpec(BenchmarkReport), **MISSING, **FAILURES},
)
async def get_named_leaderboard(
    services: Wired, request: AnyRequest, name: FromPath[Order], *, category: Category = None, frame: Frame = None
) -> Response[bytes]:
    """One leaderboard by its order's name: the same as `/v1/leaderboard?sort=`."""
    return await _board(services, request, name, category, frame)


async def _board(
    services: Services, request: AnyRequest, sort: Order, category: str | None, frame: TimeFrame | None
) -> Response[bytes]:
    absent = "There is no leaderboard yet."
    if category is not None or frame is not None:
        absent = "There is no order of this part yet: no experiment has 30 independent events in it."
    return await _newest(services, request, BenchmarkReport.leaderboard(sort, category or None, frame), absent)


async def _newest(services: Wired, request: AnyRequest, scope: str, absent: str) -> Response[bytes]:
    until = _until(services, request)

    async def make() -> BenchmarkReport:
        report = await benchmark.load_report(services.pool, scope, until=until)
        if report is None:
            raise NotFound(absent)
        return report

    kinds, chosen = ("benchmark_report",), {"scope": scope, "until": until}
    return await services.answer(request, "report", kinds=kinds, parameters=chosen, ttl_s=60, make=make)


def _until(services: Services, request: AnyRequest) -> datetime | None:
    """What the benchmark said before this is shown: by the day, by the hour, or all of it."""
    return visible_until(request.user.entitlement.benchmark_every_s, services.now())
