-- The benchmark's honest layer and its summaries: marks at fixed horizons, scores, hourly passes, reports.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

alter table prediction add column initial_seen_at timestamptz; -- part of the hashed record: not to be lost in extra

-- Written once by the edge: the first one stays. No foreign key to the prediction, which may land later.
create table prediction_mark (
    prediction_id text not null check (length(prediction_id) between 1 and 200),
    horizon text not null check (horizon in ('1h', '6h', '24h', '72h', '168h', 'day_before', 'close')),
    market_id integer not null references market,
    due_at timestamptz not null,
    marked_at timestamptz not null,
    missing text check (
        missing in ('missed', 'one_sided', 'crossed', 'wide', 'old_book', 'not_trading', 'ending')
    ),
    seen_at timestamptz,
    bid double precision check (bid between 0 and 1),
    ask double precision check (ask between 0 and 1),
    mid double precision check (mid between 0 and 1),
    signal boolean,
    signed_move double precision check (signed_move between -1 and 1),
    signed_move_exec double precision check (signed_move_exec between -2 and 1),
    extra jsonb,
    landed_at timestamptz not null default now(),
    primary key (prediction_id, horizon)
);

create table prediction_score (
    prediction_id text primary key check (length(prediction_id) between 1 and 200),
    market_id integer not null references market,
    scored_at timestamptz not null,
    resolution text not null check (resolution in ('yes', 'no', 'void')),
    resolution_value double precision check (resolution_value between 0 and 1),
    excluded text check (excluded in ('void', 'late')),
    brier_score double precision check (brier_score between 0 and 1),
    log_score double precision check (log_score >= 0 and log_score < 'infinity'),
    market_brier_score double precision check (market_brier_score between 0 and 1),
    day_before_brier_score double precision check (day_before_brier_score between 0 and 1),
    extra jsonb,
    landed_at timestamptz not null default now()
);

create table benchmark_pass (
    pass_id text primary key check (length(pass_id) between 1 and 200),
    checked_at timestamptz not null,
    status text not null check (status in ('ACTIVE', 'PAUSED', 'COMPLETED')),
    n_active integer not null check (n_active >= 0),
    n_paused integer not null check (n_paused >= 0),
    n_completed integer not null check (n_completed >= 0),
    n_checks integer not null check (n_checks >= 0),
    n_converging integer not null check (n_converging >= 0),
    n_diverging integer not null check (n_diverging >= 0),
    n_stable integer not null check (n_stable >= 0),
    n_overshot integer not null check (n_overshot >= 0),
    n_stale integer not null check (n_stale >= 0),
    n_settled integer not null check (n_settled >= 0),
    n_marks integer not null check (n_marks >= 0),
    n_scores integer not null check (n_scores >= 0),
    n_excluded integer not null check (n_excluded >= 0),
    mean_rate double precision check (mean_rate > '-infinity' and mean_rate < 'infinity'),
    max_rate double precision check (max_rate > '-infinity' and max_rate < 'infinity'),
    convergence_percentage double precision check (convergence_percentage between -200 and 200),
    extra jsonb,
    landed_at timestamptz not null default now()
);
create index benchmark_pass_newest on benchmark_pass (checked_at desc, pass_id desc);

-- As the edge worked it out; what it says of whom stands in scope: 'experiment:<name>', 'leaderboard:<sort>'.
create table benchmark_report (
    report_id text primary key check (length(report_id) between 1 and 200),
    scope text not null check (length(scope) between 1 and 200),
    made_at timestamptz not null,
    body jsonb not null check (jsonb_typeof(body) = 'object'),
    extra jsonb,
    landed_at timestamptz not null default now()
);
create index benchmark_report_newest on benchmark_report (scope, made_at desc);
