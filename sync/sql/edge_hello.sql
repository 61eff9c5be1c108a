-- First word after every connect: who speaks, is it still the same buffer, and what has the cloud already applied.
-- Law: the lineage token moves only if the edge knows the present one or offers the one it already moved to, so a
-- lost reply is harmless and a restored backup or a cloned disk is found before it can write.

create or replace function edge_schema_min() returns integer language sql immutable as 'select 1';
create or replace function edge_schema_max() returns integer language sql immutable as 'select 1';
create or replace function edge_max_rows() returns integer language sql immutable as 'select 5000';
create or replace function edge_max_bytes() returns integer language sql immutable as 'select 4194304';

create or replace function edge_ranges(p_acked int8multirange) returns jsonb
language sql immutable as $$
    select coalesce(jsonb_agg(jsonb_build_array(lower(r), upper(r) - 1) order by lower(r)), '[]'::jsonb)
    from unnest(p_acked) as r
$$;

create or replace function edge_greeting(p_status text, p_reason text, p_acked int8multirange, p_fence bigint)
returns jsonb
language sql stable as $$
    select jsonb_build_object(
        'status', p_status, 'reason', p_reason, 'server_time', clock_timestamp(),
        'acked', edge_ranges(coalesce(p_acked, '{}')), 'fence', coalesce(p_fence, 0),
        'schema_min', edge_schema_min(), 'schema_max', edge_schema_max(),
        'max_rows', edge_max_rows(), 'max_bytes', edge_max_bytes()
    )
$$;

create or replace function edge_hello(
    p_host_id text, p_stream uuid, p_prev_token uuid, p_next_token uuid, p_boot_id text,
    p_client_time timestamptz, p_schema_v integer, p_agent_version text, p_local_hi bigint
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
set timezone = 'UTC' as $$
declare
    v_row edge_stream;
    v_registered boolean;
begin
    if p_stream is null or p_next_token is null or p_host_id is null or p_host_id !~ '^[a-z0-9_-]{1,32}$' then
        return edge_greeting('hold', 'hello needs a stream, a next token and a host_id of 1-32 of [a-z0-9_-]', null, null);
    end if;
    -- A newer edge is welcome: it reads schema_max here and keeps what needs more until the cloud is updated.
    if p_schema_v is null or p_schema_v < edge_schema_min() then
        return edge_greeting('hold', format(
            'schema %s is not accepted here (%s to %s): update the edge first', p_schema_v, edge_schema_min(),
            edge_schema_max()
        ), null, null);
    end if;

    insert into edge_host (host_id, agent_version) values (p_host_id, p_agent_version)
    on conflict (host_id) do update set agent_version = excluded.agent_version, last_seen_at = now();
    insert into edge_stream (stream, host_id, token) values (p_stream, p_host_id, p_next_token)
    on conflict do nothing;
    v_registered := found;
    select * into strict v_row from edge_stream where stream = p_stream for update;

    if v_row.closed_at is not null then
        return edge_greeting('fork', format('the stream was closed at %s', v_row.closed_at), v_row.acked, v_row.fence);
    end if;
    if not v_registered and v_row.token is distinct from p_prev_token and v_row.token <> p_next_token then
        return edge_greeting(
            'fork', 'another copy of this buffer has spoken since: neither token is the present one',
            v_row.acked, v_row.fence
        );
    end if;

    update edge_stream set
        fence = v_row.fence + case when token = p_next_token then 0 else 1 end,
        token = p_next_token, host_id = p_host_id, boot_id = p_boot_id, client_time = p_client_time,
        schema_v = p_schema_v, agent_version = p_agent_version, local_hi = p_local_hi, hello_at = now()
    where stream = p_stream
    returning * into v_row;
    return edge_greeting('ok', null, v_row.acked, v_row.fence);
end;
$$;
