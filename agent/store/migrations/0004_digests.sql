-- The daily digest, what is known of models between two starts, and what a call may take in tokens.

-- One a day; `body` is the travelling record as JSON.
CREATE TABLE digests (
    digest_id TEXT PRIMARY KEY,
    day TEXT NOT NULL UNIQUE,       -- UTC day it speaks for
    created_at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per model the service's own list or experience taught us something about; NULL: nothing known.
CREATE TABLE llm_models (
    model TEXT PRIMARY KEY,
    listed INTEGER,                 -- 1 on the service's list, 0 looked for and not found
    active INTEGER,
    price_prompt TEXT, price_cached TEXT, price_completion TEXT,    -- US dollars per million tokens, exact
    prices_as_of TEXT,
    context_tokens INTEGER,
    max_completion_tokens INTEGER,
    listed_at INTEGER,
    json_mode TEXT,                 -- learnt: a weaker mode than the model is known for
    json_mode_at INTEGER,
    json_mode_reason TEXT
) STRICT, WITHOUT ROWID;

-- The worst case of a call in tokens, beside the one in money; and the date of the prices it was reckoned with.
ALTER TABLE llm_calls ADD COLUMN reserved_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE llm_calls ADD COLUMN prices_as_of TEXT;
