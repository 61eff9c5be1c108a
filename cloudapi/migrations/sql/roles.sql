-- Who may do what, said anew after every migration: a table or function that has just been made belongs to its owner
-- alone until it is named here. The owner is whoever migrates; nobody serves or works with its login.
--
--   api_rw    reads what the edge delivered, reads and writes everything of accounts; 2 s per statement
--   api_ro    reads what the edge delivered and nothing of accounts; for reports and people
--   of accounts each sees the rows of the account it works for (`app.account_id`), or all where it says `any`;
--   whoever says nothing sees none
--   worker    the storage duties, as functions, and their ledger; of accounts what it mails and charges for, as api_rw
--   edge_ingest   two functions (edge_role.sql)
--
-- None has a password until one is given by hand: alter role api_rw password '...'

do $$
declare
    v_role text;
begin
    foreach v_role in array array['api_rw', 'api_ro', 'worker'] loop
        begin
            execute format('create role %I login nosuperuser nocreatedb nocreaterole noinherit nobypassrls', v_role);
            execute format('alter role %I set idle_in_transaction_session_timeout = %L', v_role, '30s');
            execute format('alter role %I set lock_timeout = %L', v_role, '2s');
            if v_role <> 'worker' then
                execute format('alter role %I set statement_timeout = %L', v_role, '2s');
            end if;
        exception when duplicate_object or unique_violation then
            null; -- roles belong to the server, not to the database: another one made it
        end;
    end loop;
end;
$$;

revoke all on all tables in schema public from api_rw, api_ro, worker;
revoke all on all sequences in schema public from api_rw, api_ro, worker;
revoke all on all functions in schema public from api_rw, api_ro, worker;
grant usage on schema public to api_rw, api_ro, worker;

-- What the edge delivered is listed: readable by both. The service's own is listed: for nobody. Everything else belongs
-- to accounts or to the API's work for them, so a table that somebody forgets here is hidden from reports, not shown.
do $$
declare
    v_table text;
    v_delivered constant text[] := array[
        'market', 'market_revision', 'pattern', 'insight', 'digest', 'market_match', 'arbitrage', 'arbitrage_look',
        'signal', 'prediction', 'prediction_check', 'prediction_mark', 'prediction_score', 'benchmark_pass',
        'benchmark_report', 'edge_batch', 'live_event', 'price_snapshot', 'price_snapshot_default', 'price_latest',
        'price_day', 'price_1h', 'price_all', 'price_late', 'price_dropped', 'storage_backend'
    ];
    v_service constant text[] := array[
        'alembic_version', 'applied_functions', 'edge_host', 'edge_stream', 'edge_quarantine', 'edge_duty', 'edge_view',
        'edge_standing', 'worker_run'
    ];
begin
    for v_table in
        select relname from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm') and relname <> all (v_service)
          and (not relispartition or relname = 'price_snapshot_default') -- days are read through their parent
    loop
        if v_table = any (v_delivered) then
            execute format('grant select on public.%I to api_rw, api_ro, worker', v_table);
        else
            execute format('grant select, insert, update, delete on public.%I to api_rw, worker', v_table);
        end if;
    end loop;
    grant delete on live_event to api_rw, worker; -- what the feed told is trimmed by those who tell it
end;
$$;

grant usage on all sequences in schema public to api_rw, worker;
grant select on alembic_version to api_rw, api_ro, worker;
grant select (attended_at, expires_at) on edge_duty to api_rw, worker; -- whoever waits for an edge is told of one

grant select, insert, update, delete on worker_run to worker;
do $$
declare
    v_function record;
begin
    -- Reading prices is for both, moving them for the worker alone: those functions run as their owner. Any other
    -- function does nothing its caller could not do, or is an edge's, for whom the API speaks when it comes over HTTPS.
    for v_function in
        select oid::regprocedure::text as signature,
               case when proname in ('price_history', 'price_as_of') or exists ( -- or an extension's, which views use
                        select from pg_depend where classid = 'pg_proc'::regclass and objid = pg_proc.oid and deptype = 'e'
                    ) then 'api_rw, api_ro, worker'
                    when proname in ('price_days', 'price_roll_up', 'price_packable', 'price_pack', 'price_drop')
                        then 'worker'
                    else 'api_rw, worker' end as roles
        from pg_proc
        where pronamespace = 'public'::regnamespace and prokind in ('f', 'a') and prorettype <> 'trigger'::regtype
          and (proname not like 'price\_%' or proname in (
              'price_history', 'price_as_of', 'price_days', 'price_roll_up', 'price_packable', 'price_pack', 'price_drop'
          ))
    loop
        execute format('grant execute on routine %s to %s', v_function.signature, v_function.roles);
    end loop;
    grant execute on function ensure_partitions(integer, integer) to worker, api_rw; -- a service without a worker lands too
    execute format('grant connect on database %I to api_rw, api_ro, worker', current_database());
end;
$$;

-- Whatever names an account is closed to all but that account; a new table is by itself. Not so the ledgers in which
-- the service looks for somebody it does not know yet. Said only where it is not said: it locks the table.
do $$
declare
    v_table text;
begin
    for v_table in
        select c.relname from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attname = 'account_id'
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and not a.attisdropped
          and c.relname <> all (array['stripe_event', 'trial_use'])
          and not exists (select from pg_policy where polrelid = c.oid and polname = 'own')
    loop
        execute format('alter table public.%I enable row level security', v_table);
        execute format(
            'create policy own on public.%I to api_rw '
            'using (current_setting(''app.account_id'', true) in (''any'', account_id::text))', v_table);
        execute format('create policy works on public.%I to worker using (true)', v_table);
    end loop;
end;
$$;
