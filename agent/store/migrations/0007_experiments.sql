-- What each experiment made of each market on each day, kept apart from the runs that asked: two jobs may meet on the
-- same market, and neither pays for what the other has. `body` holds a made forecast as JSON.
CREATE TABLE forecasts (
    market_key TEXT NOT NULL,
    experiment TEXT NOT NULL,
    version TEXT NOT NULL,
    model TEXT NOT NULL,            -- the one that was asked; '' where none is
    run_day TEXT NOT NULL,
    job TEXT NOT NULL,
    run_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('made', 'skipped', 'failed', 'left_out')),
    reason TEXT,                    -- in words, unless made
    retriable INTEGER NOT NULL DEFAULT 0,
    noted_at INTEGER NOT NULL,
    body BLOB,
    PRIMARY KEY (market_key, experiment, version, model, run_day)
) STRICT, WITHOUT ROWID;
CREATE INDEX forecasts_day ON forecasts (run_day);

-- The answered steps inside a forecast, each kept the moment it is there: a retry begins where the last one stopped.
CREATE TABLE forecast_steps (
    market_key TEXT NOT NULL,
    experiment TEXT NOT NULL,
    version TEXT NOT NULL,
    model TEXT NOT NULL,
    run_day TEXT NOT NULL,
    step TEXT NOT NULL,
    answered_by TEXT NOT NULL,
    prompt_version TEXT NOT NULL,
    cost_usd TEXT NOT NULL,
    call_id TEXT NOT NULL,
    prompt TEXT NOT NULL,           -- the user's part; the system text is named by prompt_version
    reply BLOB NOT NULL,
    answered_at INTEGER NOT NULL,
    PRIMARY KEY (market_key, experiment, version, model, run_day, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX forecast_steps_day ON forecast_steps (run_day);

-- What a version was when it made its first forecast: digests of its parts as a JSON object.
CREATE TABLE frozen_versions (
    experiment TEXT NOT NULL,
    version TEXT NOT NULL,
    parts TEXT NOT NULL,
    first_used_at INTEGER NOT NULL,
    PRIMARY KEY (experiment, version)
) STRICT, WITHOUT ROWID;

-- The summary of each prediction run; a rerun of the same day and window replaces it.
CREATE TABLE prediction_runs (
    job TEXT NOT NULL,
    run_day TEXT NOT NULL,
    span TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (job, run_day, span)
) STRICT, WITHOUT ROWID;
