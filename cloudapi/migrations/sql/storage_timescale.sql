-- The TimescaleDB storage backend: the names the native one has, most of them with nothing to do: chunks come by
-- themselves, policies compress and roll up, late rows land in columns as they are. Law: readers cannot tell the two apart.

create or replace function ensure_partitions(p_back integer default 1, p_ahead integer default 7) returns integer
language sql security definer set search_path = pg_catalog, public, pg_temp as $$
    select 0
$$;

drop function if exists price_receive(timestamptz[], jsonb); -- an earlier release handed over the rows themselves

create or replace function price_receive(p_instants timestamptz[], p_markets integer[]) returns void
language sql set search_path = pg_catalog, public, pg_temp as $$
    select
$$;

-- Retention: days before this are gone, counted. Returns: rows taken.
create or replace function price_drop(p_before date) returns bigint
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' set statement_timeout = '10min' as $$
declare
    v_taken bigint := 0;
    v_day record;
begin
    -- Chunks are days and leave whole, so what is counted is what goes.
    for v_day in
        select fetched_at::date as day, count(*) as n from price_snapshot
        where fetched_at < p_before::timestamptz group by 1 order by 1
    loop
        insert into price_dropped as d (day, n_rows) values (v_day.day, v_day.n)
        on conflict (day) do update set n_rows = d.n_rows + excluded.n_rows, dropped_at = now();
        v_taken := v_taken + v_day.n;
    end loop;
    perform public.drop_chunks('public.price_snapshot', older_than => p_before::timestamptz);
    return v_taken;
end;
$$;

create or replace view price_all as
select market_id, fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd from price_snapshot;

-- The other backend's alarm: rows whose day has no partition. Here there is nothing of the kind.
create or replace view price_snapshot_default as select * from price_snapshot where false;

create or replace function price_history(p_market integer, p_start timestamptz, p_end timestamptz)
returns table (
    fetched_at timestamptz, bid double precision, ask double precision, last_price double precision,
    mid double precision
)
language sql stable as $$
    select s.fetched_at, s.bid, s.ask, s.last_price, s.mid
    from price_snapshot as s
    where s.market_id = p_market and s.fetched_at >= p_start and s.fetched_at < p_end
$$;

create or replace function price_as_of(p_market integer, p_at timestamptz, p_floor timestamptz)
returns table (
    fetched_at timestamptz, bid double precision, ask double precision, last_price double precision,
    mid double precision, volume_24h double precision, open_interest double precision, liquidity_usd double precision
)
language sql stable as $$
    select s.fetched_at, s.bid, s.ask, s.last_price, s.mid, s.volume_24h, s.open_interest, s.liquidity_usd
    from price_snapshot as s
    where s.market_id = p_market and s.fetched_at <= p_at and s.fetched_at > p_floor
    order by s.fetched_at desc limit 1
$$;
