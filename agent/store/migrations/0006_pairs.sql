-- Questions asked on both venues, what a comparison of their rules came to, and what pays for certain.

-- The pairing reads what is new since its last look.
CREATE INDEX markets_changed ON markets (changed_at);

-- The last verdict per pair; `body` is the travelling record as JSON.
CREATE TABLE matches (
    kalshi_id INTEGER NOT NULL REFERENCES markets (id) ON DELETE CASCADE,
    polymarket_id INTEGER NOT NULL REFERENCES markets (id) ON DELETE CASCADE,
    relation TEXT NOT NULL,
    yes_maps_to TEXT NOT NULL,
    judged_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kalshi_id, polymarket_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX matches_polymarket ON matches (polymarket_id);

-- What two samples of a model said of two rules texts: paid once, and never asked for again while nothing changed.
CREATE TABLE rule_verdicts (
    rules_hash TEXT NOT NULL,       -- of everything both markets showed the model
    prompt_version TEXT NOT NULL,   -- prompt and schema
    judged_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (rules_hash, prompt_version)
) STRICT, WITHOUT ROWID;

-- One row per package from its first sight to its end.
CREATE TABLE arbitrage (
    arbitrage_id TEXT PRIMARY KEY,
    legs TEXT NOT NULL,             -- market keys and sides, sorted: what makes it the same package
    status TEXT NOT NULL CHECK (status IN ('ACTIVE', 'EXPIRED')),
    net_edge REAL NOT NULL,
    detected_at INTEGER NOT NULL,
    computed_at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX arbitrage_active ON arbitrage (legs) WHERE status = 'ACTIVE';
CREATE INDEX arbitrage_recent ON arbitrage (detected_at);
