"""Looks records up by id, chunk by chunk, and holds what comes back against what was asked.

Law: a venue that ignores a filter answers with something else entirely, so nothing passes that was not asked for; a
look-up is one page a chunk and never a walk. Called by the venues' details.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from agent.venues.base import Page
from sync.records import Market

T = TypeVar("T")

NOT_ASKED: Final = "not asked for"


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size`, in order."""
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def keep_asked(page: Page, asked: Sequence[str], id_of: Callable[[Market], str | None]) -> Page:
    """Leave on the page what was asked for, once each; the rest is counted as dropped."""
    wanted = set(asked)
    kept = {market.market_key: market for market in page.markets if id_of(market) in wanted}
    if surplus := len(page.markets) - len(kept):
        page.n_dropped[NOT_ASKED] = page.n_dropped.get(NOT_ASKED, 0) + surplus
    page.markets = list(kept.values())
    page.quotes = list({quote.market_key: quote for quote in page.quotes if quote.market_key in kept}.values())
    return page


def joined(pages: Iterable[Page]) -> Page:
    """One page made of several; a market on two of them counts once, the first one wins."""
    whole = Page()
    seen: set[str] = set()
    for page in pages:
        fresh = {market.market_key for market in page.markets} - seen
        whole.markets += [market for market in page.markets if market.market_key in fresh]
        whole.quotes += [quote for quote in page.quotes if quote.market_key in fresh]
        whole.rejects += page.rejects
        whole.n_records += page.n_records
        for reason, n in page.n_dropped.items():
            whole.n_dropped[reason] = whole.n_dropped.get(reason, 0) + n
        seen |= fresh
    return whole
