-- What a host says of itself beside its lease, and what the cloud knows of all hosts together, for operators.
-- Law: said words decide nothing: work and batches go by leases and numbers. The newest word of a host is kept.

create or replace function edge_tell(
    p_host_id text, p_level text, p_says text, p_pending_rows bigint, p_oldest_pending_at timestamptz
) returns void
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
set timezone = 'UTC' as $$
begin
    if p_host_id is null or p_host_id !~ '^[a-z0-9_-]{1,32}$' or p_says is null or length(p_says) > 400
        or p_level is null or p_level not in ('ok', 'degraded', 'critical') or coalesce(p_pending_rows, -1) < 0 then
        raise exception using errcode = '22023',
            message = 'a host says its host_id, ok, degraded or critical, 400 signs at most, and how many rows wait';
    end if;
    insert into edge_host (host_id) values (p_host_id)
    on conflict (host_id) do update set last_seen_at = now();
    insert into edge_standing (host_id, level, says, pending_rows, oldest_pending_at)
    values (p_host_id, p_level, p_says, p_pending_rows, p_oldest_pending_at)
    on conflict (host_id) do update set
        level = excluded.level, says = excluded.says, pending_rows = excluded.pending_rows,
        oldest_pending_at = excluded.oldest_pending_at, told_at = now();
end;
$$;

create or replace function edge_hosts() returns table (
    host_id text, agent_version text, first_seen_at timestamptz, last_seen_at timestamptz, on_duty boolean,
    standby boolean, level text, says text, pending_rows bigint, oldest_pending_at timestamptz, told_at timestamptz,
    last_batch_at timestamptz, set_aside bigint
)
language sql stable security definer
set search_path = pg_catalog, public, pg_temp as $$
    select h.host_id, h.agent_version, h.first_seen_at,
        greatest(h.last_seen_at, d.attended_at, b.applied_at),
        coalesce(d.expires_at > now(), false), coalesce(d.standby, false), t.level, t.says, t.pending_rows,
        t.oldest_pending_at, t.told_at, b.applied_at,
        (select count(*) from edge_quarantine as q join edge_stream as s on s.stream = q.stream
            where s.host_id = h.host_id)
    from edge_host as h left join edge_duty as d using (host_id) left join edge_standing as t using (host_id)
    left join lateral ( -- the newest of each stream by its key: the ledger has no index by time
        select max(newest.applied_at) as applied_at from edge_stream as s cross join lateral (
            select applied_at from edge_batch where stream = s.stream order by lo desc limit 1
        ) as newest where s.host_id = h.host_id
    ) as b on true
    order by h.host_id
$$;
