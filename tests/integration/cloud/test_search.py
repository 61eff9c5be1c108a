"""Search: the best match first, a bounded number of candidates, words that are still being typed."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from cloudapi.db import Pool
from cloudapi.queries.markets import (
    CANDIDATES,
    MATCHES,
    RANKINGS,
    SORTED,
    MarketFilters,
    load_markets,
    search_markets,
)
from tests.integration.cloud.conftest import Replica
from tests.integration.cloud.edge import HandEdge
from tests.integration.cloud.filled import fill_markets
from tests.integration.cloud.made import make_market
from tests.integration.cloud.test_explain import explain


@pytest.fixture
async def pool(dsns: tuple[str, str]) -> AsyncIterator[Pool]:
    async with asyncpg.create_pool(dsns[0], min_size=0, max_size=2) as made:
        yield made


async def keys(pool: Pool, text: str, limit: int = 20) -> list[str]:
    page, _ = await search_markets(pool, text, limit=limit)
    return [market.venue_market_id for market in page]


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


async def test_pages_of_a_search_follow_without_gap_or_repeat(edge: HandEdge, replica: Replica) -> None:
    """A cursor holds rank, place and how it was searched: by words, or by beginnings where no market has the words."""
    await edge.hello()
    titles = ["Senate", "The senate of the senate", "A long story about what the senate may or may not do"]
    await edge.send([make_market(f"S{n}", title=f"{titles[n % 3]} {n}?", event_title=None) for n in range(14)])
    await replica.landed(14)

    for text in ("senate", "sena"):
        found, path = [], f"/v1/markets/search?q={text}&limit=4"
        follow = path
        while follow:
            page = (await replica.get(follow)).json()
            found += [market["venue_market_id"] for market in page["data"]]
            follow = f"{path}&cursor={page['next_cursor']}" if page["has_more"] else None
        whole = (await replica.get(f"/v1/markets/search?q={text}&limit=100")).json()

        assert found == [market["venue_market_id"] for market in whole["data"]]
        assert sorted(found) == sorted(f"S{n}" for n in range(14))
    refused = await replica.get(f"/v1/markets/search?q=other&cursor={page['next_cursor'] or 'x'}")
    assert refused.status_code == 400


async def test_list_narrowed_by_words_is_newest_first_in_pages(edge: HandEdge, replica: Replica) -> None:
    """A list stays a list: the words narrow it, they do not order it."""
    await edge.hello()
    await edge.send(
        [make_market(f"S{n:02}", title=f"Senate {n}?" if n % 2 else "Rain?", event_title=None) for n in range(12)]
    )
    await replica.landed(12)

    first = (await replica.get("/v1/markets?q=senate&limit=4")).json()
    second = (await replica.get(f"/v1/markets?q=senate&limit=4&cursor={first['next_cursor']}")).json()

    names = [market["venue_market_id"] for page in (first, second) for market in page["data"]]
    assert names == ["S11", "S09", "S07", "S05", "S03", "S01"]
    assert not second["has_more"]


async def test_words_that_are_frequent_apart_and_nowhere_together_cost_no_walk(
    owner: asyncpg.Connection, pool: Pool
) -> None:
    """The planner takes two words for independent and would walk the table for a page that never fills."""
    await fill_markets(owner, 6000)
    await owner.execute("update market set title = case when market_id % 2 = 0 then 'rain' else 'snow' end || ' here'")
    await owner.execute("vacuum analyze market")
    ranked = await explain(owner, RANKINGS["words"], "rain snow", 21, None, None)
    listed = await explain(owner, "select market_id from market where title is not null and " + MATCHES, "rain snow")

    for plan in (ranked, listed):
        assert "market_search" in plan.indexes
        assert plan.n_pages < 60
    assert await load_markets(pool, MarketFilters(q="rain snow"), before_id=None, limit=20) == ([], None)


async def test_word_of_more_markets_than_are_sorted_still_gives_the_newest(
    owner: asyncpg.Connection, pool: Pool
) -> None:
    """Beyond the bound the list walks back from the newest, and its pages are the same."""
    await fill_markets(owner, SORTED + 100)

    first, follow = await load_markets(pool, MarketFilters(q="number"), before_id=None, limit=20)
    second, _ = await load_markets(pool, MarketFilters(q="number"), before_id=follow, limit=20)

    names = [market.venue_market_id for market in first + second]
    assert names == [f"M-{n}" for n in range(SORTED + 100, SORTED + 60, -1)]
