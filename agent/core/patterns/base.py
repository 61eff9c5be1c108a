"""What a detector is, and the board it looks at: the stored history of many markets at one moment. Pure.

Law: a detector never invents a number, never fires on a book nobody could trade or nobody saw lately, and its evidence
is enough to compute its score again. One detector per file; the registry knows them by name. What several detectors
need is computed once, on first use, and kept on the board.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from operator import sub
from typing import Protocol

from agent.core.patterns.knobs import knob
from agent.core.robust import middle
from sync.records import Market, MarketStatus, Quote

Evidence = dict[str, float | str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something found in one market; becomes a Pattern when it is new."""

    market_key: str
    detector: str
    score: int  # 0..100
    evidence: Evidence


@dataclass(frozen=True)
class History:
    """One market and its stored quotes, oldest first; never empty."""

    market: Market
    quotes: Sequence[Quote]

    @property
    def latest(self) -> Quote:
        """The newest stored quote."""
        return self.quotes[-1]

    @cached_property
    def mids(self) -> list[float]:
        """The middles of its sane two-sided books; a bouncing last trade is not among them."""
        return [mid for quote in self.quotes if (mid := quote.mid) is not None]

    @cached_property
    def mid_times(self) -> list[datetime]:
        """When each of `mids` was stored."""
        return [quote.fetched_at for quote in self.quotes if quote.mid is not None]

    @cached_property
    def steps(self) -> list[float]:
        """From each mid to the next."""
        mids = self.mids
        return list(map(sub, mids[1:], mids))

    @cached_property
    def usual_move(self) -> float:
        """Median size of the steps before the newest that moved at all; 0 where none did, a market without habits.

        Heartbeat rows repeat a price: with them every quiet market would have a usual step of nothing.
        """
        moves = [abs(step) for step in self.steps[:-1] if step]
        return middle(moves) if moves else 0.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two markets that ask the same thing at two venues; inverted where YES of one is NO of the other."""

    left: str  # market keys
    right: str
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """How many legs of an event the store knows, by what became of them."""

    n_open: int = 0
    n_unopened: int = 0  # listed, not launched: no price yet
    n_undecided: int = 0  # paused, closed, disputed or annulled: worth something, and nobody says what
    n_won: int = 0  # resolved YES: in an exclusive event nothing is left to price
    n_lost: int = 0  # resolved NO: worth nothing, and certainly so


@dataclass(frozen=True, slots=True)
class Event:
    """The legs of one event that trade and were seen lately, and what the store knows about the others."""

    key: str
    legs: Sequence[History]
    listing: Listing

    @property
    def complete(self) -> bool:
        """Every leg that can still be worth something is in `legs`."""
        listing = self.listing
        return not listing.n_won and not listing.n_undecided and len(self.legs) == listing.n_open

    @property
    def exclusive(self) -> bool:
        """Exactly one leg will be YES."""
        return all(leg.market.mutually_exclusive for leg in self.legs)

    @property
    def may_grow(self) -> bool:
        """Probability may sit in a leg nobody can trade: a set that is still added to, or one not launched."""
        return self.listing.n_unopened > 0 or any(leg.market.open_set for leg in self.legs)


@dataclass(frozen=True, slots=True)
class Guard:
    """What a market must be before any detector looks at it."""

    max_age_min: float = knob(
        90.0, "a seen market has a row at least hourly (heartbeat); one missed hour and a half was not seen", low=1
    )
    min_liquidity_usd: float = knob(500.0, "resting orders below this are gone with one click (Polymarket)")
    min_volume_24h: float = knob(100.0, "dollars or contracts; fewer and the price is one person's opinion")
    min_open_interest: float = knob(500.0, "contracts held: a quiet book people have money in (Kalshi)")

    def liquid(self, quote: Quote) -> bool:
        """One of the numbers the venue gave is high enough; a number it did not give speaks for nobody."""
        liquidity, volume, interest = quote.liquidity_usd, quote.volume_24h, quote.open_interest
        return (
            (volume is not None and volume >= self.min_volume_24h)
            or (liquidity is not None and liquidity >= self.min_liquidity_usd)
            or (interest is not None and interest >= self.min_open_interest)
        )


@dataclass(frozen=True)
class Board:
    """Everything a detector may look at in one pass."""

    histories: Sequence[History]
    now: datetime
    pairs: Sequence[Pair] = ()
    listings: Mapping[str, Listing] = field(default_factory=dict)  # by event_key; absent: the legs at hand are all
    guard: Guard = Guard()

    @cached_property
    def fresh(self) -> list[History]:
        """Open markets whose book was seen lately."""
        since = self.now - timedelta(minutes=self.guard.max_age_min)
        is_open = MarketStatus.OPEN
        return [
            history
            for history in self.histories
            if history.market.status is is_open and history.quotes[-1].fetched_at >= since
        ]

    @cached_property
    def live(self) -> list[History]:
        """The fresh ones somebody trades."""
        liquid = self.guard.liquid
        return [history for history in self.fresh if liquid(history.quotes[-1])]

    @cached_property
    def walked(self) -> list[tuple[History, float]]:
        """The live ones with a mid now, and how far their mids reached from lowest to highest."""
        found = list[tuple[History, float]]()
        for history in self.live:
            if history.quotes[-1].mid is not None:
                ordered = sorted(history.mids)  # half the price of min and max
                found.append((history, ordered[-1] - ordered[0]))
        return found

    @cached_property
    def by_key(self) -> dict[str, History]:
        """The live ones by market key."""
        return {history.market.market_key: history for history in self.live}

    @cached_property
    def events(self) -> list[Event]:
        """Events of which at least two legs trade."""
        legs = defaultdict[str, list[History]](list)
        for history in self.fresh:
            if (key := event_key(history.market)) is not None:
                legs[key].append(history)
        n_unseen = Counter(map(event_key, (history.market for history in self._unseen)))
        return [
            Event(key, found, self.listings.get(key) or Listing(n_open=len(found) + n_unseen[key]))
            for key, found in legs.items()
            if len(found) > 1
        ]

    @property
    def _unseen(self) -> list[History]:
        """Open markets whose book was not seen lately."""
        if len(self.fresh) == len(self.histories):
            return []
        fresh = {history.market.market_key for history in self.fresh}
        return [
            history
            for history in self.histories
            if history.market.status is MarketStatus.OPEN and history.market.market_key not in fresh
        ]


class Detector(Protocol):
    """A rule that finds something; see the registry for those that run."""

    @property
    def name(self) -> str:
        """The word it is known by, in patterns and settings."""

    def find(self, board: Board) -> Iterator[Finding]:
        """All findings on the board."""


def event_key(market: Market) -> str | None:
    """An event's name over both venues; None for a market that stands alone."""
    return None if market.event_id is None else f"{market.venue.value}:{market.event_id}"


def score_between(value: float, low: float, high: float) -> int:
    """Linear score: 0 at `low`, 100 at `high` and beyond."""
    share = (value - low) / (high - low)
    return round(100 * min(max(share, 0.0), 1.0))


class Scorer(Protocol):
    """A detector whose score follows from its evidence alone."""

    @property
    def name(self) -> str:
        """The word it is known by."""

    def score(self, evidence: Mapping[str, float | str]) -> int:
        """0 to 100."""


def finding(scorer: Scorer, history: History, evidence: Evidence) -> Finding:
    """What a detector found in one market, with the score its evidence gives."""
    return Finding(
        market_key=history.market.market_key,
        detector=scorer.name,
        score=scorer.score(evidence),
        evidence=evidence,
    )
