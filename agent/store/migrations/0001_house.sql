-- The whole edge store. Times are integer milliseconds since 1970 UTC; *_time was said by a venue, *_at stamped by us.
-- A `body` holds the travelling record as JSON; columns beside it exist because a query asks for them.

CREATE TABLE markets (
    id INTEGER PRIMARY KEY,
    market_key TEXT NOT NULL UNIQUE,
    venue TEXT NOT NULL,
    status TEXT NOT NULL,
    event_id TEXT,
    end_time INTEGER,               -- the nearer of the venue's two ends: expected or nominal
    digest BLOB NOT NULL,           -- of the record without its fetched_at: tells a new version from a repetition
    first_seen_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,    -- fetched_at of the version in body
    seen_at INTEGER NOT NULL,       -- last time a venue listed it
    body BLOB NOT NULL
) STRICT;
CREATE INDEX markets_event ON markets (venue, event_id);
CREATE INDEX markets_open ON markets (venue) WHERE status = 'open';  -- the status screen counts them
CREATE INDEX markets_end ON markets (end_time) WHERE status = 'open';

-- Stored on change plus a heartbeat; unchanged looks only move markets.seen_at. WITHOUT ROWID keeps one market's
-- history together on disk.
CREATE TABLE quotes (
    market_id INTEGER NOT NULL REFERENCES markets (id),
    fetched_at INTEGER NOT NULL,
    bid REAL, ask REAL, last_price REAL, mid REAL,
    volume_24h REAL, open_interest REAL, liquidity_usd REAL,
    PRIMARY KEY (market_id, fetched_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX quotes_age ON quotes (fetched_at);

-- The newest row of each market, and when its book was last looked at: "unchanged" and "not seen" differ. Derived, not
-- stored: a second copy cost as much to write as the history itself.
CREATE VIEW quotes_latest AS
SELECT q.market_id, q.fetched_at AS stored_at, m.seen_at,
    q.bid, q.ask, q.last_price, q.mid, q.volume_24h, q.open_interest, q.liquidity_usd
FROM markets m
JOIN quotes q ON q.market_id = m.id
    AND q.fetched_at = (SELECT max(fetched_at) FROM quotes WHERE market_id = m.id);

-- Records that could not be read: counted, kept by hash for a while, never turned into numbers.
CREATE TABLE rejects (
    digest TEXT PRIMARY KEY,
    venue TEXT NOT NULL,
    path TEXT NOT NULL,
    reason TEXT NOT NULL,
    body BLOB NOT NULL,
    n_seen INTEGER NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
) STRICT;

CREATE TABLE patterns (
    pattern_id TEXT PRIMARY KEY,
    market_id INTEGER NOT NULL REFERENCES markets (id),
    detector TEXT NOT NULL,
    score INTEGER NOT NULL,
    detected_at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX patterns_recent ON patterns (detected_at, score);
CREATE INDEX patterns_market ON patterns (market_id, detector, detected_at);

CREATE TABLE insights (
    insight_id TEXT PRIMARY KEY,
    market_id INTEGER NOT NULL REFERENCES markets (id),
    pattern_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX insights_market ON insights (market_id, created_at);
CREATE INDEX insights_recent ON insights (created_at);

CREATE TABLE predictions (
    chain_seq INTEGER PRIMARY KEY,  -- 1, 2, 3 …: the order of the record
    prediction_id TEXT NOT NULL UNIQUE,
    market_id INTEGER NOT NULL REFERENCES markets (id),
    experiment TEXT NOT NULL,
    experiment_version TEXT NOT NULL,
    model TEXT NOT NULL,            -- '' where no model is asked: NULLs would not be equal in the unique key
    run_day TEXT NOT NULL,
    predicted_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'paused', 'completed')),
    record_hash TEXT NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (market_id, experiment, experiment_version, model, run_day)
) STRICT;
CREATE INDEX predictions_active ON predictions (state, market_id);

CREATE TABLE checks (
    prediction_id TEXT NOT NULL REFERENCES predictions (prediction_id),
    checked_at INTEGER NOT NULL,
    abs_delta REAL,                 -- NULL where there was no usable quote
    body BLOB NOT NULL,
    PRIMARY KEY (prediction_id, checked_at)
) STRICT, WITHOUT ROWID;

-- One row per run of a job; (job, slot) is what makes a slot happen once.
CREATE TABLE job_runs (
    run_id TEXT PRIMARY KEY,
    job TEXT NOT NULL,
    slot INTEGER NOT NULL,          -- ms of the scheduled instant, or of the request for a run by hand
    trigger TEXT NOT NULL CHECK (trigger IN ('timer', 'hand', 'once', 'recovery')),
    state TEXT NOT NULL CHECK (state IN ('running', 'ok', 'partial', 'failed', 'missed')),
    attempt INTEGER NOT NULL DEFAULT 1,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    counts TEXT,                    -- JSON object: what the run did, in numbers
    reason TEXT,                    -- why partial, failed or missed, in words
    UNIQUE (job, slot)
) STRICT;
CREATE INDEX job_runs_recent ON job_runs (job, started_at);

-- Results kept by key: the only checkpoint there is. A key names everything the result depends on.
CREATE TABLE kept (
    job TEXT NOT NULL,
    key TEXT NOT NULL,
    run_id TEXT NOT NULL REFERENCES job_runs (run_id) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('done', 'dead')),
    result TEXT,                    -- JSON
    error TEXT,
    attempts INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX kept_run ON kept (run_id, ended_at);

-- One row per model call, written before the call as a reservation. Money in nano-dollars.
CREATE TABLE llm_calls (
    call_id TEXT PRIMARY KEY,
    day TEXT NOT NULL,              -- UTC day the cost counts for
    purpose TEXT NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'booked', 'released')),
    reserved_nano INTEGER NOT NULL,
    cost_nano INTEGER,              -- NULL until booked; an unknown outcome is booked at reserved_nano
    outcome TEXT,                   -- ok, invalid, refused, unavailable, timeout, abandoned
    prompt_hash TEXT NOT NULL,
    prompt_version TEXT NOT NULL,
    market_key TEXT,
    run_id TEXT,
    prompt_tokens INTEGER, cached_tokens INTEGER, completion_tokens INTEGER,
    latency_ms INTEGER,
    error TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX llm_calls_day ON llm_calls (day, purpose, model);

-- A stream is one lineage of numbers; a rebuilt or forked buffer starts a new one.
CREATE TABLE streams (
    stream_id TEXT PRIMARY KEY,
    next_seq INTEGER NOT NULL,      -- never goes back, so a number is never reused
    token TEXT NOT NULL,            -- lineage token the cloud has confirmed
    next_token TEXT,                -- offered since this process started; durable before it is offered
    created_at INTEGER NOT NULL,
    closed_at INTEGER,
    reason TEXT
) STRICT;
CREATE UNIQUE INDEX streams_current ON streams ((1)) WHERE closed_at IS NULL;

CREATE TABLE batches (
    stream_id TEXT NOT NULL REFERENCES streams (stream_id),
    lo INTEGER NOT NULL,
    hi INTEGER NOT NULL,
    digest BLOB NOT NULL,
    schema_v INTEGER NOT NULL,
    n_bytes INTEGER NOT NULL,
    body BLOB NOT NULL,
    sealed_at INTEGER NOT NULL,
    acked_at INTEGER,
    receipt TEXT,                   -- JSON as the cloud gave it
    held_reason TEXT,               -- refused for good: needs a person, others pass
    origin_stream TEXT, origin_lo INTEGER,  -- set when a rotation moved it here
    PRIMARY KEY (stream_id, lo)
) STRICT;
CREATE INDEX batches_pending ON batches (stream_id, lo) WHERE acked_at IS NULL;

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
