"""Search: the best match first, a bounded number of candidates, words that are still being typed."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from cloudapi.db import Pool
from cloudapi.queries.markets import CANDIDATES, search_markets
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.filled import fill_markets
from tests.integration.cloud.made import make_market


@pytest.fixture
async def pool(dsns: tuple[str, str]) -> AsyncIterator[Pool]:
    async with asyncpg.create_pool(dsns[0], min_size=0, max_size=2) as made:
        yield made


async def keys(pool: Pool, text: str, limit: int = 20) -> list[str]:
    return [market.venue_market_id for market in await search_markets(pool, text, limit=limit)]


async def test_title_counts_more_than_event_and_event_more_than_category(edge: HandEdge, pool: Pool) -> None:
    """Who searches for senate wants the question about it, not everything filed near it."""
    await edge.hello()
    await edge.send(
        [
            make_market("CATEGORY", title="Who wins?", event_title="A vote", category="Senate"),
            make_market("TITLE", title="Will the Senate vote?", event_title="A vote", category="Politics"),
            make_market("EVENT", title="Who wins?", event_title="Senate race", category="Politics"),
            make_market("NONE", title="Will it rain?", event_title="Weather", category="Weather"),
        ]
    )

    assert await keys(pool, "senate") == ["TITLE", "EVENT", "CATEGORY"]


async def test_unfinished_word_is_found_by_its_beginning(edge: HandEdge, pool: Pool) -> None:
    """A search box asks while the reader types."""
    await edge.hello()
    await edge.send([make_market("ONE", title="Will Copenhagen host the games?")])

    assert await keys(pool, "host copenh") == ["ONE"]


@pytest.mark.parametrize("text", ["", "   ", "the", "'", "a & | ! :*", "\\", "%", '"', "-", "🜁", "x" * 500, "sé:na(te"])
async def test_no_text_breaks_the_search(edge: HandEdge, pool: Pool, text: str) -> None:
    """The query language has operators, and readers type anything."""
    await edge.hello()
    await edge.send([make_market("ONE", title="Will it rain?")])

    assert await keys(pool, text) == []


async def test_word_that_is_everywhere_ranks_a_bounded_number(owner: asyncpg.Connection, pool: Pool) -> None:
    """Ranking all of 20,000 hits took 28 ms where the first thousand take 3."""
    await fill_markets(owner, CANDIDATES + 200)

    found = await keys(pool, "number", limit=CANDIDATES + 200)

    assert len(found) == CANDIDATES


async def test_stub_is_never_found(edge: HandEdge, owner: asyncpg.Connection, pool: Pool) -> None:
    """A market known from its prices alone has nothing to show."""
    await owner.execute("insert into market (market_key, venue, event_title) values ('kalshi:S', 'kalshi', 'Senate')")

    assert await keys(pool, "senate") == []
