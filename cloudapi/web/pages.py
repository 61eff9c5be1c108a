"""The dashboard's pages: each one asks the API's own handlers and renders what they say. Readable without scripts.

Law: no page decides who may see what: that is done by the route it asks. Public here are the landing page, the door
and the files; everything else needs a session or a key, as under /v1.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from litestar import Response, Router, get
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Redirect

from cloudapi.errors import Forbidden, NotFound
from cloudapi.queries.insights import InsightBrief
from cloudapi.queries.prices import Series
from cloudapi.routes import arbitrage, benchmark, digests, insights, markets, predictions, record
from cloudapi.routes.benchmark import Frame, Order
from cloudapi.routes.record import RecordHeads, RecordPage
from cloudapi.routes.shapes import CheckPage, Cursor, Key, MarkList, PageText
from cloudapi.services import AnyRequest, Services, Wired
from cloudapi.tiers import ENTITLEMENTS, Entitlement, Interval
from cloudapi.web import account, chart, edges, live, signin
from cloudapi.web.asking import Asker, Listed
from cloudapi.web.chart import Chart
from cloudapi.web.render import ASSETS, DIGESTS, MEDIA_TYPES, exception_handlers, page
from sync.records import (
    Arbitrage,
    ArbitrageStatus,
    BenchmarkReport,
    Check,
    Digest,
    Insight,
    Market,
    MarketStatus,
    Prediction,
    Quote,
    Score,
    TimeFrame,
)

Range = Literal["1H", "6H", "1D", "1W", "1M", "ALL"]
RANGES: dict[Range, tuple[timedelta, Interval]] = {
    "1H": (timedelta(hours=1), Interval.M5),
    "6H": (timedelta(hours=6), Interval.M5),
    "1D": (timedelta(days=1), Interval.M5),
    "1W": (timedelta(days=7), Interval.M5),
    "1M": (timedelta(days=31), Interval.H1),
    "ALL": (timedelta(days=2 * 365), Interval.D1),
}
ORDERS: dict[Order, str] = {
    "brier_skill": "Brier skill",
    "convergence": "Convergence",
    "confidence": "Confidence",
    "recent": "Last 30 days",
}
FRAMES = {
    TimeFrame.DAY: "up to a day",
    TimeFrame.DAYS_3: "1 to 3 days",
    TimeFrame.WEEK: "3 to 7 days",
    TimeFrame.MONTH: "7 to 30 days",
    TimeFrame.LATER: "later",
}
N_CHECKS = 20
A_YEAR = 31_536_000
UNCHANGING = {"cache-control": f"public, max-age={A_YEAR}, immutable"}


@get("/", opt={"public": True})
async def landing(services: Wired, request: AnyRequest) -> Response[str]:
    """What this is, for whoever comes by."""
    is_gone = request.query_params.get("said") == "deleted"
    return page(request, "landing.html", tiers=ENTITLEMENTS, is_gone=is_gone, is_open=services.settings.registration)


@get("/app/static/{digest:str}/{name:str}", opt={"public": True})
async def static(digest: FromPath[str], name: FromPath[str]) -> Response[bytes]:
    """A file of ours. The digest is for the browser's memory: an old one gets today's file, to be kept for no time."""
    if name not in ASSETS:
        raise NotFound("There is no such file.")
    headers = UNCHANGING if DIGESTS[name] == digest else {"cache-control": "no-store"}
    kind = next(kind for suffix, kind in MEDIA_TYPES.items() if name.endswith(suffix))
    return Response(ASSETS[name], media_type=kind, headers=headers)


@get("/app")
async def home() -> Redirect:
    """Where most people want to go."""
    return Redirect("/app/insights", status_code=303)


@get("/app/insights")
async def insights_page(
    services: Wired, request: AnyRequest, *, category: PageText = None, cursor: Cursor = None
) -> Response[str]:
    """What patterns mean, as deep as the tier goes."""
    kind: Any = Insight if request.user.entitlement.deep_analysis else InsightBrief
    ask = Asker(services, request)
    listed: Listed[Insight | InsightBrief] = await ask(
        insights.list_insights, Listed[kind], category=category or None, cursor=cursor
    )
    titles = await _titles(services, request, [each.market_key for each in listed.data])
    return page(request, "insights.html", listed=listed, titles=titles, category=category)


@get("/app/predictions")
async def predictions_page(
    services: Wired, request: AnyRequest, *, market: PageText = None, cursor: Cursor = None
) -> Response[str]:
    """Forecasts as registered, newest first."""
    ask = Asker(services, request)
    listed = await ask(predictions.list_predictions, Listed[Prediction], market=market, cursor=cursor)
    titles = await _titles(services, request, [each.market_key for each in listed.data])
    return page(request, "predictions.html", listed=listed, titles=titles, market=market)


@get("/app/predictions/{prediction_id:str}")
async def prediction_page(
    services: Wired,
    request: AnyRequest,
    prediction_id: Key,
    *,
    shown: Annotated[Range, QueryParameter(name="range")] = "1W",
) -> Response[str]:
    """One forecast beside its market: the picture, how the gap moved, and what may honestly be said of it."""
    ask = Asker(services, request)
    prediction = await ask(predictions.get_prediction, Prediction, prediction_id=prediction_id)
    checks = (await ask(predictions.list_benchmarks, CheckPage, prediction_id=prediction_id, limit=N_CHECKS)).data
    told = await ask(benchmark.list_marks, MarkList, prediction_id=prediction_id)
    market = await ask(markets.get_market, Market, market_id=prediction.market_key)
    runs = await ask(predictions.list_predictions, Listed[Prediction], market=prediction.market_key, limit=20)
    marks = [chart.Mark(at=run.predicted_at, label=f"{run.experiment}: {run.probability_yes:.1%}") for run in runs.data]
    picture = await _picture(
        services,
        request,
        market,
        shown,
        forecast=prediction.probability_yes,
        since=prediction.predicted_at,
        marks=[*marks, *_resolution(market, told.score)],
    )
    return page(
        request,
        "prediction.html",
        prediction=prediction,
        market=market,
        checks=checks,
        latest=_latest_priced(checks),
        marks=told.data,
        score=told.score,
        runs=runs.data,
        chart=picture,
        ranges=list(RANGES),
        shown=shown,
    )


@get("/app/leaderboard")
async def leaderboard_page(
    services: Wired,
    request: AnyRequest,
    *,
    sort: FromQuery[Order] = "brier_skill",
    category: PageText = None,
    frame: Frame = None,
) -> Response[str]:
    """Experiments in order, of all questions or of a part of them, and what each has shown by itself."""
    ask = Asker(services, request)
    whole = board = await _board(ask, sort)
    if board is not None and (category or frame):
        board = await _board(ask, sort, category=category, frame=frame)
    reports = await ask(benchmark.list_experiments, Listed[BenchmarkReport])
    return page(
        request,
        "leaderboard.html",
        board=board,
        whole=whole,
        reports=reports.data,
        orders=ORDERS,
        frames=FRAMES,
        sort=sort,
        category=category,
        frame=frame,
    )


async def _board(ask: Asker, sort: Order, **part: str | None) -> dict[str, Any] | None:
    """The order of a part; None where none was ever made of it: the page says so."""
    try:
        return (await ask(benchmark.get_leaderboard, BenchmarkReport, sort=sort, **part)).body
    except NotFound:
        return None


@get("/app/arbitrage")
async def arbitrage_page(
    services: Wired,
    request: AnyRequest,
    *,
    status: FromQuery[ArbitrageStatus] = ArbitrageStatus.ACTIVE,
    cursor: Cursor = None,
) -> Response[str]:
    """Sides that together pay more than they cost, with everything to be read before believing it."""
    ask = Asker(services, request)
    listed = await ask(arbitrage.list_arbitrage, Listed[Arbitrage], status=status, cursor=cursor)
    return page(request, "arbitrage.html", listed=listed, status=status, statuses=list(ArbitrageStatus))


@get("/app/digest")
async def digest_page(services: Wired, request: AnyRequest, *, cursor: Cursor = None) -> Response[str]:
    """Each day in short."""
    listed = await Asker(services, request)(digests.list_digests, Listed[Digest], limit=3, cursor=cursor)
    return page(request, "digest.html", listed=listed)


@get("/app/markets")
async def markets_page(
    services: Wired, request: AnyRequest, *, q: FromQuery[str | None] = None, cursor: Cursor = None
) -> Response[str]:
    """Markets of both venues, by words of their titles."""
    words = (q or "").strip()[:200] or None
    status = None if words else MarketStatus.OPEN
    ask = Asker(services, request)
    listed = await ask(markets.list_markets, Listed[Market], q=words, status=status, cursor=cursor)
    return page(request, "markets.html", listed=listed, q=words or "")


@get("/app/markets/{market_id:str}")
async def market_page(
    services: Wired,
    request: AnyRequest,
    market_id: Key,
    *,
    shown: Annotated[Range, QueryParameter(name="range")] = "1W",
) -> Response[str]:
    """One market: its price, its rules, what was forecast of it."""
    ask = Asker(services, request)
    market = await ask(markets.get_market, Market, market_id=market_id)
    try:
        quote = await ask(markets.get_price, Quote, market_id=market_id)
    except NotFound:
        quote = None
    try:
        runs = (await ask(predictions.list_predictions, Listed[Prediction], market=market_id)).data
    except Forbidden:
        runs = None
    marks = [
        chart.Mark(at=run.predicted_at, label=f"{run.experiment}: {run.probability_yes:.1%}") for run in runs or ()
    ]
    picture = await _picture(services, request, market, shown, marks=[*marks, *_resolution(market, None)])
    return page(
        request,
        "market.html",
        market=market,
        quote=quote,
        runs=runs,
        chart=picture,
        ranges=list(RANGES),
        shown=shown,
    )


@get("/app/record")
async def record_page(
    services: Wired,
    request: AnyRequest,
    *,
    chain: PageText = None,
    first: Annotated[int, QueryParameter(name="from", ge=1, le=2**53)] = 1,
) -> Response[str]:
    """The hash chain of predictions, and a way to check it in the reader's own browser."""
    ask = Asker(services, request)
    heads = (await ask(record.get_head, RecordHeads)).data
    try:
        stretch = await ask(record.list_record, RecordPage, chain=chain, from_seq=first, limit=20)
    except Forbidden:
        stretch = None
    return page(request, "record.html", heads=heads, stretch=stretch)


