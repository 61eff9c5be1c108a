-- What both storage backends share: which one was chosen, what the worker did, what is owed to late rows, what is gone.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

-- One row, written when the schema is made and never changed: a partitioned table cannot become a hypertable.
create table storage_backend (
    only_one boolean primary key default true check (only_one),
    backend text not null check (backend in ('native', 'timescale')),
    chosen_at timestamptz not null default now(),
    rolled_until timestamptz                    -- hours before this are read from price_1h; null: none are
);

-- The worker's ledger: a duty happens once per slot, whoever of several workers does it.
create table worker_run (
    duty text not null,
    slot timestamptz not null,
    worker text not null,
    started_at timestamptz not null default now(),
    finished_at timestamptz,                    -- null: at work, or killed; the next worker takes it up
    said text,
    primary key (duty, slot)
);

-- Hours that received rows after they had been rolled up.
create table price_late (
    bucket timestamptz primary key
);

-- Rows that retention took, per day: what landed is what is here plus what is written here.
create table price_dropped (
    day date primary key,
    n_rows bigint not null check (n_rows >= 0),
    dropped_at timestamptz not null default now()
);
