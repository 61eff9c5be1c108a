-- TimescaleDB for a server that has none: its functions with the arguments they have there, over plain tables.
-- Law: names, types and columns are those of TimescaleDB 2.20, so that a call which would be refused there is refused
-- here; what they do is the least that makes prices land, be read and go. Nothing of its speed or its packing is here.
set allow_system_table_mods = on;
insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion, extconfig, extcondition)
select pg_nextoid('pg_extension', 'oid', 'pg_extension_oid_index'), 'timescaledb', oid, 'public'::regnamespace, false, '2.20.0',
       null, null
from pg_roles where rolname = current_user;
reset allow_system_table_mods;

create type dimension_info as (column_name name, partition_interval interval);

create function by_range(column_name name, partition_interval interval) returns dimension_info
language sql as $$ select row(column_name, partition_interval)::dimension_info $$;

create table hypertable (relation regclass primary key, column_name name not null, compress_after interval);

create function create_hypertable(
    relation regclass, dimension dimension_info, create_default_indexes boolean default true,
    if_not_exists boolean default false, migrate_data boolean default false,
    out hypertable_id integer, out created boolean
) language plpgsql as $$
begin
    perform from pg_attribute where attrelid = relation and attname = dimension.column_name and attnotnull;
    if not found then
        raise exception 'column % of % does not exist or may be null', dimension.column_name, relation;
    end if;
    insert into hypertable values (relation, dimension.column_name);
    hypertable_id := 1;
    created := true;
end;
$$;

create function add_compression_policy(
    hypertable regclass, compress_after interval default null, if_not_exists boolean default false,
    schedule_interval interval default null
) returns integer language plpgsql as $$
begin
    update public.hypertable as h set compress_after = add_compression_policy.compress_after where h.relation = hypertable;
    if not found then
        raise exception '% is not a hypertable', hypertable;
    end if;
    return 1000;
end;
$$;

create function add_continuous_aggregate_policy(
    continuous_aggregate regclass, start_offset interval, end_offset interval, schedule_interval interval,
    if_not_exists boolean default false
) returns integer language sql as $$ select 1001 $$;

create function drop_chunks(
    relation regclass, older_than timestamptz default null, newer_than timestamptz default null
) returns setof text language plpgsql as $$
declare
    v_column name := (select h.column_name from public.hypertable as h where h.relation = drop_chunks.relation);
begin
    if v_column is null then
        raise exception '% is not a hypertable', relation;
    end if;
    execute format('delete from %s where %I < $1', relation, v_column) using older_than;
end;
$$;

create function hypertable_size(hypertable regclass) returns bigint
language sql as $$ select pg_total_relation_size(hypertable) $$;

create function time_bucket(bucket_width interval, ts timestamptz) returns timestamptz
language sql immutable as $$ select date_bin(bucket_width, ts, '2000-01-01T00:00:00Z') $$;

create type value_at as (value double precision, at timestamptz);

create function earlier(state value_at, value double precision, at timestamptz) returns value_at
language sql immutable as $$ select case when state.at <= $3 then state else row($2, $3)::value_at end $$;

create function later(state value_at, value double precision, at timestamptz) returns value_at
language sql immutable as $$ select case when state.at >= $3 then state else row($2, $3)::value_at end $$;

create function value_of(state value_at) returns double precision
language sql immutable as $$ select state.value $$;

create aggregate first(double precision, timestamptz) (sfunc = earlier, stype = value_at, finalfunc = value_of);
create aggregate last(double precision, timestamptz) (sfunc = later, stype = value_at, finalfunc = value_of);

create schema timescaledb_information;

create table timescaledb_information.jobs (
    job_id integer, application_name name, schedule_interval interval, proc_schema name, proc_name name,
    scheduled boolean, config jsonb, next_start timestamptz, hypertable_schema name, hypertable_name name
);

create table timescaledb_information.job_stats (
    hypertable_schema name, hypertable_name name, job_id integer, last_run_started_at timestamptz,
    last_successful_finish timestamptz, last_run_status text, job_status text, total_runs bigint, total_failures bigint
);

create table timescaledb_information.chunks (
    hypertable_schema name, hypertable_name name, chunk_schema name, chunk_name name, range_start timestamptz,
    range_end timestamptz, is_compressed boolean
);

grant usage on schema timescaledb_information to public;
grant select on all tables in schema timescaledb_information to public;
