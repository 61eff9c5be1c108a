-- What a host says of itself, and who may look at it: an account that runs the service.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

alter table account add column is_operator boolean not null default false;

-- One row a host, written over: how it judges itself, and what still waits there. What was seen of it stands in
-- edge_host and edge_duty.
create table edge_standing (
    host_id text primary key references edge_host,
    level text not null check (level in ('ok', 'degraded', 'critical')),
    says text not null check (length(says) <= 400),
    pending_rows bigint not null check (pending_rows >= 0),
    oldest_pending_at timestamptz,
    told_at timestamptz not null default now()
);
