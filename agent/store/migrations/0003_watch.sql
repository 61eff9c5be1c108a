-- What watches over the collection: the habit of each venue's format, records kept raw for a while, and decisions.

-- One row per complete listing, the newest few per venue; `body` is the profile as JSON.
CREATE TABLE drift_profiles (
    venue TEXT NOT NULL,
    at INTEGER NOT NULL,
    n_records INTEGER NOT NULL,
    body BLOB,                      -- NULL where the listing was not good: it counts records, it forms no habit
    PRIMARY KEY (venue, at)
) STRICT, WITHOUT ROWID;

-- What is wrong with a venue's format now; no row: nothing.
CREATE TABLE drift (
    venue TEXT PRIMARY KEY,
    since INTEGER NOT NULL,
    distrusted TEXT NOT NULL,       -- JSON list of wire fields
    lost TEXT NOT NULL,             -- JSON list of our values that are not stored while it lasts
    shrunk TEXT,                    -- that the listing is much shorter than usual, in words
    reasons TEXT NOT NULL           -- JSON list: each changed field in words
) STRICT, WITHOUT ROWID;

-- Records as a venue sent them, kept by hash for a while when something about them was found.
CREATE TABLE raw (
    digest TEXT PRIMARY KEY,
    venue TEXT NOT NULL,
    reason TEXT NOT NULL,
    body BLOB NOT NULL,             -- zlib
    n_seen INTEGER NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
) STRICT;

-- The last decision per market and question, written when it changes. Worth storing and sending is a question of each
-- cycle and 50,000 markets: only what is withheld has a row.
CREATE TABLE decisions (
    market_id INTEGER NOT NULL REFERENCES markets (id) ON DELETE CASCADE,
    question TEXT NOT NULL CHECK (question IN ('send', 'analyse', 'predict')),
    chosen INTEGER NOT NULL,
    gate TEXT NOT NULL,             -- the gate that stopped it, or 'passed'
    reason TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    PRIMARY KEY (market_id, question)
) STRICT, WITHOUT ROWID;

-- Set while nothing about the market travels: listed, and nobody has quoted or traded it yet.
ALTER TABLE markets ADD COLUMN withheld INTEGER NOT NULL DEFAULT 0;


-- When a venue last listed each market. Apart from markets: there, every look rewrote the pages that hold their texts,
-- 110 MB in a cycle of 50,000.
CREATE TABLE sights (
    market_id INTEGER PRIMARY KEY REFERENCES markets (id) ON DELETE CASCADE,
    seen_at INTEGER NOT NULL
) STRICT;
INSERT INTO sights SELECT id, seen_at FROM markets;
DROP VIEW quotes_latest;
ALTER TABLE markets DROP COLUMN seen_at;
CREATE VIEW quotes_latest AS
SELECT q.market_id, q.fetched_at AS stored_at, s.seen_at,
    q.bid, q.ask, q.last_price, q.mid, q.volume_24h, q.open_interest, q.liquidity_usd
FROM sights s
JOIN quotes q ON q.market_id = s.market_id
    AND q.fetched_at = (SELECT max(fetched_at) FROM quotes WHERE market_id = s.market_id);
