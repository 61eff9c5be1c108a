"""The settings that are tables: [selection], [retention], [lanes.NAME], [experiments.NAME].

Each default has its unit and its reason on its line.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Amount = Annotated[float, Field(ge=0)]
Price = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[int, Field(ge=1, le=36_500)]


class SelectionSettings(BaseModel):
    """Which markets are worth a model's time. Volumes: dollars on Polymarket, contracts on Kalshi."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    watch: tuple[str, ...] = Field(
        default=(), description="market keys, tickers or event ids that pass whatever is a matter of taste"
    )
    leave_out: tuple[str, ...] = Field(default=(), description="categories nobody here wants explained or forecast")
    analyse_min_volume_24h: Amount = Field(
        default=100.0, description="the detectors' own line: less, and the price is one person's opinion"
    )
    analyse_min_depth: Amount = Field(
        default=500.0, description="liquidity in dollars or open contracts; thinner books move with a single order"
    )
    analyse_max_spread: Price = Field(
        default=0.10, description="wider, and the way in and out costs more than an insight is worth"
    )
    analyse_min_hours: Amount = Field(
        default=1.0, description="to the stated end: an answer comes minutes after the pattern and is read later"
    )
    predict_min_volume_24h: Amount = Field(
        default=0.0, description="off: dull markets count too, a record of busy ones alone flatters the forecaster"
    )
    predict_max_spread: Price = Field(default=1.0, description="off, for the same reason")


class RetentionSettings(BaseModel):
    """How long what is kept. Nothing that was not acknowledged by the cloud is ever deleted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quotes_all_days: Days = Field(default=14, description="every stored quote; detectors look back a day")
    quotes_hourly_days: Days = Field(default=60, description="the last of each hour: what a chart of a month shows")
    quotes_daily_days: Days = Field(default=730, description="the last of each day: two years of a market's path")
    raw_days: Days = Field(default=30, description="unreadable and drifted records: time to repair a reader")
    acked_days: Days = Field(default=14, description="batches the cloud holds: it may be restored from a backup")
    runs_days: Days = Field(default=90, description="runs of jobs and their kept results")
    patterns_days: Days = Field(default=180, description="what was found: patterns, signals, arbitrage that ended")
    checks_days: Days = Field(default=90, description="hourly checks of forecasts; their marks and scores stay")
    markets_days: Days = Field(
        default=365, description="after the last listing of one that ended and no forecast or insight speaks of"
    )

    @model_validator(mode="after")
    def _in_order(self) -> "RetentionSettings":
        if not self.quotes_all_days <= self.quotes_hourly_days <= self.quotes_daily_days:
            raise ValueError("quotes_all_days, quotes_hourly_days and quotes_daily_days must not fall")
        return self


class ExperimentSettings(BaseModel):
    """One `[experiments.NAME]` table: what the operator decides about an experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Added to its version; a frozen version whose models or prompts changed needs a new one.
    revision: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,20}$")] | None = None
    pinned: bool = False  # runs everywhere, whatever its record says


class LaneSettings(BaseModel):
    """One `[lanes.NAME]` table: how much of a model's work runs at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at_once: Annotated[int, Field(ge=1, le=1000)] | None = None  # units; unset: 4 of a model, 32 in all
    per_minute: Annotated[float, Field(gt=0, le=100_000)] | None = None  # units begun, evenly; unset: no limit
