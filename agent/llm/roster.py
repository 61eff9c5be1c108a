"""Which models are asked, in which order, and what this process knows of each: price, mode, pace, failures.

Law: configuration decides who is on the roster, the service's list and experience only say more about them. A model
that is gone stays away until the list shows it again. What is worth keeping over a restart goes through the store.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from agent.core.instants import from_ms, to_ms
from agent.llm.breaker import Breaker
from agent.llm.estimate import PromptEstimate
from agent.llm.ladder import Ladder, Learnt
from agent.llm.limits import Limiter, ModelLimits
from agent.llm.listing import Listing
from agent.llm.models import FREE, JsonMode, Price, Profile, chain_of, profile_of
from agent.llm.options import GatewayOptions
from agent.store.llm_models import ModelRow

BREAKER_S, BREAKER_CAP_S = 60.0, 900.0  # away after a question whose every try failed; doubles while it goes on
LIST_LASTS = timedelta(days=30)  # an older list says nothing about today's prices


@dataclass(slots=True)
class ModelState:
    """What this process knows of a model."""

    profile: Profile
    price: Price
    ladder: Ladder
    limiter: Limiter
    breaker: Breaker
    estimate: PromptEstimate = field(default_factory=PromptEstimate)
    gone: str | None = None

    def away_s(self, at: float) -> float:
        """Seconds until it may be asked again."""
        return max(self.limiter.parked_s(), self.breaker.away_s(at))


class Roster:
    """The models of one gateway."""

    def __init__(self, options: GatewayOptions, *, monotonic: Callable[[], float]) -> None:
        self._options, self._monotonic = options, monotonic
        names, self.notes = chain_of(options.models)
        self._states = {name: self._state(name) for name in names}

    def __getitem__(self, model: str) -> ModelState:
        """A model's state."""
        return self._states[model]

    @property
    def configured(self) -> tuple[str, ...]:
        """Real ids of all models the settings name, in use or gone."""
        return tuple(self._states)

    @property
    def names(self) -> tuple[str, ...]:
        """Real ids of the models still in use, the preferred one first."""
        return tuple(name for name, state in self._states.items() if state.gone is None)

    @property
    def gone(self) -> dict[str, str]:
        """Models that will not be asked any more, and why."""
        return {name: state.gone for name, state in self._states.items() if state.gone is not None}

    def away_s(self) -> float:
        """Seconds until any model may be asked."""
        at = self._monotonic()
        return min(self._states[name].away_s(at) for name in self.names)

    def recall(self, rows: Mapping[str, ModelRow], now: datetime) -> None:
        """Take in what an earlier process knew."""
        for name, state in self._states.items():
            if (row := rows.get(name)) is None:
                continue
            if row.json_mode in set(JsonMode) and row.json_mode_at is not None:
                learnt = Learnt(
                    mode=JsonMode(row.json_mode), at=from_ms(row.json_mode_at), reason=row.json_mode_reason or ""
                )
                state.ladder = Ladder(state.profile.json_mode, learnt)
            if row.listed and row.listed_at is not None and now - from_ms(row.listed_at) <= LIST_LASTS:
                self._learn(state, _listing_from_row(row))

    def learn(self, listings: Iterable[Listing]) -> list[str]:
        """Take in the service's list; returns what a person should know, a sentence each."""
        listed, warnings = {listing.model: listing for listing in listings}, list[str]()
        for name, state in self._states.items():
            listing = listed.get(name)
            if listing is None or not listing.active:
                missing = "is not on the service's list" if listing is None else "is listed as inactive"
                warnings.append(
                    f"model {name} {missing}: its calls would fail; name another in ai_model or its fallbacks"
                )
                continue
            state.gone = None
            if (changed := self._learn(state, listing)) is not None:
                warnings.append(f"model {name}: {changed}")
        return warnings

    def rows(self, listings: Iterable[Listing], now: datetime) -> list[ModelRow]:
        """What the list says of our models, to be stored."""
        listed = {listing.model: listing for listing in listings}
        return [_row(name, listed.get(name), now) for name in self._states]

    def _learn(self, state: ModelState, listing: Listing) -> str | None:
        """Prefer the service's own numbers; returns the price change in words where it is dearer than the table's."""
        profile = state.profile
        state.profile = replace(
            profile,
            context_tokens=listing.context_tokens or profile.context_tokens,
            max_completion_tokens=listing.max_completion_tokens or profile.max_completion_tokens,
        )
        if self._options.is_free or listing.price is None:
            return None
        before, state.price = state.price, listing.price
        if listing.price.prompt <= before.prompt and listing.price.completion <= before.completion:
            return None
        return (
            f"dearer than we knew: {listing.price.prompt:f} in and {listing.price.completion:f} out USD a million"
            f" tokens instead of {before.prompt:f} and {before.completion:f}; the daily cap holds all the same"
        )

    def _state(self, model: str) -> ModelState:
        options, profile = self._options, profile_of(model)
        limits = ModelLimits(
            model, requests_per_minute=options.requests_per_minute, tokens_per_minute=options.tokens_per_minute
        )
        return ModelState(
            profile=profile,
            price=FREE if options.is_free else profile.price,
            ladder=Ladder(profile.json_mode),
            limiter=Limiter(limits, max_parked_s=options.max_parked_s, monotonic=self._monotonic),
            breaker=Breaker(n_to_open=1, open_s=BREAKER_S, cap_s=BREAKER_CAP_S),
        )


def _listing_from_row(row: ModelRow) -> Listing:
    price = None
    if row.price_prompt is not None and row.price_cached is not None and row.price_completion is not None:
        price = Price(
            Decimal(row.price_prompt), Decimal(row.price_cached), Decimal(row.price_completion), row.prices_as_of or ""
        )
    return Listing(
        model=row.model,
        active=bool(row.active),
        price=price,
        context_tokens=row.context_tokens,
        max_completion_tokens=row.max_completion_tokens,
    )


def _row(model: str, listing: Listing | None, now: datetime) -> ModelRow:
    if listing is None:
        return ModelRow(model=model, listed=0, listed_at=to_ms(now))
    price = listing.price
    return ModelRow(
        model=model,
        listed=1,
        active=int(listing.active),
        price_prompt=None if price is None else f"{price.prompt:f}",
        price_cached=None if price is None else f"{price.cached:f}",
        price_completion=None if price is None else f"{price.completion:f}",
        prices_as_of=None if price is None else price.as_of,
        context_tokens=listing.context_tokens,
        max_completion_tokens=listing.max_completion_tokens,
        listed_at=to_ms(now),
    )
