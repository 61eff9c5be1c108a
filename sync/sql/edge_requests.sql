-- Requests that travel down: asked by the API, leased by an edge, answered once.
-- Law: a lease ends by itself, so a dead edge blocks nothing; the first answer stands and a repeated one is harmless,
-- whoever gives it, for the work is done; a request nobody waits for any longer is not handed out.

create or replace function edge_max_attempts() returns integer language sql immutable as 'select 5';

-- Called by the API. Two alike are one while it is open: twenty readers of one market make one request.
create or replace function edge_ask(p_kind text, p_body jsonb, p_same_as text, p_within interval) returns uuid
language plpgsql
set search_path = pg_catalog, public, pg_temp as $$
declare
    v_request uuid;
begin
    update edge_request set state = 'expired', finished_at = now(), reason = 'nobody took it in time'
    where kind = p_kind and same_as = p_same_as and state in ('waiting', 'leased') and expires_at <= now();
    insert into edge_request (request_id, kind, body, same_as, expires_at)
    values (gen_random_uuid(), p_kind, p_body, p_same_as, now() + p_within)
    on conflict (kind, same_as) where state in ('waiting', 'leased')
    do update set expires_at = greatest(edge_request.expires_at, excluded.expires_at)
    returning request_id into v_request;
    perform pg_notify('edge_requested', p_kind);
    return v_request;
end;
$$;

create or replace function edge_lease(p_host_id text, p_kinds text[], p_limit integer, p_lease_s integer) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
set timezone = 'UTC' as $$
declare
    v_leased jsonb;
begin
    if p_host_id is null or p_host_id !~ '^[a-z0-9_-]{1,32}$' or p_kinds is null
        or p_limit not between 1 and 100 or p_lease_s not between 1 and 3600 then
        raise exception using errcode = '22023', message = 'a lease needs a host_id, kinds, 1-100 requests, 1-3600 s';
    end if;
    insert into edge_host (host_id) values (p_host_id) on conflict do nothing;
    update edge_request set finished_at = now(),
        state = case when expires_at <= now() then 'expired' else 'failed' end,
        reason = case when expires_at <= now() then 'nobody took it in time'
                      else format('%s hosts took it and none answered', attempts) end
    where state in ('waiting', 'leased') and (leased_until is null or leased_until <= now())
        and (expires_at <= now() or attempts >= edge_max_attempts());
    with free as (
        select request_id from edge_request
        where kind = any (p_kinds) and expires_at > now()
            and (state = 'waiting' or (state = 'leased' and leased_until <= now()))
        order by requested_at
        limit p_limit
        for update skip locked
    ), taken as (
        update edge_request as r set
            state = 'leased', host_id = p_host_id, lease = gen_random_uuid(),
            leased_until = now() + make_interval(secs => p_lease_s), attempts = attempts + 1
        from free where r.request_id = free.request_id
        returning r.*
    )
    select coalesce(jsonb_agg(jsonb_build_object(
        'request_id', request_id, 'lease', lease, 'kind', kind, 'body', body, 'attempt', attempts,
        'requested_at', requested_at, 'expires_at', expires_at
    ) order by requested_at), '[]') into v_leased from taken;
    return v_leased;
end;
$$;

-- Work that outlasts its lease goes on under it, as long as its host lives to say so.
create or replace function edge_renew(p_host_id text, p_requests uuid[], p_lease_s integer) returns integer
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
set timezone = 'UTC' as $$
declare
    v_renewed integer;
begin
    if p_host_id is null or p_requests is null or cardinality(p_requests) > 1000 or p_lease_s not between 1 and 3600 then
        raise exception using errcode = '22023', message = 'renewing needs a host_id, at most 1000 requests, 1-3600 s';
    end if;
    update edge_request set leased_until = now() + make_interval(secs => p_lease_s)
    where request_id = any (p_requests) and state = 'leased' and host_id = p_host_id;
    get diagnostics v_renewed = row_count;
    return v_renewed;
end;
$$;

-- Returns done, or known where the request had its answer already (or is unknown here: the cloud went back in time).
create or replace function edge_complete(p_request uuid, p_state text, p_reason text, p_result text) returns text
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
set timezone = 'UTC' as $$
begin
    if p_state is null or p_state not in ('done', 'failed') or octet_length(p_result) > 65536 then
        raise exception using errcode = '22023', message = 'an answer is done or failed, in at most 65536 bytes';
    end if;
    update edge_request set
        state = p_state, reason = left(p_reason, 1000), result = p_result::jsonb, finished_at = now()
    where request_id = p_request and state in ('waiting', 'leased');
    if not found then
        return 'known';
    end if;
    perform pg_notify('edge_answered', p_request::text);
    return 'done';
end;
$$;
