-- Several hosts, one body of work: each holds a lease; who is there is a numbered view all of them agree on.
-- Law: a view is settled once every living host has seen it. A host gives up at once what a new view takes from it and
-- takes what it gains only from a settled view, so no two hosts work on one thing, whichever hears of it first.
-- A standby is a member only while no other host lives.

create or replace function edge_attend(p_host_id text, p_standby boolean, p_ttl_s integer) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
set timezone = 'UTC' as $$
declare
    v_view edge_view;
    v_members text[];
    v_now timestamptz;
begin
    if p_host_id is null or p_host_id !~ '^[a-z0-9_-]{1,32}$' or p_standby is null or p_ttl_s not between 0 and 3600 then
        raise exception using errcode = '22023', message = 'attending needs a host_id, standby or not, and 0-3600 s';
    end if;
    insert into edge_host (host_id) values (p_host_id)
    on conflict (host_id) do update set last_seen_at = now();
    select * into strict v_view from edge_view for update;
    v_now := clock_timestamp(); -- after the lock: now() is from before the wait
    insert into edge_duty (host_id, standby, seen_view, expires_at)
    values (p_host_id, p_standby, v_view.view_no, v_now + make_interval(secs => p_ttl_s))
    on conflict (host_id) do update set
        standby = excluded.standby, seen_view = excluded.seen_view, expires_at = excluded.expires_at, attended_at = v_now;

    select coalesce(array_agg(host_id order by host_id), '{}') into v_members
    from edge_duty
    where expires_at > v_now and standby = not exists (
        select from edge_duty where expires_at > v_now and not standby
    );
    if v_members <> v_view.members then
        update edge_view set view_no = view_no + 1, members = v_members returning * into v_view;
        update edge_duty set seen_view = v_view.view_no where host_id = p_host_id;
    end if;
    return jsonb_build_object(
        'view_no', v_view.view_no, 'members', to_jsonb(v_view.members),
        'settled', not exists (select from edge_duty where expires_at > v_now and seen_view < v_view.view_no),
        'alone', not exists (
            select from edge_duty where host_id <> p_host_id and attended_at > v_now - interval '30 days'
        )
    );
end;
$$;
