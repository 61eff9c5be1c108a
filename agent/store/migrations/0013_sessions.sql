-- Predictions people asked for: what was taken on, and how far each model has come. A session is owed from the moment
-- its request is answered until it has ended.

CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY,
    market_key TEXT NOT NULL,
    taken_at INTEGER NOT NULL,
    ended_at INTEGER                -- every model has ended
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_open ON sessions (taken_at) WHERE ended_at IS NULL;

CREATE TABLE session_models (
    session_id TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE,
    model TEXT NOT NULL,
    place INTEGER NOT NULL,         -- as it was asked for
    state TEXT NOT NULL CHECK (state IN ('QUEUED', 'RESEARCHING', 'GENERATING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    moved_at INTEGER NOT NULL,
    reason TEXT,
    prediction_ids TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (session_id, model)
) STRICT, WITHOUT ROWID;
