-- Base schema: what the edge delivers, who delivered it, who may read it.
-- Natural keys make delivery idempotent; a row may arrive before the market it speaks of, so markets can be stubs.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

-- ---------------------------------------------------------------- the edge and its ledger

create table edge_host (
    host_id text primary key check (host_id ~ '^[a-z0-9_-]{1,32}$'),
    agent_version text,
    first_seen_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now()
);

create table edge_stream (
    stream uuid primary key,
    host_id text not null references edge_host,
    token uuid not null,                        -- lineage: what the edge must know to be the same edge
    fence bigint not null default 1,            -- +1 at each change of token; an older writer is shut out
    acked int8multirange not null default '{}', -- sequence numbers applied, one to three ranges
    boot_id text,
    client_time timestamptz,
    schema_v integer,
    agent_version text,
    local_hi bigint,
    created_at timestamptz not null default now(),
    hello_at timestamptz not null default now(),
    closed_at timestamptz
);

create table edge_batch (
    stream uuid not null references edge_stream,
    lo bigint not null check (lo >= 1),
    hi bigint not null,
    digest bytea not null check (octet_length(digest) = 32),
    schema_v integer not null,
    inserted integer not null,
    known integer not null,
    quarantined integer not null,
    kinds jsonb not null,                       -- rows per kind that were new
    applied_at timestamptz not null default now(),
    primary key (stream, lo),
    check (hi >= lo),
    check (inserted + known + quarantined = hi - lo + 1)
);

create table edge_quarantine (
    stream uuid not null references edge_stream,
    seq bigint not null,
    kind text,
    reason text not null,
    payload text not null,                      -- text: a payload may be something jsonb refuses to hold
    quarantined_at timestamptz not null default now(),
    primary key (stream, seq)
);

-- ---------------------------------------------------------------- markets

create table market (
    market_id integer generated always as identity primary key,
    market_key text not null unique
        check (length(market_key) <= 200 and market_key ~ '^(polymarket|kalshi):.'),
    venue text not null check (market_key like venue || ':%'),
    venue_market_id text,
    title text,                                 -- null: a stub, known only from its prices or predictions
    status text check (status in ('unopened', 'open', 'paused', 'closed', 'resolved')),
    fetched_at timestamptz,
    event_id text,
    event_title text,
    series_id text,
    proposition text,
    outcome_labels text[] not null default '{}',
    token_ids text[] not null default '{}',
    category text,
    rules_text text,
    url text,
    tick_size double precision check (tick_size > 0 and tick_size <= 1),
    mutually_exclusive boolean,
    open_set boolean,
    open_time timestamptz,
    close_time timestamptz,
    expected_time timestamptz,
    closed_time timestamptz,
    resolution text check (resolution in ('yes', 'no', 'void', 'disputed', 'unknown')),
    resolution_value double precision check (resolution_value between 0 and 1),
    extra jsonb,                                -- fields this schema does not know yet
    landed_at timestamptz not null default now(),
    search tsvector generated always as (
        setweight(to_tsvector('english', coalesce(title, '')), 'A')
        || setweight(to_tsvector('english', coalesce(event_title, '') || ' ' || coalesce(proposition, '')), 'B')
        || setweight(to_tsvector('english', coalesce(category, '')), 'C')
    ) stored,
    check (title is null or (status is not null and venue_market_id is not null and fetched_at is not null))
);

create index market_search on market using gin (search);
create index market_category on market (lower(category), market_id desc);
create index market_status on market (status, market_id desc);

-- One light row per delivered version: honest counting, and a trace of every change of the rules.
create table market_revision (
    market_id integer not null references market,
    fetched_at timestamptz not null,
    title text not null,
    status text not null,
    close_time timestamptz,
    resolution text,
    rules_hash bytea,
    landed_at timestamptz not null default now(),
    primary key (market_id, fetched_at)
);

-- ---------------------------------------------------------------- prices

-- Double precision: the shortest text of a float8 is the text that came in; real would lose volumes above 2^24.
-- No foreign key: market_id is looked up in the inserting statement and markets are never deleted.
create table price_snapshot (
    market_id integer not null,
    fetched_at timestamptz not null,
    bid double precision check (bid between 0 and 1),
    ask double precision check (ask between 0 and 1),
    last_price double precision check (last_price between 0 and 1),
    mid double precision check (mid between 0 and 1),
    volume_24h double precision check (volume_24h > '-infinity' and volume_24h < 'infinity'),
    open_interest double precision check (open_interest > '-infinity' and open_interest < 'infinity'),
    liquidity_usd double precision check (liquidity_usd > '-infinity' and liquidity_usd < 'infinity'),
    primary key (market_id, fetched_at)
) partition by range (fetched_at);

-- Must stay empty: a row here means that a day had no partition when it landed.
create table price_snapshot_default partition of price_snapshot default;

