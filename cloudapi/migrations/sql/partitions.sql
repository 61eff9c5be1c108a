-- Daily partitions of price_snapshot, made on time by the service and on demand when old days land late.

create or replace function price_partition(p_day date) returns boolean
language plpgsql set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
declare
    v_name constant text := 'price_snapshot_' || to_char(p_day, 'YYYYMMDD');
begin
    if to_regclass('public.' || v_name) is not null then
        return false;
    end if;
    -- One maker at a time; the second one finds the table when its turn comes.
    perform pg_advisory_xact_lock(hashtextextended('price_partition', 0));
    if to_regclass('public.' || v_name) is not null then
        return false;
    end if;
    -- Made beside and attached: readers of the other days are not locked out.
    execute format('create table public.%I (like public.price_snapshot including defaults including constraints)', v_name);
    execute format(
        'alter table public.price_snapshot attach partition public.%I for values from (%L) to (%L)',
        v_name, p_day::timestamptz, (p_day + 1)::timestamptz
    );
    return true;
end;
$$;

create or replace function ensure_partitions(p_back integer default 1, p_ahead integer default 7) returns integer
language sql set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
    select count(*) filter (where price_partition(current_date + offset_days))::integer
    from generate_series(-p_back, p_ahead) as offset_days
$$;
