-- When a full walk of the catalogue no longer found it. Listed again since: unlisted_at < seen_at.
ALTER TABLE markets ADD COLUMN unlisted_at INTEGER;

-- The last verdict on how a market ended, with what each source said: why an answer stands, or why none does.
CREATE TABLE resolutions (
    market_id INTEGER PRIMARY KEY REFERENCES markets (id),
    checked_at INTEGER NOT NULL,
    resolution TEXT,                -- NULL while nobody has decided
    value REAL,
    overruled INTEGER NOT NULL,     -- 1: the listing's own answer is contradicted and must not come back with it
    reason TEXT NOT NULL
) STRICT;
CREATE INDEX resolutions_overruled ON resolutions (market_id) WHERE overruled = 1;

-- A venue's own price history, fetched on demand. Kept apart from quotes: what a point means depends on its source.
CREATE TABLE history (
    market_id INTEGER NOT NULL REFERENCES markets (id),
    source TEXT NOT NULL,           -- the route it came from
    at INTEGER NOT NULL,
    price REAL,                     -- Polymarket: undefined by the venue; Kalshi: last trade of the bar
    bid REAL, ask REAL,             -- Kalshi: the book at the end of the bar
    volume REAL,                    -- Kalshi: contracts in the bar
    PRIMARY KEY (market_id, source, at)
) STRICT, WITHOUT ROWID;

-- Fee terms of a series, a row for each change: an edge of last month is judged by last month's fees.
CREATE TABLE series_fees (
    venue TEXT NOT NULL,
    series_id TEXT NOT NULL,
    fetched_at INTEGER NOT NULL,
    fee_type TEXT NOT NULL,
    fee_multiplier TEXT NOT NULL,   -- decimal text
    PRIMARY KEY (venue, series_id, fetched_at)
) STRICT, WITHOUT ROWID;
