"""Makes states of the house: a healthy one by default, each test names only what is different."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from agent.status.state import Chain, CloudLive, JobState, Live, LlmLive, MqttLive, State, VenueState
from sync.records import Venue

NOW = datetime(2026, 3, 17, 14, 15, 43, tzinfo=UTC)
TICK = NOW - timedelta(seconds=41)


def make_venue(venue: Venue = Venue.KALSHI, **over: Any) -> VenueState:
    """A venue that answered in the last run."""
    return VenueState(
        **{"venue": venue, "n_open": 9120, "n_rejects_day": 0, "n_quotes": 1200, "last_good_at": TICK} | over
    )


def make_state(**over: Any) -> State:
    """What the store of a healthy house says."""
    jobs = ("analyse", "benchmark", "collect", "predict")
    healthy = {
        "stream_id": "7f3ac0de-0000-4000-8000-000000000001",
        "venues": (make_venue(Venue.POLYMARKET, n_open=31204, n_quotes=4998), make_venue(Venue.KALSHI)),
        "jobs": tuple(JobState(job=job, state="ok", ended_at=NOW - timedelta(minutes=9)) for job in jobs),
        "last_collected_at": TICK,
        "n_patterns_today": 312,
        "last_pattern_at": TICK,
        "n_insights_today": 41,
        "last_insight_at": NOW - timedelta(minutes=9),
        "n_llm_calls_today": 57,
        "llm_spent_usd": Decimal("0.0314"),
        "n_active_predictions": 1204,
        "n_predictions_today": 200,
        "chain": Chain(chain_seq=18211, record_hash="9f3ab01c77aa" + "0" * 52, predicted_at=NOW - timedelta(hours=8)),
        "n_checks_today": 16856,
        "n_pending_rows": 0,
        "n_pending_batches": 0,
        "n_held_batches": 0,
        "held_reason": None,
        "oldest_pending_at": None,
        "last_acked_at": NOW - timedelta(seconds=39),
        "buffer_bytes": 1_240_000_000,
    }
    return State(**healthy | over)


def make_cloud(**over: Any) -> CloudLive:
    """A cloud that answers."""
    answering = {
        "configured": True,
        "connected": True,
        "transport": "postgres",
        "round_trip_ms": 34.2,
        "skew_s": 0.1,
        "last_batch_at": NOW - timedelta(seconds=39),
    }
    return CloudLive(**answering | over)


def make_live(**over: Any) -> Live:
    """What the process of a healthy house knows, everything configured."""
    healthy = {
        "started_at": NOW - timedelta(days=6, hours=3),
        "version": "0.1.0",
        "host_id": "home-1",
        "cloud": make_cloud(),
        "mqtt": MqttLive(configured=True, connected=True),
        "llm": LlmLive(daily_cap_usd=Decimal(1)),
        "next_due": {"collect": NOW.replace(minute=30, second=0), "analyse": NOW.replace(minute=20, second=0)},
        "watchdog_at": NOW - timedelta(seconds=3),
    }
    return Live(**healthy | over)