@get("/app/{rest:path}")
async def nowhere(request: AnyRequest) -> Response[str]:
    """An address that is none of ours, told to whoever is signed in, with the way back."""
    raise NotFound(f"There is no page {request.url.path}.")


async def _titles(services: Services, request: AnyRequest, keys: list[str]) -> dict[str, str]:
    """What markets ask, by key; the key itself where the market has not landed."""
    ask, titles = Asker(services, request), dict[str, str]()
    for key in dict.fromkeys(keys):
        try:
            titles[key] = (await ask(markets.get_market, Market, market_id=key)).title
        except NotFound:
            titles[key] = key
    return titles


async def _picture(
    services: Services,
    request: AnyRequest,
    market: Market,
    shown: Range,
    *,
    forecast: float | None = None,
    since: datetime | None = None,
    marks: list[chart.Mark],
) -> Chart | None:
    """The market's prices over a range, in the finest interval of the tier that fits."""
    span, wanted = RANGES[shown]
    interval = _finest(request.user.entitlement, wanted)
    # A minute's grid, so that readers of one minute share an answer of the shelf.
    end = services.now().replace(second=0, microsecond=0) + timedelta(minutes=1)
    series = await Asker(services, request)(
        markets.get_series, Series, market_id=market.market_key, interval=interval, start=end - span, end=end
    )
    return chart.draw(series, forecast=forecast, since=since, marks=marks)


def _finest(right: Entitlement, wanted: Interval) -> Interval:
    order = [interval for interval in (Interval.M5, Interval.H1, Interval.D1) if interval in right.series_intervals]
    return wanted if wanted in order else order[0]


def _resolution(market: Market, score: Score | None) -> list[chart.Mark]:
    """The end, where the market has one and its moment is known."""
    at = market.closed_time or (None if score is None else score.scored_at)
    if market.resolution is None or at is None:
        return []
    return [chart.Mark(at=at, label=f"resolved {market.resolution}", kind="resolution", price=market.resolution_value)]


def _latest_priced(checks: list[Check]) -> Check | None:
    return next((check for check in checks if check.yes_price is not None), None)


HANDLERS = (
    landing,
    static,
    signin.sign_in_page,
    signin.sign_in,
    signin.register_page,
    signin.register,
    signin.sign_out,
    home,
    insights_page,
    predictions_page,
    prediction_page,
    leaderboard_page,
    live.live_page,
    arbitrage_page,
    digest_page,
    markets_page,
    market_page,
    record_page,
    *account.HANDLERS,
    edges.edges_page,
    nowhere,
)

PAGES = Router("/", route_handlers=HANDLERS, include_in_schema=False, exception_handlers=exception_handlers())
