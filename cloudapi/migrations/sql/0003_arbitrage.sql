-- Questions asked on both venues, packages of sides that pay more than they cost, and more of what an insight says.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

-- One row per verdict; the newest of a pair is what holds. Markets stand by key: a verdict needs neither to be here.
create table market_match (
    match_id text primary key check (length(match_id) between 1 and 200),
    kalshi_key text not null check (kalshi_key like 'kalshi:_%' and length(kalshi_key) <= 200),
    polymarket_key text not null check (polymarket_key like 'polymarket:_%' and length(polymarket_key) <= 200),
    relation text not null
        check (relation in ('EQUIVALENT', 'A_IMPLIES_B', 'B_IMPLIES_A', 'OVERLAP', 'DIFFERENT', 'UNCLEAR')),
    yes_maps_to text not null check (yes_maps_to in ('YES', 'NO', 'UNCLEAR')),
    judged_by text not null check (judged_by in ('TEXT', 'RULES', 'OPERATOR')),
    judged_at timestamptz not null,
    score double precision check (score between 0 and 1),
    by_time boolean not null,
    reasons text[] not null,
    differences jsonb not null check (jsonb_typeof(differences) = 'array'),
    rules_hash text,
    model text,
    prompt_version text,
    extra jsonb,
    landed_at timestamptz not null default now()
);
create index market_match_pair on market_match (kalshi_key, polymarket_key, judged_at desc);
create index market_match_polymarket on market_match (polymarket_key);

-- How each package stands now; a late batch never takes it back.
create table arbitrage (
    arbitrage_id text primary key check (length(arbitrage_id) between 1 and 200),
    arbitrage_kind text not null check (arbitrage_kind in ('CROSS_PLATFORM', 'RELATED_MARKET', 'TEMPORAL', 'HEDGE')),
    status text not null check (status in ('ACTIVE', 'EXPIRED')),
    detected_at timestamptz not null,
    computed_at timestamptz not null,
    legs jsonb not null check (jsonb_typeof(legs) = 'array' and jsonb_array_length(legs) > 0),
    size numeric not null check (size > 0 and size < 'infinity'),
    payout_usd numeric not null check (payout_usd > 0 and payout_usd < 'infinity'),
    cost_usd numeric not null check (cost_usd >= 0 and cost_usd < 'infinity'),
    gross_usd numeric not null check (gross_usd > '-infinity' and gross_usd < 'infinity'),
    fees_usd numeric not null check (fees_usd >= 0 and fees_usd < 'infinity'),
    net_usd numeric not null check (net_usd > '-infinity' and net_usd < 'infinity'),
    net_edge double precision not null check (net_edge > '-infinity' and net_edge < 'infinity'),
    confidence smallint not null check (confidence between 0 and 100),
    steps text[] not null,
    risks text[] not null,
    reasons text[] not null,
    assumptions text[] not null,
    annualised double precision check (annualised > '-infinity' and annualised < 'infinity'),
    pays_at timestamptz,
    match_id text,
    ended_reason text,
    extra jsonb,
    landed_at timestamptz not null default now()
);
create index arbitrage_newest on arbitrage (detected_at desc, arbitrage_id desc);
create index arbitrage_active on arbitrage (detected_at desc, arbitrage_id desc) where status = 'ACTIVE';
create index arbitrage_legs on arbitrage using gin (legs jsonb_path_ops);

-- Every look at a package, in short: what it was worth and when.
create table arbitrage_look (
    arbitrage_id text not null references arbitrage,
    computed_at timestamptz not null,
    status text not null,
    net_usd numeric not null,
    net_edge double precision not null,
    primary key (arbitrage_id, computed_at)
);

alter table insight
    add column what_happened text,
    add column why_it_matters text,
    add column leave_it_if text,
    add column probability_yes double precision check (probability_yes between 0 and 1),
    add column edge double precision check (edge between -2 and 1);
