-- What the edge road needs beside batches: requests that travel down, and who is on duty.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

-- Work the cloud asks of an edge. Handed out under a lease: an edge that dies lets go of it by itself.
create table edge_request (
    request_id uuid primary key,
    kind text not null check (kind ~ '^[a-z][a-z0-9_-]{0,31}$'),
    body jsonb not null check (jsonb_typeof(body) = 'object'),
    same_as text check (length(same_as) between 1 and 200), -- two requests alike are one while it is open
    state text not null default 'waiting' check (state in ('waiting', 'leased', 'done', 'failed', 'expired')),
    requested_at timestamptz not null default now(),
    expires_at timestamptz not null,            -- nobody waits for it any longer
    host_id text references edge_host,
    lease uuid,
    leased_until timestamptz,
    attempts integer not null default 0,
    result jsonb,
    reason text,
    finished_at timestamptz,
    check ((state in ('done', 'failed', 'expired')) = (finished_at is not null))
);
create unique index edge_request_same on edge_request (kind, same_as) where state in ('waiting', 'leased');
create index edge_request_open on edge_request (requested_at) where state in ('waiting', 'leased');

-- Hosts that share the work: a lease each, and the view of who is there that they agree on.
create table edge_duty (
    host_id text primary key references edge_host,
    standby boolean not null,
    seen_view bigint not null,
    expires_at timestamptz not null,
    attended_at timestamptz not null default now()
);
create table edge_view (
    only_row boolean primary key default true check (only_row),
    view_no bigint not null default 0,
    members text[] not null default '{}'
);
insert into edge_view default values;
