-- Pauses that outlive the daemon, and dead letters that somebody has given up.

CREATE TABLE pauses (
    job TEXT PRIMARY KEY,           -- '*': every job
    paused_at INTEGER NOT NULL,
    reason TEXT                     -- the operator's words
) STRICT, WITHOUT ROWID;

-- A dead unit somebody has dropped is never asked for again, not even when the job is run by hand.
ALTER TABLE kept ADD COLUMN dropped_at INTEGER;
CREATE INDEX kept_dead ON kept (ended_at) WHERE state = 'dead' AND dropped_at IS NULL;
