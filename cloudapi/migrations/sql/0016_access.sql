-- What the rights of an account rest on: a session knows the key it was opened with; and one figure over all accounts.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

alter table account_login add column key_id uuid references api_key; -- null: by e-mail and password

-- How long nine of ten of the last hundred sessions waited: said to everybody, so it runs as its owner and sees them all.
create function session_usual_wait() returns double precision
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    select percentile_cont(0.9) within group (order by extract(epoch from started_at - asked_at))
    from (
        select asked_at, started_at from prediction_session where started_at is not null
        order by started_at desc limit 100
    ) as lately;
$$;
