"""/v1/predictions: forecasts as registered, and the hourly checks against them."""

from datetime import datetime
from typing import Any

from litestar import Response, get
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery

from cloudapi.auth import Caller
from cloudapi.errors import Forbidden, NotFound
from cloudapi.queries import predictions
from cloudapi.queries.predictions import PredictionFilters, PredictionPath
from cloudapi.routes.shapes import (
    FAILURES,
    MISSING,
    TIERED,
    CheckPage,
    Cursor,
    Key,
    Limit,
    PageText,
    PredictionPage,
    aware,
)
from cloudapi.services import AnyRequest, Wired
from cloudapi.tiers import lowest_tier_with_predictions
from sync.records import Prediction


def may_read_predictions(connection: ASGIConnection[Any, Caller, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: the tier includes predictions."""
    caller = connection.user
    if not caller.entitlement.predictions:
        raise Forbidden(f"Predictions are part of {lowest_tier_with_predictions()} and above; yours is {caller.tier}.")


@get(
    "/v1/predictions",
    tags=["predictions"],
    guards=[may_read_predictions],
    responses={200: ResponseSpec(PredictionPage), 400: FAILURES[422], **TIERED, **FAILURES},
)
async def list_predictions(
    services: Wired,
    request: AnyRequest,
    *,
    market: PageText = None,
    experiment: PageText = None,
    category: PageText = None,
    since: FromQuery[datetime | None] = None,
    until: FromQuery[datetime | None] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response[bytes]:
    """Predictions, newest first."""
    filters = PredictionFilters(
        market=market,
        experiment=experiment,
        category=category,
        since=aware(since, "since"),
        until=aware(until, "until"),
    )
    narrowed: dict[str, Any] = {"market": market, "experiment": experiment, "category": category}
    narrowed |= {"since": since, "until": until}
    before = None
    if cursor is not None:
        before = services.cursors.read(cursor, tuple[datetime, str], listing="predictions", filters=narrowed)

    async def make() -> PredictionPage:
        rows = await predictions.load_predictions(services.pool, filters, before=before, limit=limit)
        page, follow = rows[:limit], None
        if len(rows) > limit:
            position = [page[-1].predicted_at, page[-1].prediction_id]
            follow = services.cursors.make(position, listing="predictions", filters=narrowed)
        return PredictionPage(data=page, has_more=follow is not None, next_cursor=follow)

    chosen = {**narrowed, "limit": limit, "before": before}
    kinds = ("prediction", "market")  # the market's category is part of the filter
    return await services.answer(request, "predictions", kinds=kinds, parameters=chosen, ttl_s=30, make=make)


@get(
    "/v1/predictions/{prediction_id:str}",
    tags=["predictions"],
    guards=[may_read_predictions],
    responses={200: ResponseSpec(Prediction), **MISSING, **TIERED, **FAILURES},
)
async def get_prediction(services: Wired, request: AnyRequest, prediction_id: Key) -> Response[bytes]:
    """One prediction as it was registered, with its place in the hash chain."""

    async def make() -> Prediction:
        return await _existing(services, prediction_id)

    chosen = {"prediction": prediction_id}
    return await services.answer(request, "prediction", kinds=("prediction",), parameters=chosen, ttl_s=30, make=make)


@get(
    "/v1/predictions/{prediction_id:str}/benchmarks",
    tags=["predictions"],
    guards=[may_read_predictions],
    responses={200: ResponseSpec(CheckPage), 400: FAILURES[422], **MISSING, **TIERED, **FAILURES},
)
async def list_benchmarks(
    services: Wired, request: AnyRequest, *, prediction_id: Key, limit: Limit = 100, cursor: Cursor = None
) -> Response[bytes]:
    """The hourly checks of one prediction against its market, newest first. Descriptive, not a score."""
    named = {"prediction": prediction_id}
    before = None
    if cursor is not None:
        (before,) = services.cursors.read(cursor, tuple[datetime], listing="benchmarks", filters=named)

    async def make() -> CheckPage:
        await _existing(services, prediction_id)
        rows = await predictions.load_checks(services.pool, prediction_id, before=before, limit=limit)
        page, follow = rows[:limit], None
        if len(rows) > limit:
            follow = services.cursors.make([page[-1].checked_at], listing="benchmarks", filters=named)
        return CheckPage(prediction_id=prediction_id, data=page, has_more=follow is not None, next_cursor=follow)

    chosen = {**named, "limit": limit, "before": before}
    kinds = ("check", "prediction")
    return await services.answer(request, "benchmarks", kinds=kinds, parameters=chosen, ttl_s=30, make=make)


@get(
    "/v1/predictions/{prediction_id:str}/series",
    tags=["predictions"],
    guards=[may_read_predictions],
    responses={200: ResponseSpec(PredictionPath), **MISSING, **TIERED, **FAILURES},
)
async def get_path(services: Wired, request: AnyRequest, prediction_id: Key) -> Response[bytes]:
    """A forecast beside its market at every check, as columns for a chart; the newest 5,000."""

    async def make() -> PredictionPath:
        await _existing(services, prediction_id)
        return await predictions.load_path(services.pool, prediction_id)

    chosen, kinds = {"prediction": prediction_id}, ("check", "prediction")
    return await services.answer(request, "prediction-path", kinds=kinds, parameters=chosen, ttl_s=30, make=make)


async def _existing(services: Wired, prediction_id: str) -> Prediction:
    prediction = await predictions.load_prediction(services.pool, prediction_id)
    if prediction is None:
        raise NotFound(f"There is no prediction {prediction_id!r}.")
    return prediction
