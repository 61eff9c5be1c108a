-- What the cloud lost and we no longer hold, so that a gap is told instead of found; answers to requests, kept before
-- they are given, so that work done once is never done again for a lost reply.

CREATE TABLE gaps (
    stream_id TEXT NOT NULL,
    lo INTEGER NOT NULL,
    hi INTEGER NOT NULL,
    found_at INTEGER NOT NULL,
    PRIMARY KEY (stream_id, lo, hi)
) STRICT, WITHOUT ROWID;

CREATE TABLE answers (
    request_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,             -- the answer as JSON
    answered_at INTEGER NOT NULL,
    told_at INTEGER                 -- the cloud has it; NULL: to be said again
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_untold ON answers (answered_at) WHERE told_at IS NULL;
