-- How old an answer was when we fetched it. Polymarket's edge keeps pages for up to five minutes and says so: a price
-- from there was not seen now.
ALTER TABLE quotes ADD COLUMN age_s REAL;           -- NULL: nobody said; the price is that much older than fetched_at

-- `seen_at` stays the time of our look, which tells listed markets from those that are gone.
ALTER TABLE sights ADD COLUMN shown_at INTEGER NOT NULL DEFAULT 0;  -- when the venue made the newest answer we hold
UPDATE sights SET shown_at = seen_at;

-- A book is as old as the answer it came with, so here `seen_at` is when the venue showed it.
DROP VIEW quotes_latest;
CREATE VIEW quotes_latest AS
SELECT q.market_id, q.fetched_at AS stored_at, s.shown_at AS seen_at, s.seen_at - s.shown_at AS age_ms,
    q.bid, q.ask, q.last_price, q.mid, q.volume_24h, q.open_interest, q.liquidity_usd, q.age_s
FROM sights s
JOIN quotes q ON q.market_id = s.market_id
    AND q.fetched_at = (SELECT max(fetched_at) FROM quotes WHERE market_id = s.market_id);
