-- Signals: at most one of a kind per prediction and UTC day; `body` is the travelling record as JSON.
CREATE TABLE signals (
    signal_id TEXT PRIMARY KEY,
    prediction_id TEXT NOT NULL,
    signal_kind TEXT NOT NULL,
    day TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (prediction_id, signal_kind, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX signals_recent ON signals (created_at);