create table price_latest (
    market_id integer primary key,
    fetched_at timestamptz not null,
    bid double precision,
    ask double precision,
    last_price double precision,
    mid double precision,
    volume_24h double precision,
    open_interest double precision,
    liquidity_usd double precision
) with (fillfactor = 70); -- updated each quarter hour: leave room in the page

-- ---------------------------------------------------------------- what the edge worked out

create table pattern (
    pattern_id text primary key check (length(pattern_id) between 1 and 200),
    market_id integer not null references market,
    detector text not null,
    score smallint not null check (score between 0 and 100),
    evidence jsonb not null check (jsonb_typeof(evidence) = 'object'),
    detected_at timestamptz not null,
    extra jsonb,
    landed_at timestamptz not null default now()
);
create index pattern_market on pattern (market_id, detected_at desc);

create table insight (
    insight_id text primary key check (length(insight_id) between 1 and 200),
    market_id integer not null references market,
    pattern_id text not null,                   -- no foreign key: the pattern may land later
    detector text not null,
    recommendation text not null check (recommendation in ('STRONG_BET', 'GOOD_BET', 'CAUTION', 'AVOID')),
    confidence smallint not null check (confidence between 0 and 100),
    one_liner text not null,
    reasoning text not null,
    edge_explanation text not null,
    risk_factors text[] not null,
    suggested_position text not null check (suggested_position in ('YES', 'NO', 'WAIT')),
    time_sensitivity text not null check (time_sensitivity in ('ACT_NOW', 'HOURS', 'DAYS', 'WEEKS')),
    actionable boolean not null,
    model text not null,
    prompt_version text not null,
    cost_usd numeric not null check (cost_usd >= 0 and cost_usd < 'infinity'),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    clamps text[] not null default '{}',
    bid double precision check (bid between 0 and 1),
    ask double precision check (ask between 0 and 1),
    extra jsonb,
    landed_at timestamptz not null default now()
);
create index insight_newest on insight (created_at desc, insight_id desc);
create index insight_market on insight (market_id, created_at desc);

create table prediction (
    prediction_id text primary key check (length(prediction_id) between 1 and 200),
    market_id integer not null references market,
    experiment text not null,
    experiment_version text not null,
    run_day date not null check (run_day between '2020-01-01' and '2100-01-01'),
    probability_yes double precision not null check (probability_yes between 0 and 1),
    saw_price boolean not null,
    predicted_at timestamptz not null,
    model text,
    prompt_version text,
    confidence smallint check (confidence between 0 and 100),
    rationale text,
    initial_price double precision check (initial_price between 0 and 1),
    initial_bid double precision check (initial_bid between 0 and 1),
    initial_ask double precision check (initial_ask between 0 and 1),
    chain_seq bigint not null check (chain_seq >= 1),
    previous_hash text not null,
    record_hash text not null,
    extra jsonb,
    landed_at timestamptz not null default now()
);
create index prediction_newest on prediction (predicted_at desc, prediction_id desc);
create index prediction_market on prediction (market_id, predicted_at desc);

create table prediction_check (
    prediction_id text not null check (length(prediction_id) between 1 and 200),
    checked_at timestamptz not null,            -- no foreign key: the prediction may land later
    market_id integer not null references market,
    movement_direction text not null
        check (movement_direction in ('CONVERGING', 'DIVERGING', 'STABLE', 'OVERSHOT', 'STALE', 'SETTLED')),
    predicted_probability double precision not null check (predicted_probability between 0 and 1),
    hours_since_prediction double precision not null
        check (hours_since_prediction >= 0 and hours_since_prediction < 'infinity'),
    closed boolean not null,
    resolved boolean not null,
    predicted_confidence smallint check (predicted_confidence between 0 and 100),
    yes_price double precision check (yes_price between 0 and 1),
    no_price double precision check (no_price between 0 and 1),
    abs_delta double precision check (abs_delta between 0 and 1),
    convergence_rate double precision check (convergence_rate > '-infinity' and convergence_rate < 'infinity'),
    cumulative_convergence double precision check (cumulative_convergence between -1 and 1),
    signed_move double precision check (signed_move between -1 and 1),
    extra jsonb,
    landed_at timestamptz not null default now(),
    primary key (prediction_id, checked_at)
);

-- ---------------------------------------------------------------- readers

create table account (
    account_id uuid primary key,
    name text not null,
    tier text not null check (tier in ('basic', 'premium', 'pro')),
    created_at timestamptz not null default now()
);

create table api_key (
    key_id uuid primary key,
    account_id uuid not null references account,
    key_hash bytea not null unique check (octet_length(key_hash) = 32), -- SHA-256; the key itself is never stored
    prefix text not null unique,                                        -- what people name it by
    last_four text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
create index api_key_account on api_key (account_id);
