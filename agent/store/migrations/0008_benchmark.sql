-- The benchmark: what it holds of each prediction, its hourly checks, the marks at fixed horizons, scores and passes.

-- What a pass reads and moves on, one narrow row per prediction: the record itself is never touched for it.
CREATE TABLE standings (
    chain_seq INTEGER PRIMARY KEY REFERENCES predictions (chain_seq),
    market_id INTEGER NOT NULL REFERENCES markets (id),
    prediction_id TEXT NOT NULL,
    probability REAL NOT NULL,
    confidence INTEGER,
    initial_price REAL, initial_bid REAL, initial_ask REAL,
    initial_seen_at INTEGER,        -- when that book was looked at; NULL: not told
    predicted_at INTEGER NOT NULL,
    closes_at INTEGER,              -- the market's end as it stood when the prediction came here
    movement TEXT,                  -- of the last check
    checked_at INTEGER,             -- of the last check that had a price, with its two numbers
    abs_delta REAL,
    yes_price REAL,
    converged_at INTEGER,           -- the first check at which the price had reached the prediction
    due_at INTEGER,                 -- when the next timed horizon begins; NULL: none is left
    marked INTEGER NOT NULL DEFAULT 0,  -- 1: no mark is owed any more
    settled INTEGER NOT NULL DEFAULT 0, -- 1: a check has said that the market closed; 2: that it has its answer
    scored INTEGER NOT NULL DEFAULT 0   -- 1: its score stands in scores
) STRICT;
CREATE INDEX standings_owing ON standings (market_id, due_at) WHERE marked = 0;
CREATE INDEX standings_unsettled ON standings (market_id) WHERE settled < 2;
CREATE INDEX standings_unscored ON standings (market_id) WHERE scored = 0;

-- Keyed by time first, so that a pass is appended: by prediction, 100,000 checks touched 100,000 pages. The history of
-- one prediction is found by looking each pass up.
CREATE TABLE checks_by_time (
    checked_at INTEGER NOT NULL,
    chain_seq INTEGER NOT NULL REFERENCES standings (chain_seq),
    movement TEXT NOT NULL,
    closed INTEGER NOT NULL,
    resolved INTEGER NOT NULL,
    yes_price REAL,                 -- NULL where there was no usable quote, as the four below
    abs_delta REAL,
    convergence_rate REAL,
    cumulative_convergence REAL,
    signed_move REAL,
    PRIMARY KEY (checked_at, chain_seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE check_times (checked_at INTEGER PRIMARY KEY) STRICT;

CREATE TABLE marks (
    chain_seq INTEGER NOT NULL REFERENCES standings (chain_seq),
    horizon TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (chain_seq, horizon)
) STRICT, WITHOUT ROWID;

CREATE TABLE scores (
    chain_seq INTEGER PRIMARY KEY REFERENCES standings (chain_seq),
    scored_at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE benchmark_passes (
    pass_id TEXT PRIMARY KEY,
    checked_at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX benchmark_passes_newest ON benchmark_passes (checked_at);

CREATE TABLE benchmark_reports (
    report_id TEXT PRIMARY KEY,
    scope TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX benchmark_reports_newest ON benchmark_reports (scope, made_at);

-- Predictions from before: a body is a BLOB, and json_extract reads it only as text. Their marks begin at the next run.
INSERT INTO standings (chain_seq, market_id, prediction_id, probability, confidence, initial_price, initial_bid,
    initial_ask, predicted_at, closes_at, movement, checked_at, abs_delta, yes_price, due_at, settled)
SELECT p.chain_seq, p.market_id, p.prediction_id,
    json_extract(CAST(p.body AS TEXT), '$.probability_yes'), json_extract(CAST(p.body AS TEXT), '$.confidence'),
    json_extract(CAST(p.body AS TEXT), '$.initial_price'), json_extract(CAST(p.body AS TEXT), '$.initial_bid'),
    json_extract(CAST(p.body AS TEXT), '$.initial_ask'), p.predicted_at, m.end_time,
    (SELECT json_extract(CAST(body AS TEXT), '$.movement_direction') FROM checks
     WHERE prediction_id = p.prediction_id ORDER BY checked_at DESC LIMIT 1),
    c.checked_at, c.abs_delta, json_extract(CAST(c.body AS TEXT), '$.yes_price'), p.predicted_at,
    CASE WHEN p.state <> 'completed' THEN EXISTS (SELECT 1 FROM checks
     WHERE prediction_id = p.prediction_id AND json_extract(CAST(body AS TEXT), '$.closed')) ELSE 2 END
FROM predictions p
JOIN markets m ON m.id = p.market_id
LEFT JOIN checks c ON c.prediction_id = p.prediction_id AND c.checked_at =
    (SELECT max(checked_at) FROM checks WHERE prediction_id = p.prediction_id AND abs_delta IS NOT NULL);

INSERT INTO checks_by_time
SELECT c.checked_at, s.chain_seq, json_extract(CAST(c.body AS TEXT), '$.movement_direction'),
    json_extract(CAST(c.body AS TEXT), '$.closed'), json_extract(CAST(c.body AS TEXT), '$.resolved'),
    json_extract(CAST(c.body AS TEXT), '$.yes_price'), c.abs_delta,
    json_extract(CAST(c.body AS TEXT), '$.convergence_rate'),
    json_extract(CAST(c.body AS TEXT), '$.cumulative_convergence'),
    json_extract(CAST(c.body AS TEXT), '$.signed_move')
FROM checks c JOIN standings s USING (prediction_id);
INSERT INTO check_times SELECT DISTINCT checked_at FROM checks_by_time;

DROP TABLE checks;
ALTER TABLE checks_by_time RENAME TO checks;
