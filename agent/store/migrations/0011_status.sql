-- What the house complained of: one row per trouble, from its first report to its last. Small, and never travels.
CREATE TABLE incidents (
    incident_id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,              -- of the statement in the report: collect.kalshi, buffer, cloud
    level TEXT NOT NULL CHECK (level IN ('ok', 'degraded', 'critical')),  -- the worst it had; ok: an event, no trouble
    text TEXT NOT NULL,
    why TEXT NOT NULL,
    advice TEXT,
    began_at INTEGER NOT NULL,
    ended_at INTEGER,
    n_times INTEGER NOT NULL DEFAULT 1,  -- how often it came back before it had settled
    told_level TEXT,                -- the level the operator was told of; NULL: not told
    told_at INTEGER,
    end_told_at INTEGER
) STRICT;
CREATE INDEX incidents_recent ON incidents (began_at);
CREATE INDEX incidents_unsettled ON incidents (key) WHERE ended_at IS NULL OR (told_at IS NOT NULL AND end_told_at IS NULL);
