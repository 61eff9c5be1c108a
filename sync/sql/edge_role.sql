-- The edge's login: it may execute the functions granted below and nothing else. Run after every migration, because
-- a function made anew is executable by PUBLIC. Give it a password by hand:
--   alter role edge_ingest password '...at least 128 random bits...'

do $$
begin
    create role edge_ingest login nosuperuser nocreatedb nocreaterole noinherit;
    -- A black-holed connection leaves a backend behind until its timeouts end it: room for a few per host.
    alter role edge_ingest connection limit 16;
    alter role edge_ingest set synchronous_commit = 'on';
    alter role edge_ingest set statement_timeout = '60s';
    alter role edge_ingest set lock_timeout = '10s';
    alter role edge_ingest set idle_in_transaction_session_timeout = '30s';
exception when duplicate_object or unique_violation then
    null; -- roles belong to the server, not to the database: another one made it
end;
$$;

revoke all on schema public from public;
revoke all on all tables in schema public from public;
revoke all on all functions in schema public from public;
revoke all on all tables in schema public from edge_ingest;
revoke all on all sequences in schema public from edge_ingest;
revoke all on all functions in schema public from edge_ingest;
grant usage on schema public to edge_ingest;
grant execute on function edge_hello(text, uuid, uuid, uuid, text, timestamptz, integer, text, bigint) to edge_ingest;
grant execute on function edge_apply(uuid, bigint, bigint, bigint, bytea, integer, text) to edge_ingest;
grant execute on function edge_audit(uuid, bigint) to edge_ingest;
grant execute on function edge_lease(text, text[], integer, integer) to edge_ingest;
grant execute on function edge_renew(text, uuid[], integer) to edge_ingest;
grant execute on function edge_complete(uuid, text, text, text) to edge_ingest;
grant execute on function edge_attend(text, boolean, integer) to edge_ingest;
grant execute on function edge_tell(text, text, text, bigint, timestamptz) to edge_ingest;

do $$
begin
    execute format('revoke all on database %I from public', current_database());
    execute format('revoke all on database %I from edge_ingest', current_database());
    execute format('grant connect on database %I to edge_ingest', current_database());
end;
$$;
