-- Daily digests: one page per edge and UTC day, as the edge wrote it.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

-- The lists stay as they came: they are read whole, and an entry may gain fields the edge knows before we do.
create table digest (
    digest_id text primary key check (length(digest_id) between 1 and 200),
    day date not null check (day between '2020-01-01' and '2100-01-01'),
    created_at timestamptz not null,
    sentiment text not null check (sentiment in ('CALM', 'MIXED', 'TENSE')),
    summary text not null,
    top_picks jsonb not null check (jsonb_typeof(top_picks) = 'array'),
    avoid jsonb not null check (jsonb_typeof(avoid) = 'array'),
    watch jsonb not null check (jsonb_typeof(watch) = 'array'),
    arbitrage jsonb not null check (jsonb_typeof(arbitrage) = 'array'),
    markdown text not null,
    n_considered integer not null check (n_considered >= 0),
    n_dropped integer not null check (n_dropped >= 0),
    model text not null,
    prompt_version text not null,
    cost_usd numeric not null check (cost_usd >= 0 and cost_usd < 'infinity'),
    extra jsonb,
    landed_at timestamptz not null default now()
);
create index digest_newest on digest (created_at desc, digest_id desc);
