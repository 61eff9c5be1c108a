-- Signals: forecasts and prices that disagree or come together fast, each with its forecaster's record inside.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

-- Markets and predictions stand by key: a signal needs neither to be here. The record stays as it came, whole: a size
-- is never served without it.
create table signal (
    signal_id text primary key check (length(signal_id) between 1 and 200),
    market_key text not null check (market_key like '%_:_%' and length(market_key) <= 200),
    signal_kind text not null check (signal_kind in ('CONVERGENCE_ACCELERATING', 'DISAGREEMENT')),
    prediction_id text not null,
    experiment text not null,
    experiment_version text not null,
    model text,
    side text not null check (side in ('YES', 'NO')),
    summary text not null,
    probability double precision not null check (probability between 0 and 1),
    bid double precision not null check (bid between 0 and 1),
    ask double precision not null check (ask between 0 and 1),
    cost double precision not null check (cost > 0 and cost < 2),
    edge double precision not null check (edge between -2 and 2),
    believed double precision not null check (believed between 0 and 1),
    kelly_fraction double precision not null check (kelly_fraction between 0 and 1),
    assumptions text[] not null check (cardinality(assumptions) > 0),
    record jsonb not null check (record ? 'state' and record ? 'summary' and record ? 'n' and record ? 'events'),
    evidence jsonb not null check (jsonb_typeof(evidence) = 'object'),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    extra jsonb,
    landed_at timestamptz not null default now()
);
create index signal_newest on signal (created_at desc, signal_id desc);
create index signal_of_market on signal (market_key, created_at desc);
